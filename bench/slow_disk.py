"""A pull to a disk that does few operations per second, in one stream and in ranges."""

import os
import shutil
from pathlib import Path

import measure
from front import Front
from link import run
from measure import Failed, Sample
from network import RATE
from scenarios import Bench, Result, Target, ideal
from tools import check

OPERATIONS = 100
LAYERS = [150_000_000, 50_000_000]
GROUP = Path("/sys/fs/cgroup/blkio")


class SlowDisk:
    """An ext4 file system in a file, whose device does so many operations per second; use as a context manager. Needs root, and
    control groups of version 1: there the limit also holds for what the kernel writes later."""

    def __init__(self, work: Path, operations: int):
        self.file, self.folder, self.operations = work / "slow-disk", work / "slow", operations

    def __enter__(self):
        if os.geteuid() != 0 or not GROUP.is_dir():
            raise Failed("a slow disk needs root, and the blkio controller of control groups of version 1")
        self.folder.mkdir(exist_ok=True)
        with open(self.file, "wb") as file:
            file.truncate(2 << 30)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.file))
        run("mount", "-o", "loop", str(self.file), str(self.folder))
        device = self.folder.stat().st_dev
        self.number = f"{os.major(device)}:{os.minor(device)}"
        self._limit(self.operations)
        return self

    def __exit__(self, *_):
        self._limit(0)
        run("umount", str(self.folder))
        self.file.unlink()
        self.folder.rmdir()

    def _limit(self, operations: int) -> None:
        for way in ("read", "write"):
            (GROUP / f"blkio.throttle.{way}_iops_device").write_text(f"{self.number} {operations}")

    def operations_done(self) -> int:
        """Reads and writes so far."""
        lines = (GROUP / "blkio.throttle.io_serviced").read_text().splitlines()
        return sum(int(line.split()[2]) for line in lines if line.startswith(f"{self.number} Total"))


def slow_disk(bench: Bench) -> Result:
    image = bench.image("slow-disk", LAYERS)
    one, ranges = "one stream", "ranges"
    program = bench.tool("rpull").program
    samples: dict[str, list[Sample]] = {one: [], ranges: []}
    done: dict[str, list[int]] = {one: [], ranges: []}
    with Front(bench.registry, rate=RATE) as capped, SlowDisk(bench.work, OPERATIONS) as disk:
        lines = {one: (bench.registry, ["--connections", "1"]), ranges: (capped, [])}
        for _ in range(bench.runs):
            for label, (server, options) in lines.items():
                store = disk.folder / "store"
                measure.settle()
                before = disk.operations_done()
                command = [program, "--store", str(store), "-q", "--sync", *options, f"{server.address}/{image.name}"]
                samples[label].append(measure.run_against(server, command, bench.work / "command.log"))
                done[label].append(disk.operations_done() - before)
                check(image, store)
                shutil.rmtree(store)
    rows = {label: measure.summary(taken) for label, taken in samples.items()}
    most = {label: max(counts) for label, counts in done.items()}
    notes = [f"most operations of the disk: {one} {most[one]}, {ranges} {most[ranges]}; --sync waits for all of them",
             f"one stream comes from the registry itself, ranges from nginx with {RATE / 1e6:g} MB/s per connection"]
    result = Result(f"to a disk with {OPERATIONS} operations per second, {ideal(image)}", rows, [], notes)
    result.targets.append(Target("operations of the disk, of one stream", most[ranges] / most[one], 1.1))
    return result
