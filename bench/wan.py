"""Scenarios over a long link: one large layer, many small ones, lost packets and connections that are reset."""

import shutil
import sys
from pathlib import Path

import measure
from front import Front
from images import Image
from link import Link, Shape
from measure import Failed, Sample
from network import best_peer, command, with_peers
from registry import Registry
from scenarios import Bench, Result, Target, ideal
from tools import Tool, check

DOMINANT = Shape(rtt=0.05, rate=400e6, connection_rate=100e6)
FAR_AWAY = Shape(rtt=0.2)
# With this loss, CUBIC would measure little but its own timeouts.
LOSSY = Shape(rtt=0.05, rate=100e6, loss=0.2, congestion="bbr")
RESETTING = Shape(rtt=0.05, rate=100e6, reset=100_000)

DOMINANT_LAYERS = [300_000_000, 1_000_000]
SMALL_LAYERS = [20_000] * 60
FEW_LAYERS = [3_000_000, 1_500_000, 500_000]


def pulls(bench: Bench, image: Image, tools: list[Tool], servers: dict[str, Registry], shape: Shape) -> Result:
    """Pulls over the link into an absent folder, tools and servers in turn within each round; every result is re-hashed. A peer
    that fails is left out from then on, with a note. `received` counts payload bytes of TCP, retransmissions included."""
    samples: dict[str, list[Sample]] = {f"{tool.label}{name}": [] for tool in tools for name in servers}
    received: dict[str, list[int]] = {label: [] for label in samples}
    notes = []
    with Link(shape) as link:
        for _ in range(bench.runs):
            for tool in tools:
                for name, server in servers.items():
                    label, folder = f"{tool.label}{name}", bench.folder(tool.label)
                    if label not in samples:
                        continue
                    measure.settle()
                    link.forget()
                    link.delivered()
                    line = link.command(command(tool, server, image.name, folder))
                    try:
                        sample = measure.run_against(server, line, bench.work / "command.log")
                    except Failed as error:
                        if tool.label == "rpull":
                            raise
                        notes.append(f"{label} fails: {str(error).splitlines()[-1][-200:]}")
                        del samples[label]
                        continue
                    finally:
                        received[label].append(link.delivered())
                    check(image, folder)
                    shutil.rmtree(folder)
                    samples[label].append(sample)
    rows = {label: measure.summary(taken) for label, taken in samples.items() if taken}
    for label, row in rows.items():
        row["received"] = max(received[label])
    most = ", ".join(f"{label} {row['received'] / 1e6:.2f}" for label, row in rows.items())
    notes.insert(0, f"MB that reached the client in its largest run, heads of answers and retransmissions included: {most}")
    return Result(f"{shape}, {ideal(image)}", rows, [], notes)


def bare_ranges(bench: Bench, image: Image, shape: Shape) -> dict:
    """The largest blob without anything else, over as many connections as the link has room for."""
    digest, size = max(image.blobs.items(), key=lambda blob: blob[1])
    path = f"/v2/{image.name.split(':')[0]}/blobs/{digest}"
    connections = round(shape.rate / shape.connection_rate)
    line = [sys.executable, str(Path(__file__).with_name("bare_ranges.py")), bench.registry.address, path, str(size),
            str(connections)]
    samples = []
    with Link(shape) as link:
        for _ in range(bench.runs):
            measure.settle()
            link.forget()
            samples.append(measure.run_against(bench.registry, link.command(line), bench.work / "command.log"))
    return measure.summary(samples)


def dominant(bench: Bench) -> Result:
    image = bench.image("dominant", DOMINANT_LAYERS)
    result = pulls(bench, image, with_peers(bench), {"": bench.registry}, DOMINANT)
    best_peer(result, "wall", "wall", 0.3)
    bare = bare_ranges(bench, image, DOMINANT)
    result.rows["bare ranges"] = bare
    seconds = image.bytes * 8 / DOMINANT.rate
    result.notes.append("bare ranges: the large layer alone in equal ranges, all requested at once, without manifest, hashing"
                        f" and storing: {seconds / bare['wall']:.3f} of the link")
    if row := result.rows.get("rpull"):
        result.notes.append(f"of the link: {seconds / row['wall']:.3f}; headers of IP and TCP alone take 0.035")
        result.targets.append(Target("wall, of the time that the link needs", row["wall"] / seconds, 1 / 0.9))
    return result


def small_layers(bench: Bench) -> Result:
    image = bench.image("small-layers", SMALL_LAYERS)
    with Front(bench.registry, tls=True) as tls, Front(bench.registry, tls=True, http2=True) as http2:
        # How many round trips a connection takes before the first request, and how many may follow.
        servers = {"": (bench.registry, 1, 8), ", TLS": (tls, 2, 8), ", HTTP/2": (http2, 2, 5)}
        hosts = {name: server for name, (server, _, _) in servers.items()}
        result = pulls(bench, image, with_peers(bench), hosts, FAR_AWAY)
    result.notes.append("round trips: wall time through that of the link, less those of the first connection's handshakes")
    for tool in ("rpull", "skopeo"):
        for name, (_, handshakes, most) in servers.items():
            if row := result.rows.get(tool + name):
                trips = row["wall"] / FAR_AWAY.rtt - handshakes
                result.targets.append(Target(f"round trips of {tool}{name}", trips, most))
    return result


def lossy(bench: Bench) -> Result:
    image = bench.image("few-layers", FEW_LAYERS)
    result = pulls(bench, image, with_peers(bench), {"": bench.registry}, LOSSY)
    result.notes.append("a fifth of all packets is lost in each direction")
    return result


def resets(bench: Bench) -> Result:
    image = bench.image("few-layers", FEW_LAYERS)
    result = pulls(bench, image, with_peers(bench), {"": bench.registry}, RESETTING)
    if row := result.rows.get("rpull"):
        share = row["received"] / image.bytes
        result.targets.append(Target("received, of the image's bytes, with the heads of all answers", share, 1.02))
    return result
