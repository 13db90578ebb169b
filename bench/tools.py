"""The programs under test: how each pulls one image into one folder."""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from images import Image, host_architecture
from measure import Failed

LOOP = Path(__file__).with_name("loop")


@dataclass
class Tool:
    """`pull(reference, folder)` is the command line; `complete` says whether it keeps names and resolves indexes."""

    label: str
    program: str
    version: str
    pull: Callable[[str, Path], list[str]]
    complete: bool = True


def version_of(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line.strip() for line in (done.stdout or done.stderr).splitlines() if any(c.isdigit() for c in line)]
    if done.returncode != 0 or not lines:
        raise Failed(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return " ".join(lines[0].split())


def rpull(path: str) -> list[Tool]:
    """rpull into its store and into a layout; nothing where it has not been built."""
    program = shutil.which(path)
    if program is None:
        return []
    program = str(Path(program).resolve())
    version = version_of([program, "--version"])
    return [
        Tool("rpull", program, version, lambda image, to: [program, "--store", str(to), "-q", image]),
        Tool("rpull -o oci:", program, version, lambda image, to: [program, "-q", "-o", f"oci:{to}", image]),
    ]


def peers() -> list[Tool]:
    """Every peer found on PATH, in its default settings; `--platform` only where it would copy whole indexes."""
    platform = f"linux/{host_architecture()}"
    known: dict[str, tuple[list[str], Callable[[str, Path], list[str]]]] = {
        "skopeo": (["--version"], lambda image, to: [
            "skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false",
            f"docker://{image}", f"oci:{to}:{image}"]),
        "crane": (["version"], lambda image, to: [
            "crane", "pull", "--insecure", "--format=oci", f"--platform={platform}", image, str(to)]),
        "regctl": (["version"], lambda image, to: [
            "regctl", "--host", f"reg={image.split('/')[0]},tls=disabled", "image", "copy",
            f"--platform={platform}", image, f"ocidir://{to}:{image.rpartition(':')[2]}"]),
        "oras": (["version"], lambda image, to: [
            "oras", "copy", "--from-plain-http", f"--platform={platform}", image,
            "--to-oci-layout", f"{to}:{image.rpartition(':')[2]}"]),
    }
    return [Tool(name, name, version_of([name, *ask]), pull)
            for name, (ask, pull) in known.items() if shutil.which(name)]


def programs() -> list[str]:
    """The versions of what only some scenarios measure or need."""
    known = {"docker-registry": ["--version"], "umoci": ["--version"], "podman": ["--version"], "containerd": ["--version"],
             "regsync": ["version"], "openssl": ["version"], "nginx": ["-v"]}
    return [version_of([name, *ask]) for name, ask in known.items() if shutil.which(name)]


def bare_loop(work: Path) -> list[Tool]:
    """The yardstick in `loop/`, built here; nothing where there is no cargo."""
    if shutil.which("cargo") is None:
        return []
    target = work / "loop-target"
    command = ["cargo", "build", "--quiet", "--release", "--locked",
               "--manifest-path", str(LOOP / "Cargo.toml"), "--target-dir", str(target)]
    if subprocess.run(command).returncode != 0:
        raise Failed("the bare loop does not build")
    program = str(target / "release" / "loop")
    return [Tool("bare loop", program, "bench/loop", lambda image, to: [program, image, str(to)], complete=False)]


def inflater(work: Path) -> Path | None:
    """The program that only inflates, built with the bare loop."""
    path = work / "loop-target" / "release" / "inflate"
    return path if path.exists() else None


def check(image: Image, folder: Path) -> None:
    """Re-hashes what a tool wrote against what the image consists of."""
    for digest in [*image.blobs, image.documents[-1]]:
        algorithm, _, encoded = digest.partition(":")
        path = folder / "blobs" / algorithm / encoded
        if not path.is_file():
            raise Failed(f"{digest} is missing in {folder}")
        with open(path, "rb") as blob:
            found = hashlib.file_digest(blob, algorithm).hexdigest()
        if found != encoded:
            raise Failed(f"{path} holds sha256:{found}")
