"""The scenarios: each measures some tools and returns rows, and the targets that rpull has there."""

import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import images
import machine
import measure
from images import Image
from measure import MIB, Sample
from registry import Registry
from tools import Tool, check

COLD_LAYERS = [333_000_000, 191_000_000, 95_000_000, 66_000_000, 1_000_000, 1_000]


@dataclass
class Bench:
    """What every scenario needs. `scale` shrinks the images, for a trial of the script itself."""

    work: Path
    registry: Registry
    tools: list[Tool]
    runs: int
    scale: float
    rates: dict
    cores: int

    @property
    def complete_tools(self) -> list[Tool]:
        return [tool for tool in self.tools if tool.complete]

    def tool(self, label: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.label == label), None)

    def image(self, name: str, sizes: list[int], build=images.flat) -> Image:
        sizes = [int(size * self.scale) for size in sizes]
        tag = "1" if self.scale == 1 else f"scale-{self.scale:g}"
        return images.publish(self.registry, self.work, f"bench/{name}:{tag}", sizes, build)

    def folder(self, name: str) -> Path:
        """An absent folder on the disk that everything is measured on."""
        path = self.work / "pulled" / name.replace(" ", "-").strip(":")
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(exist_ok=True)
        return path

    def command(self, tool: Tool) -> list[str]:
        """How `tool` is called, for the record."""
        return tool.pull(f"{self.registry.address}/bench/cold:1", self.work / "pulled" / "FOLDER")

    def run(self, command: list[str]) -> Sample:
        return measure.run_against(self.registry, command, self.work / "command.log")

    def pull(self, tool: Tool, image: Image, folder: Path) -> Sample:
        return self.run(tool.pull(f"{self.registry.address}/{image.name}", folder))


@dataclass
class Target:
    """A figure of rpull and the most that it may be; None where rpull or the peer was not measured."""

    what: str
    value: float | None
    most: float


@dataclass
class Result:
    """A table of medians by tool, what the pull moves at least, and the targets."""

    title: str
    rows: dict[str, dict]
    targets: list[Target]
    notes: list[str] = field(default_factory=list)
    limit: dict | None = None

    def target(self, what: str, key: str, most: float, of: str | None = None, unit: float = 1) -> None:
        """Adds a target on rpull's `key`, in `unit`s or as a share of the row `of`."""
        row, other = self.rows.get("rpull"), self.rows.get(of) if of else None
        known = row is not None and (of is None or other is not None)
        value = row[key] / (other[key] if other else unit) if known else None
        self.targets.append(Target(what, value, most))

    def compare(self, what: str, key: str, row: str, other: str, most: float) -> None:
        """Adds a target on one row as a share of another."""
        value = self.rows[row][key] / self.rows[other][key]
        self.targets.append(Target(what, value, most))


def pulls(bench: Bench, image: Image, tools: list[Tool], runs: int, warm_up: bool = True) -> dict[str, dict]:
    """Pulls into an empty folder, the tools in turn within each round; every result is re-hashed, then deleted."""
    samples: dict[str, list[Sample]] = {tool.label: [] for tool in tools}
    for number in range(runs + warm_up):
        for tool in tools:
            folder = bench.folder(tool.label)
            measure.settle()
            sample = bench.pull(tool, image, folder)
            check(image, folder)
            shutil.rmtree(folder)
            if number >= warm_up:
                samples[tool.label].append(sample)
    return {label: measure.summary(taken) for label, taken in samples.items()}


def ideal(image: Image) -> str:
    requests = len(image.blobs) + len(image.documents)
    return f"{image.bytes / 1e6:.1f} MB in {len(image.blobs)} blobs, ideal: {requests} requests"


