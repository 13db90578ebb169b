"""Scenarios of pulls through nginx: a rate per connection, connections that crawl, and TLS."""

import shutil

import measure
from front import Front
from images import Image
from measure import MIB, Sample
from registry import Registry
from scenarios import COLD_LAYERS, Bench, Result, ideal
from tools import Tool, check

RATE = 20_000_000
BIG_LAYER = [1_000_000_000]
# The last digits of the numbers of two of a hundred connections: more than one front-end of sixty.
CRAWLING = "07|57"


def command(tool: Tool, server: Registry, name: str, folder) -> list[str]:
    """How `tool` pulls from `server`; the peers do not check certificates in any scenario, rpull does."""
    line = tool.pull(f"{server.address}/{name}", folder)
    if server.certificate and tool.label.startswith("rpull"):
        return [*line, "--ca-file", str(server.certificate)]
    return line


def pulls(bench: Bench, image: Image, tools: list[Tool], servers: dict[str, Front]) -> dict[str, dict]:
    """Pulls into an absent folder, tools and servers in turn within each round; every result is re-hashed."""
    samples: dict[str, list[Sample]] = {f"{tool.label}{name}": [] for tool in tools for name in servers}
    for number in range(bench.runs + 1):
        for tool in tools:
            for name, server in servers.items():
                folder = bench.folder(tool.label)
                measure.settle()
                sample = measure.run_against(server, command(tool, server, image.name, folder), bench.work / "command.log")
                check(image, folder)
                shutil.rmtree(folder)
                if number > 0:
                    samples[f"{tool.label}{name}"].append(sample)
    return {label: measure.summary(taken) for label, taken in samples.items()}


def with_peers(bench: Bench) -> list[Tool]:
    """rpull into its store, and the peers."""
    return [tool for tool in bench.complete_tools if tool.label != "rpull -o oci:"]


def best_peer(result: Result, what: str, key: str, most: float) -> None:
    """Adds a target on rpull's `key` as a share of the smallest among the peers."""
    peers = {label: row[key] for label, row in result.rows.items() if label != "rpull"}
    best = min(peers, key=peers.get)
    result.target(f"{what}, of {best}", key, most, of=best)


def capped(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    with Front(bench.registry, rate=RATE) as server:
        rows = pulls(bench, image, with_peers(bench), {"": server})
    result = Result(f"{RATE / 1e6:g} MB/s per connection, {ideal(image)}", rows, [])
    best_peer(result, "wall", "wall", 0.25)
    result.target("peak MiB", "peak", 32 + 64, unit=MIB)
    return result


def crawling(bench: Bench) -> Result:
    image = bench.image("gigabyte", BIG_LAYER)
    with Front(bench.registry, rate=RATE) as even, Front(bench.registry, rate=RATE, crawling=CRAWLING) as uneven:
        rows = pulls(bench, image, [bench.tool("rpull")], {"": even, ", some crawl": uneven})
    title = f"{RATE / 1e6:g} MB/s per connection, 1 MiB/s on two of a hundred, {ideal(image)}"
    result = Result(title, rows, [], ["nginx counts its connections, so each run meets others that crawl"])
    result.compare("wall, of the same without those that crawl", "wall", "rpull, some crawl", "rpull", 1.3)
    return result


def tls(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    with Front(bench.registry, tls=True) as server:
        rows = pulls(bench, image, with_peers(bench), {"": server})
    result = Result(f"TLS, {ideal(image)}", rows, [], ["nginx is one process: what it spends is in the registry's column"])
    best_peer(result, "wall", "wall", 0.55)
    best_peer(result, "CPU", "cpu", 0.58)
    return result
