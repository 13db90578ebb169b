"""The scenarios of unpacking: from a registry, and from the store, to files on tmpfs."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import images
import measure
import tools
from images import Image
from machine import GB
from measure import MIB, Failed, Sample
from scenarios import Bench, Result

# Before compression, base first: one layer is half of the image, and two are next to nothing.
LAYERS = [217_000_000, 151_000_000, 436_000_000, 764_000_000, 1_400_000, 1]
# Seconds of making a small file with its walk and metadata on tmpfs: a constant.
FILE_SECONDS = 28e-6
# Files of an ext4 that were deleted make new ones there slow for minutes.
PLACE = Path("/dev/shm/rpull-bench")

Command = Callable[[str, Path], list[str]]


def shell(line: str) -> list[str]:
    return ["sh", "-ec", line]


def commands(bench: Bench) -> dict[str, Command]:
    """Each unpacks an image of the registry below an empty folder."""
    program = bench.tool("rpull").program
    known: dict[str, tuple[list[str], Command]] = {
        "rpull": ([], lambda image, to: [program, "--store", f"{to}/store", "-q", "pull", "--unpack", f"{to}/root", image]),
        "skopeo, umoci": (["skopeo", "umoci"], lambda image, to: shell(
            f"skopeo copy -q --insecure-policy --src-tls-verify=false docker://{image} oci:{to}/layout:1; "
            f"umoci unpack --image {to}/layout:1 {to}/bundle")),
        "podman": (["podman"], lambda image, to: [
            "podman", "--root", f"{to}/root", "--runroot", f"{to}/run", "--storage-driver", "overlay",
            "pull", "-q", "--tls-verify=false", image]),
    }
    return {label: command for label, (needed, command) in known.items() if all(map(shutil.which, needed))}


@contextmanager
def containerd():
    """A containerd of its own; its work is in another process, so only its wall time counts. Nothing where it cannot run."""
    if os.geteuid() != 0 or not (shutil.which("containerd") and shutil.which("ctr")):
        yield None
        return
    place = PLACE / "containerd"
    place.mkdir(parents=True)
    socket = f"{place}/socket"
    with open(place / "log", "wb") as log:
        daemon = subprocess.Popen(["containerd", "--root", f"{place}/root", "--state", f"{place}/state", "--address", socket],
                                  stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(100):
            if subprocess.run(["ctr", "-a", socket, "version"], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield socket
    finally:
        daemon.terminate()
        daemon.wait()


def from_registry(bench: Bench, image: Image, socket: str | None) -> dict[str, dict]:
    tried = commands(bench)
    if socket:
        tried["containerd"] = lambda name, _: ["ctr", "-a", socket, "images", "pull", "--plain-http", name]
    samples: dict[str, list[Sample]] = {label: [] for label in tried}
    for number in range(bench.runs + 1):
        for label, command in tried.items():
            to = PLACE / "run"
            to.mkdir(parents=True)
            sample = bench.run(command(f"{bench.registry.address}/{image.name}", to))
            clean(to, socket if label == "containerd" else None, f"{bench.registry.address}/{image.name}")
            if number > 0:
                samples[label].append(sample)
    return {f"{label}, from the registry": measure.summary(taken) for label, taken in samples.items()}


def clean(to: Path, socket: str | None, name: str) -> None:
    if socket:
        subprocess.run(["ctr", "-a", socket, "images", "rm", "--sync", name], check=True, stdout=subprocess.DEVNULL)
    # podman leaves a mount over itself.
    subprocess.run(["umount", f"{to}/root/overlay"], capture_output=True)
    shutil.rmtree(to)


def from_store(bench: Bench, name: str) -> tuple[dict, dict]:
    """The row, and the least that it could be."""
    program, store = bench.tool("rpull").program, PLACE / "store"
    subprocess.run([program, "--store", str(store), "-q", name], check=True, stdout=subprocess.DEVNULL)
    samples = []
    for number in range(bench.runs + 1):
        to = PLACE / "run"
        sample = bench.run([program, "--store", str(store), "--offline", "--json", "-q", "unpack", name, str(to)])
        said = json.loads((bench.work / "command.log").read_text())
        shutil.rmtree(to)
        if number > 0:
            samples.append(sample)
    return measure.summary(samples), limit(bench, said, store)


def limit(bench: Bench, said: dict, store: Path) -> dict:
    """The least wall time from the store: inflating, hashing and writing what comes out, and making the files."""
    inflater = tools.inflater(bench.work)
    if inflater is None:
        raise Failed("the program that inflates is not built")
    blobs = [str(store / "blobs" / layer["digest"].replace(":", "/")) for layer in said["layers"]]
    inflate = min(bench.run([str(inflater), *blobs]).cpu for _ in range(3))
    out = sum(layer["uncompressed_size"] for layer in said["layers"]) / GB
    cpu = inflate + out * (bench.rates["sha256"] + bench.rates["write"]) + said["files"] * FILE_SECONDS
    return {"cpu": cpu, "wall": cpu / bench.cores, "files": said["files"], "bytes": said["bytes"]}


def unpack(bench: Bench) -> Result:
    shutil.rmtree(PLACE, ignore_errors=True)
    image = bench.image("usr", LAYERS, images.of_this_machine)
    with containerd() as socket:
        rows = from_registry(bench, image, socket)
    row, least = from_store(bench, f"{bench.registry.address}/{image.name}")
    rows = {"rpull": row} | rows
    title = f"unpack, {image.bytes / 1e6:.0f} MB, {least['bytes'] / 1e6:.0f} MB in {least['files']} files inside, tmpfs"
    result = Result(title, rows, [], ["`rpull` alone: from the store", "containerd's CPU and memory are the daemon's, and not told"],
                    limit=least)
    result.target("fraction of the limit missed, from the store", "wall", 1 / 0.75, unit=least["wall"])
    result.target("peak MiB", "peak", 96, unit=MIB)
    for peer, most in (("containerd", 0.33), ("podman", 0.25)):
        if f"{peer}, from the registry" in rows:
            result.compare(f"wall of {peer}, from the registry", "wall", "rpull, from the registry",
                           f"{peer}, from the registry", most)
    shutil.rmtree(PLACE)
    return result


def unpack_zstd(bench: Bench) -> Result:
    """The image of `unpack`, compressed anew by skopeo."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    image = bench.image("usr", LAYERS, images.of_this_machine)
    name = f"{bench.registry.address}/{image.name}-zstd"
    # By way of a layout: from repository to repository skopeo takes over the blobs that are there.
    copy, layout = ["skopeo", "copy", "-q", "--insecure-policy"], f"oci:{PLACE}/layout:1"
    subprocess.run([*copy, "--src-tls-verify=false", "--dest-compress-format", "zstd",
                    f"docker://{bench.registry.address}/{image.name}", layout], check=True)
    subprocess.run([*copy, "--dest-tls-verify=false", "--preserve-digests", layout, f"docker://{name}"], check=True)
    shutil.rmtree(PLACE)
    row, least = from_store(bench, name)
    title = f"unpack-zstd, {least['bytes'] / 1e6:.0f} MB in {least['files']} files inside, from the store, tmpfs"
    result = Result(title, {"rpull": row}, [], [], limit=least)
    result.target("fraction of the limit missed", "wall", 1 / 0.8, unit=least["wall"])
    result.target("peak MiB", "peak", 96, unit=MIB)
    shutil.rmtree(PLACE)
    return result
