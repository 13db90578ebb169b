"""A wide-area link between this machine's loopback and a network namespace of its own: two TUN devices, and a process that
carries every packet from one to the other after the delay, at the rate and with the losses that were asked for.

TCP is the kernel's, so handshakes, slow start, retransmission and congestion control are real. In the namespace, 127.0.0.1
is this machine's loopback, behind the link. Needs root.
"""

import fcntl
import heapq
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass

from measure import Failed

NEAR, FAR = "10.77.0.1", "10.77.0.2"
MTU = 1500
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
TCP, RST = 6, 4
# What a bucket may be behind its rate, in seconds: the process is not on time when the machine is busy.
SLACK = 0.01
# Packets that are read in one go before those that are due go out.
BATCH = 64


@dataclass
class Shape:
    """`rtt` in seconds; `rate` and `connection_rate` in bits per second; what waits longer than `queue` seconds is dropped;
    `loss` is the share of packets lost in each direction; each connection is reset after `reset` bytes to the client.
    `congestion` is the kernel's congestion control of the senders on this side."""

    rtt: float
    rate: float = 1e9
    connection_rate: float = 0
    queue: float = 0.1
    loss: float = 0
    reset: int = 0
    congestion: str = "cubic"


class Link:
    """A running link; use as a context manager. `command(line)` is the command line that runs `line` behind it."""

    def __init__(self, shape: Shape):
        self.shape, self.namespace = shape, f"rpull-bench-{os.getpid()}"

    def __enter__(self):
        if os.geteuid() != 0:
            raise Failed("a link needs root: network namespaces and TUN devices")
        run("ip", "netns", "add", self.namespace)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        self.process = subprocess.Popen([sys.executable, __file__, self.namespace, json.dumps(asdict(self.shape))],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        if self.process.stdout.readline().strip() != b"up":
            raise Failed("the link does not start")

    def __exit__(self, *_):
        # The devices end with the process that holds them.
        if process := getattr(self, "process", None):
            process.terminate()
            process.wait()
        run("ip", "netns", "del", self.namespace)

    def command(self, line: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *line]

    def forget(self) -> None:
        """Forgets what the kernel learned of the path from earlier connections, which would shorten slow start."""
        run("ip", "tcp_metrics", "flush", "all")

    def delivered(self) -> int:
        """Payload bytes of TCP that have reached the client since the last call."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed: {done.stderr.strip()}")


class Direction:
    """One direction: first the bucket of the connection, then the queue of the link, then the delay."""

    def __init__(self, shape: Shape, source: int, target: int, to_client: bool):
        self.source, self.target, self.to_client, self.shape = source, target, to_client, shape
        self.reset = shape.reset if to_client else 0
        self.shaped: list[tuple[float, int, bytes]] = []
        self.under_way: deque[tuple[float, bytes]] = deque()
        self.free, self.number, self.delivered = 0.0, 0, 0
        self.connections: dict[bytes, float] = {}
        self.until_reset: dict[bytes, int] = {}

    def receive(self, now: float) -> None:
        for _ in range(BATCH):
            try:
                packet = os.read(self.source, MTU + 100)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue
            if self.shape.loss and random.random() < self.shape.loss:
                continue
            if self.reset and packet[9] == TCP:
                packet = self._reset(packet)
            if self.shape.connection_rate:
                self._shape(packet, now)
            else:
                self._send(packet, now, now)

    def _shape(self, packet: bytes, now: float) -> None:
        # Addresses are the same for all connections, ports are not.
        connection = packet[20:24]
        begins = max(self.connections.get(connection, 0.0), now - SLACK)
        if begins - now < self.shape.queue:
            ends = begins + len(packet) * 8 / self.shape.connection_rate
            self.connections[connection] = ends
            self.number += 1
            heapq.heappush(self.shaped, (max(ends, now), self.number, packet))

    def _send(self, packet: bytes, arrived: float, now: float) -> None:
        begins = max(self.free, arrived - SLACK)
        if begins - now < self.shape.queue:
            self.free = begins + len(packet) * 8 / self.shape.rate
            self.under_way.append((max(self.free, arrived) + self.shape.rtt / 2, packet))

    def _reset(self, packet: bytes) -> bytes:
        """The packet, or instead of it a reset where the connection has had its bytes."""
        connection = packet[20:24]
        left = self.until_reset.get(connection, self.reset) - payload(packet)
        self.until_reset[connection] = left
        return reset_instead_of(packet) if left < 0 else packet

    def due(self) -> float:
        first = self.under_way[0][0] if self.under_way else float("inf")
        return min(first, self.shaped[0][0]) if self.shaped else first

    def send_due(self, now: float) -> None:
        while self.shaped and self.shaped[0][0] <= now:
            at, _, packet = heapq.heappop(self.shaped)
            self._send(packet, at, now)
        while self.under_way and self.under_way[0][0] <= now:
            packet = self.under_way.popleft()[1]
            if self.to_client:
                self.delivered += payload(packet)
            os.write(self.target, packet)


def payload(packet: bytes) -> int:
    if packet[9] != TCP:
        return 0
    return len(packet) - 20 - (packet[32] >> 4) * 4


def reset_instead_of(packet: bytes) -> bytes:
    header = bytearray(packet[:20])
    struct.pack_into("!H", header, 2, 40)
    struct.pack_into("!H", header, 10, 0)
    struct.pack_into("!H", header, 10, checksum(header))
    segment = bytearray(packet[20:28] + bytes(4) + bytes([5 << 4, RST]) + bytes(6))
    pseudo = packet[12:20] + struct.pack("!HH", TCP, len(segment))
    struct.pack_into("!H", segment, 16, checksum(pseudo + segment))
    return bytes(header + segment)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tun(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def set_up(namespace: str, congestion: str) -> tuple[int, int]:
    """The two devices: traffic for 127.0.0.1 in the namespace, whose own loopback stays down, goes over the link."""
    name = f"wan{os.getpid()}"
    near, far = tun(f"{name}n"), tun(f"{name}f")
    run("ip", "link", "set", f"{name}f", "netns", namespace)
    inside = ["ip", "netns", "exec", namespace]
    for enter, device, address, peer in (([], f"{name}n", NEAR, FAR), (inside, f"{name}f", FAR, NEAR)):
        run(*enter, "ip", "address", "add", address, "peer", peer, "dev", device)
        run(*enter, "ip", "link", "set", device, "mtu", str(MTU), "txqueuelen", "10000", "up")
        # What has 127.0.0.1 as its address may pass these two devices.
        run(*enter, "sh", "-c", f"echo 1 > /proc/sys/net/ipv4/conf/{device}/route_localnet")
    run("ip", "route", "replace", FAR, "dev", f"{name}n", "src", NEAR, "congctl", congestion)
    run(*inside, "ip", "route", "add", "127.0.0.1", "dev", f"{name}f", "src", FAR)
    return near, far


def main() -> None:
    namespace, shape = sys.argv[1], Shape(**json.loads(sys.argv[2]))
    # Packets are lost at random, but the same ones in each run of the benchmark.
    random.seed(1)
    near, far = set_up(namespace, shape.congestion)
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    down, up = Direction(shape, near, far, True), Direction(shape, far, near, False)
    print("up", flush=True)
    while True:
        due = min(down.due(), up.due())
        wait = None if due == float("inf") else max(0, due - time.monotonic())
        ready, _, _ = select.select([near, far, sys.stdin.fileno()], [], [], wait)
        now = time.monotonic()
        for fd in ready:
            if fd == near:
                down.receive(now)
            elif fd == far:
                up.receive(now)
            elif not sys.stdin.buffer.readline():
                return
            else:
                print(down.delivered, flush=True)
                down.delivered = 0
        down.send_due(now)
        up.send_due(now)


if __name__ == "__main__":
    main()
