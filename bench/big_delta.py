#!/usr/bin/env python3
"""Makes and applies the delta of one large layer of which 1 % changed, and fails if that takes too much memory.

For nights: the usual 6 GB take some 20 minutes, and 30 GB of disk that are free again afterwards. Needs rpull only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True

import images
from measure import MIB, Failed

HERE = Path(__file__).resolve().parent
MOST = 192 * MIB
# Of each file of 4 MiB.
CHANGED = images.FILE_BYTES // 100
POLL_SECONDS = 0.05


class TextLayout(images.Layout):
    """A layout whose layers compress to half, and have changes spread over all their files."""

    def tar(self, size: int, is_changed: bool):
        for number, piece in enumerate(self._tar(size // 2)):
            text = piece if len(piece) <= 1024 else piece.hex().encode()
            if is_changed and len(text) > CHANGED:
                place = number * 7919 % (len(text) - CHANGED)
                text = text[:place] + os.urandom(CHANGED // 2).hex().encode() + text[place + CHANGED // 2 * 2:]
            yield text

    def _tar(self, size: int):
        left, number = size, 0
        while left > 0:
            entry = tarfile.TarInfo(f"data/{number:05}")
            entry.size = images.FILE_BYTES
            yield entry.tobuf(tarfile.GNU_FORMAT)
            yield self.random.randbytes(images.FILE_BYTES // 2)
            left, number = left - images.FILE_BYTES // 2, number + 1
        yield bytes(1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rpull", default=str(HERE.parent / "target/release/rpull"), metavar="PATH")
    parser.add_argument("--size", type=float, default=6, metavar="GB", help="bytes of the layer's tar (default 6)")
    parser.add_argument("--work", type=Path, default=HERE, help="folder on a disk with room for five times as much")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work, prefix="big-delta-") as work:
        try:
            return compare(options.rpull, int(options.size * 1e9), Path(work))
        except Failed as error:
            print(f"error: {error}", file=sys.stderr)
            return 1


def compare(rpull: str, size: int, work: Path) -> int:
    layout = work / "layout"
    layers = publish(layout, size)
    store, update = work / "store", work / "update.tar"
    environment = {**os.environ, "TMPDIR": str(work)}
    prepare = [rpull, "--store", str(store), "-q", "copy", f"oci:{layout}:old", "store:big:old"]
    subprocess.run(prepare, check=True, env=environment)
    make = [rpull, "-q", "delta", f"oci:{layout}:old", f"oci:{layout}:new", "-o", str(update)]
    peaks = {"make": measured("make", make, environment)}
    shutil.rmtree(layout)
    apply = [rpull, "--store", str(store), "load", "--json", str(update)]
    peaks["apply"] = measured("apply", apply, environment, work / "report.json")
    report = json.loads((work / "report.json").read_text())
    report = report[0] if isinstance(report, list) else report
    rebuilt, delta = report["bytes"].get("rebuilt", 0), report["bytes"].get("delta_bytes", 0)
    print(f"layer {layers[1] / 1e6:.1f} MB, delta {delta / 1e6:.1f} MB ({delta / layers[1]:.1%})")
    if rebuilt != layers[1]:
        raise Failed(f"the layer was not rebuilt: {report['bytes']}")
    too_large = [name for name, peak in peaks.items() if peak > MOST]
    if too_large:
        raise Failed(f"more than {MOST // MIB} MiB: {', '.join(too_large)}")
    return 0


def publish(path: Path, size: int) -> list[int]:
    """Writes both versions; returns the sizes of their layers."""
    layout, sizes = TextLayout(path, "big"), []
    for name in ("old", "new"):
        layout.random.seed("big")
        layer = layout.pack(layout.tar(size, name == "new"), 1)
        layout.name(layout.manifest([layer]), name)
        sizes.append(layer[0]["size"])
    layout.close()
    return sizes


def measured(name: str, command: list[str], environment: dict, output: Path | None = None) -> int:
    """Runs a command; returns the peak memory of it and its children, in bytes."""
    start, peak = time.monotonic(), 0
    with open(output or os.devnull, "wb") as stdout:
        process = subprocess.Popen(command, stdout=stdout, env=environment)
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, resident(process.pid))
            time.sleep(POLL_SECONDS)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit code {process.returncode}")
    # The kernel sees peaks between two looks, of one process.
    peak = max(peak, usage.ru_maxrss * 1024)
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name}: {time.monotonic() - start:.1f} s, {cpu:.1f} CPU s, peak {peak / MIB:.1f} MiB", flush=True)
    return peak


def resident(root: int) -> int:
    """Resident bytes of a process and its descendants."""
    try:
        pages = int(Path(f"/proc/{root}/statm").read_text().split()[1])
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children)


if __name__ == "__main__":
    sys.exit(main())
