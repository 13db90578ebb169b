"""What the machine is, what it can do at most, and the shortest time a pull can take on it."""

import hashlib
import mmap
import os
import platform
import resource
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from images import Image
from measure import MIB

GB = 1e9
REQUEST_SECONDS = 65e-6  # client CPU of one small request over HTTP/1.1; a constant, not measured here


def facts(work: Path) -> dict:
    cpu = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith(("model name", "Model"))]
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "filesystem": filesystem(work),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def commit(program: str) -> str:
    """The commit of the repository that a program was built in, empty outside of one."""
    command = ["git", "-C", str(Path(program).parent), "describe", "--always", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def filesystem(path: Path) -> str:
    """Type and device of the mount that `path` is on."""
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(len(point), kind, device) for device, point, kind in mounts if path.resolve().is_relative_to(point)]
    _, kind, device = max(above)
    return f"{kind} on {device}"


def touch_memory() -> None:
    """Uses half of the free memory once, at most 8 GiB, in a child.

    The first use of a page of a fresh virtual machine is a fault on its host: seen to make the same pull
    take 0.9 s instead of 0.5 s, for whichever tool happens to be given such pages.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    child = os.fork()
    if child == 0:
        try:
            mmap.mmap(-1, min(free // 2, 8192 * MIB), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rates(work: Path) -> dict:
    """CPU seconds per GB of the three things that a pull must do with each byte, each alone, best of three."""
    measures = {"receive": receive, "sha256": sha256, "write": lambda: write(work / "rate")}
    return {name: min(measure() for _ in range(3)) for name, measure in measures.items()}


def sha256() -> float:
    block, total, digest, start = os.urandom(256 * 1024), 256 * MIB, hashlib.sha256(), cpu_seconds()
    for _ in range(total // len(block)):
        digest.update(block)
    return (cpu_seconds() - start) / total * GB


def write(path: Path) -> float:
    block, total = os.urandom(256 * 1024), 256 * MIB
    try:
        with open(path, "wb", buffering=0) as file:
            start = cpu_seconds()
            for _ in range(total // len(block)):
                file.write(block)
            return (cpu_seconds() - start) / total * GB
    finally:
        path.unlink(missing_ok=True)


def receive() -> float:
    """Reads a gigabyte that a child sends over loopback TCP."""
    total, buffer = 1024 * MIB, bytearray(256 * 1024)
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = os.fork()
        if child == 0:
            try:
                with socket.create_connection(server.getsockname()) as sender:
                    for _ in range(total // len(buffer)):
                        sender.sendall(buffer)
            finally:
                os._exit(0)
        with server.accept()[0] as receiver:
            start = cpu_seconds()
            while receiver.recv_into(buffer):
                pass
            spent = cpu_seconds() - start
    os.waitpid(child, 0)
    return spent / total * GB


def limit(rate: dict, cores: int, image: Image) -> dict:
    """The least CPU time of a pull of `image`, and the least wall time.

    Wall: the CPU time spread evenly over all cores, or receiving and hashing the largest blob, which no
    second core can share. What the registry itself spends on the same cores is not in it.
    """
    requests = len(image.blobs) + len(image.documents)
    cpu = image.bytes / GB * sum(rate.values()) + requests * REQUEST_SECONDS
    largest = max(image.blobs.values()) / GB * (rate["receive"] + rate["sha256"])
    return {"cpu": cpu, "wall": max(cpu / cores, largest)}
