"""One measured run of a command, and the summary of several."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
MIB = 1 << 20


class Failed(Exception):
    """A command of the benchmark did not do what it had to."""


@dataclass
class Sample:
    """What one run cost; `requests`, `sent` and `registry_cpu` are the registry's side of it, `half_named` is when half of
    many images had their names there."""

    wall: float
    cpu: float
    peak: int
    requests: int = 0
    sent: int = 0
    registry_cpu: float = 0.0
    half_named: float = 0.0


def run(command: list[str], log: Path) -> Sample:
    """Runs `command` with its output in `log`; seconds, CPU seconds of it and its children, peak bytes."""
    program = shutil.which(command[0]) or command[0]
    read_end, write_end = os.pipe()
    with open(log, "wb") as output, open(read_end, "rb") as report:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), str(write_end), program, *command[1:]],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            pass_fds=[write_end], start_new_session=True,
        )
        os.close(write_end)
        try:
            launcher.wait()
        except BaseException:
            os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
            raise
        fields = report.read().split()
    if len(fields) != 4 or int(fields[3]) != 0:
        tail = log.read_text(errors="replace").strip()[-600:]
        raise Failed(f"{' '.join(command)} failed: {tail}")
    return Sample(float(fields[0]), float(fields[1]), int(fields[2]) * 1024)


def run_against(registry, command: list[str], log: Path) -> Sample:
    """`run`, with what the registry saw and spent meanwhile."""
    mark, cpu = registry.mark(), registry.cpu_seconds()
    sample = run(command, log)
    sample.registry_cpu = registry.cpu_seconds() - cpu
    sample.requests, sample.sent = registry.since(mark)
    return sample


def summary(samples: list[Sample]) -> dict:
    """The median of each figure, the fastest wall time, the highest peak, and all samples."""
    row = {key: statistics.median(getattr(s, key) for s in samples) for key in asdict(samples[0])}
    row["peak"] = max(s.peak for s in samples)
    row["wall_min"] = min(s.wall for s in samples)
    row["samples"] = [asdict(s) for s in samples]
    return row


def settle() -> None:
    """Waits for the disk, so that one run's write-back is not charged to the next."""
    os.sync()
    time.sleep(0.2)
