"""A fleet of tags over one base, from registry to registry: `rpull mirror`, and what its peers have for that."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import images
import measure
from images import Image
from many import empty_registry
from measure import MIB, Failed, Sample
from proxy import Proxy
from registry import Registry
from scenarios import Bench, Result, Target
from unpacking import PLACE

REPOSITORIES = 8
TAGS = 6
# The base, and what each tag adds: 134 MB in all.
LAYERS = [95_000_000, 812_000]


@dataclass
class Fleet:
    """The images by repository, in the registry of the benchmark."""

    source: str
    repositories: dict[str, list[Image]]

    @property
    def blobs(self) -> dict[str, int]:
        return {digest: size for tags in self.repositories.values() for image in tags for digest, size in image.blobs.items()}

    @property
    def bytes(self) -> int:
        return sum(self.blobs.values())


# How a tool mirrors the fleet to a registry, with a folder for its files.
Command = Callable[[Fleet, str, Path], list[str]]


def publish(bench: Bench) -> Fleet:
    scale = "" if bench.scale == 1 else f"-scale-{bench.scale:g}"
    sizes, fleet = [int(size * bench.scale) for size in LAYERS], Fleet(bench.registry.address, {})
    for number in range(REPOSITORIES):
        name = f"bench/fleet{scale}-{number}"
        fleet.repositories[name] = [
            images.publish(bench.registry, bench.work, f"{name}:{tag}", sizes, images.release(f"{number} {tag}"))
            for tag in range(TAGS)
        ]
    return fleet


def rpull(program: str) -> Command:
    def command(fleet: Fleet, to: str, folder: Path) -> list[str]:
        entries = [{"from": f"{fleet.source}/{name}", "to": f"{to}/{name}"} for name in fleet.repositories]
        return [program, "-q", "mirror", "--state", str(folder / "state.json"), written(folder, {"mirror": entries})]
    return command


def skopeo(fleet: Fleet, to: str, folder: Path) -> list[str]:
    repositories = {name: [] for name in fleet.repositories}
    file = written(folder, {fleet.source: {"tls-verify": False, "images": repositories}})
    return ["skopeo", "--insecure-policy", "sync", "--all", "--dest-tls-verify=false", "--src=yaml", "--dest=docker",
            file, f"{to}/bench"]


def regsync(fleet: Fleet, to: str, folder: Path) -> list[str]:
    creds = [{"registry": registry, "tls": "disabled"} for registry in (fleet.source, to)]
    sync = [{"source": f"{fleet.source}/{name}", "target": f"{to}/{name}", "type": "repository"} for name in fleet.repositories]
    return ["regsync", "once", "-c", written(folder, {"version": 1, "creds": creds, "sync": sync})]


def crane(fleet: Fleet, to: str, _: Path) -> list[str]:
    copies = [f"crane copy --insecure --all-tags {fleet.source}/{name} {to}/{name}" for name in fleet.repositories]
    return ["sh", "-ec", "\n".join(copies)]


def written(folder: Path, value: dict) -> str:
    """The path of a file with this value; JSON is YAML."""
    path = folder / "fleet.yaml"
    path.write_text(json.dumps(value))
    return str(path)


def mirrored(fleet: Fleet, target: Registry, to: str, command: Command, folder: Path, bench: Bench) -> Sample:
    """One run. Requests are those at both registries, `sent` is what left the source."""
    measure.settle()
    mark = target.mark()
    sample = bench.run(command(fleet, to, folder))
    sample.requests += target.since(mark)[0]
    return sample


def cold_and_warm(fleet: Fleet, command: Command, bench: Bench) -> tuple[Sample, Sample]:
    """Into a registry that holds nothing, and the same again."""
    folder = bench.folder("fleet")
    folder.mkdir(parents=True)
    with empty_registry("target") as target:
        cold = mirrored(fleet, target, target.address, command, folder, bench)
        check(fleet, target)
        warm = mirrored(fleet, target, target.address, command, folder, bench)
    shutil.rmtree(folder)
    return cold, warm


def check(fleet: Fleet, target: Registry) -> None:
    """Looks for the tags in the folder of the registry."""
    for name, tags in fleet.repositories.items():
        for image in tags:
            tag = image.name.rpartition(":")[2]
            link = target.root / "docker/registry/v2/repositories" / name / "_manifests/tags" / tag / "current/link"
            if not link.exists() or link.read_text() != image.documents[0]:
                raise Failed(f"{image.name} did not arrive")


def received(fleet: Fleet, command: Command, bench: Bench) -> int:
    """Body bytes that a cold run sends to the target; not measured otherwise, as a proxy counts them."""
    folder = bench.folder("fleet")
    folder.mkdir(parents=True)
    with empty_registry("target") as target, Proxy(target.address) as proxy:
        mirrored(fleet, target, proxy.address, command, folder, bench)
    shutil.rmtree(folder)
    return proxy.received


def mirror(bench: Bench) -> Result:
    fleet, commands = publish(bench), {"rpull": rpull(bench.tool("rpull").program)}
    peers: dict[str, Command] = {"skopeo": skopeo, "regsync": regsync, "crane": crane}
    commands |= {label: command for label, command in peers.items() if shutil.which(label)}
    samples: dict[str, list[Sample]] = {}
    for number in range(bench.runs + 1):
        for label, command in commands.items():
            cold, warm = cold_and_warm(fleet, command, bench)
            if number > 0:
                samples.setdefault(label, []).append(cold)
                samples.setdefault(f"{label}, warm", []).append(warm)
    order = [*commands, *(f"{label}, warm" for label in commands)]
    rows = {label: measure.summary(samples[label]) for label in order}
    sent = received(fleet, commands["rpull"], bench)
    tags = REPOSITORIES * TAGS
    title = f"mirror of {tags} tags in {REPOSITORIES} repositories, {fleet.bytes / 1e6:.1f} MB in {len(fleet.blobs)} unique blobs"
    result = Result(title, rows, [], ["requests are those at both registries, MB sent is what left the source"])
    for label in commands:
        if label != "rpull":
            result.compare(f"wall, of {label}", "wall", "rpull", label, 0.4)
            result.compare(f"wall warm, of {label}", "wall", "rpull, warm", f"{label}, warm", 1.0)
    result.targets += [
        Target("bytes that left the source, of the unique bytes", rows["rpull"]["sent"] / fleet.bytes, 1.02),
        Target("bytes sent to the target, of the unique bytes", sent / fleet.bytes, 1.02),
        Target("warm requests", rows["rpull, warm"]["requests"], 2 * tags + REPOSITORIES),
    ]
    result.target("peak MiB", "peak", 256, unit=MIB)
    shutil.rmtree(PLACE)
    return result