def cold(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    rows = pulls(bench, image, bench.tools, bench.runs)
    limit = machine.limit(bench.rates, bench.cores, image)
    result = Result(f"cold pull, {ideal(image)}", rows, [], limit=limit)
    result.target("wall, of skopeo", "wall", 0.36, of="skopeo")
    result.target("CPU, of skopeo", "cpu", 0.36, of="skopeo")
    result.target("peak MiB", "peak", 32, unit=MIB)
    result.target("requests", "requests", len(image.blobs) + 1)
    return result


def warm(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    result = Result(f"warm pull, {ideal(image)}", repeated(bench, image, bench.folder), [])
    result.target("wall ms", "wall", 20, unit=1e-3)
    result.target("requests", "requests", 1)
    return result


def repeated(bench: Bench, image: Image, folder_of: Callable[[str], Path]) -> dict[str, dict]:
    """Pulls what the folder of each tool already holds."""
    rows = {}
    for tool in bench.complete_tools:
        folder = folder_of(tool.label)
        bench.pull(tool, image, folder)
        rows[tool.label] = measure.summary([bench.pull(tool, image, folder) for _ in range(bench.runs)])
        shutil.rmtree(folder)
    return rows


def start(bench: Bench) -> Result:
    commands = {tool.label: [tool.program, "--version"] for tool in bench.tools if tool.label in ("rpull", "skopeo")}
    commands["true (floor)"] = ["true"]
    runs = max(bench.runs, 20)
    rows = {label: measure.summary([bench.run(command) for _ in range(runs)]) for label, command in commands.items()}
    result = Result(f"--version, {runs} runs", rows, [], ["the floor is in every figure of this benchmark"])
    result.target("wall ms", "wall", 5, unit=1e-3)
    return result


def big_layer(bench: Bench) -> Result:
    image = bench.image("big-layer", [2 << 30])
    result = Result(f"one big layer, {ideal(image)}", pulls(bench, image, bench.tools, 1, warm_up=False), [])
    result.target("peak MiB", "peak", 32, unit=MIB)
    return result


def many_layers(bench: Bench) -> Result:
    image = bench.image("many-layers", [20_000] * 1000)
    rows = pulls(bench, image, bench.tools, 1, warm_up=False)
    result = Result(f"many layers, {ideal(image)}", rows, [])
    result.target("peak MiB", "peak", 32, unit=MIB)
    result.target("requests", "requests", len(image.blobs) + 1)
    return result


def index(bench: Bench) -> Result:
    image = bench.image("index", [2_000_000, 500_000, 20_000], images.indexed)
    rows = pulls(bench, image, bench.complete_tools, bench.runs)
    result = Result(f"this host's platform of an index, {ideal(image)}", rows, [])
    result.target("requests", "requests", len(image.blobs) + 2)
    return result


def large_store(bench: Bench) -> Result:
    """A warm pull, and what a pull of an image with one new layer costs more than in an empty store."""
    releases = [bench.image(f"release-{n}", [64_000] * 4, images.release(n)) for n in range(bench.runs + 2)]
    rows: dict[str, dict] = {}
    for tool in bench.complete_tools:
        if tool.label == "rpull -o oci:":
            continue
        filled = bench.folder(tool.label)
        images.fill_store(filled, images=2000, layers=8)
        empty = bench.folder(f"{tool.label} empty")
        rows |= commits(bench, tool, releases, {"20,000 blobs": filled, "empty": empty})
    result = Result("store with 20,000 blobs and 2,000 images", rows, [])
    result.targets += [
        Target("warm pull ms", difference(rows, "rpull, warm, 20,000 blobs", None), 20),
        Target("commit adds ms", difference(rows, "rpull, one new layer, 20,000 blobs", "rpull, one new layer, empty"), 30),
    ]
    return result


def commits(bench: Bench, tool: Tool, releases: list[Image], stores: dict[str, Path]) -> dict[str, dict]:
    """Warm pulls of the first release and first pulls of all later ones, the stores in turn."""
    warm: dict[str, list[Sample]] = {name: [] for name in stores}
    new: dict[str, list[Sample]] = {name: [] for name in stores}
    for folder in stores.values():
        bench.pull(tool, releases[0], folder)
    for number, release in enumerate(releases[1:]):
        for name, folder in stores.items():
            again, first = bench.pull(tool, releases[0], folder), bench.pull(tool, release, folder)
            if number > 0:
                warm[name].append(again)
                new[name].append(first)
    for folder in stores.values():
        shutil.rmtree(folder)
    rows = {f"{tool.label}, warm, {name}": measure.summary(taken) for name, taken in warm.items()}
    return rows | {f"{tool.label}, one new layer, {name}": measure.summary(taken) for name, taken in new.items()}


def difference(rows: dict[str, dict], label: str, other: str | None) -> float | None:
    """Milliseconds of wall time of a row, less those of another."""
    if label not in rows:
        return None
    return (rows[label]["wall"] - (rows[other]["wall"] if other else 0)) * 1e3


ALL: dict[str, Callable[[Bench], Result]] = {
    "cold": cold,
    "warm": warm,
    "start": start,
    "big-layer": big_layer,
    "many-layers": many_layers,
    "index": index,
    "large-store": large_store,
}
