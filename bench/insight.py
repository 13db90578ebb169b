"""Scenarios of questions: what layers hold, where the disk went, and whether the store is sound."""

import shutil
import subprocess

import images
import measure
import tools
from machine import GB
from measure import MIB, Failed
from scenarios import COLD_LAYERS, Bench, Result, Target, ideal
from unpacking import LAYERS, PLACE, shell


def filled(bench: Bench, name: str) -> list[str]:
    """Pulls an image of the registry into a store on tmpfs; the start of a command that asks it."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    start = [bench.tool("rpull").program, "--store", f"{PLACE}/store", "-q"]
    subprocess.run([*start, name], check=True, stdout=subprocess.DEVNULL)
    return [*start[:-1], "--offline"]


def in_turn(bench: Bench, commands: dict[str, list[str]]) -> dict[str, dict]:
    """Runs the commands in turn; the first round is discarded, and what they unpack is deleted."""
    samples: dict[str, list[measure.Sample]] = {label: [] for label in commands}
    for number in range(bench.runs + 1):
        for label, command in commands.items():
            sample = bench.run(command)
            shutil.rmtree(PLACE / "bundle", ignore_errors=True)
            if number > 0:
                samples[label].append(sample)
    return {label: measure.summary(taken) for label, taken in samples.items()}


def files(bench: Bench) -> Result:
    image = bench.image("usr", LAYERS, images.of_this_machine)
    name = f"{bench.registry.address}/{image.name}"
    start = filled(bench, name)
    inflater = tools.inflater(bench.work)
    if inflater is None:
        raise Failed("the program that inflates is not built")
    commands = {"rpull": [*start, "files", "--json", name], "rpull analyze": [*start, "analyze", "--json", name]}
    if shutil.which("umoci"):
        layout = f"oci:{PLACE}/layout:1"
        subprocess.run([*start[:-1], "copy", "-q", f"store:{name}", layout], check=True, stdout=subprocess.DEVNULL)
        commands["umoci, find"] = shell(f"umoci unpack --image {layout[4:]} {PLACE}/bundle; find {PLACE}/bundle -ls")
    rows = in_turn(bench, commands)
    blobs = [str(PLACE / "store" / "blobs" / digest.replace(":", "/")) for digest in image.blobs]
    inflate = min(bench.run([str(inflater), *blobs[1:]]).cpu for _ in range(3))
    limit = {"cpu": inflate, "wall": inflate / bench.cores}
    result = Result(f"files and analyze, {ideal(image)}, from the store, tmpfs", rows, [], ["the limit is inflating alone, on all cores"],
                    limit=limit)
    result.target("wall, of umoci, find", "wall", 0.5, of="umoci, find")
    result.target("fraction of the limit missed", "wall", 1 / 0.8, unit=limit["wall"])
    result.target("peak MiB", "peak", 128, unit=MIB)
    shutil.rmtree(PLACE)
    return result


def paths(bench: Bench) -> Result:
    image = bench.image("paths", [1_000_000], images.of_many_paths)
    name = f"{bench.registry.address}/{image.name}"
    start = filled(bench, name)
    commands = {"rpull": [*start, "files", "--json", name], "rpull analyze": [*start, "analyze", "--json", name],
                "rpull diff": [*start, "diff", "--files", "--json", name, name]}
    rows = in_turn(bench, commands)
    result = Result("files, analyze and diff --files of 1,000,000 paths of 50 bytes, from tmpfs", rows, [])
    for label in ["rpull", "rpull analyze"]:
        result.targets.append(Target(f"peak MiB of {label}", rows[label]["peak"] / MIB, 128))
    shutil.rmtree(PLACE)
    return result


def verify(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    start = filled(bench, f"{bench.registry.address}/{image.name}")
    commands = {"rpull": [*start, "verify"]}
    if shutil.which("openssl"):
        commands["openssl"] = shell(f"find {PLACE}/store/blobs -type f | xargs -n 1 -P {bench.cores} openssl dgst -sha256")
    rows = in_turn(bench, commands)
    result = Result(f"verify, {ideal(image)}, from tmpfs", rows, [])
    wall = image.bytes / GB * bench.rates["sha256"]
    result.limit = {"cpu": wall, "wall": wall / bench.cores}
    result.target("wall, of openssl on all cores", "wall", 1 / 0.9, of="openssl")
    shutil.rmtree(PLACE)
    return result


def df(bench: Bench) -> Result:
    shutil.rmtree(PLACE, ignore_errors=True)
    images.fill_store(PLACE / "store", images=2000, layers=8)
    rows = in_turn(bench, {"rpull": [bench.tool("rpull").program, "--store", f"{PLACE}/store", "df"]})
    result = Result("df of 2,000 images and 20,000 blobs, from tmpfs", rows, [])
    result.target("wall s", "wall", 0.5)
    shutil.rmtree(PLACE)
    return result
