"""Scenarios that write to a registry: pushes from disk, and copies from one registry to another."""

import shutil
import subprocess
from collections.abc import Callable

import measure
from images import Image, host_architecture
from measure import MIB, Failed, Sample
from registry import Registry
from scenarios import COLD_LAYERS, Bench, Result, ideal
from tools import Tool

# How each tool copies from one registry to the other; rpull's push has the store that it pulled into as its source.
Command = Callable[[str, str], list[str]]


def copies(bench: Bench) -> dict[str, Command]:
    platform = f"linux/{host_architecture()}"
    plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    known: dict[str, Command] = {
        "rpull": lambda a, b: [bench.tool("rpull").program, "-q", "copy", a, b],
        "skopeo": lambda a, b: ["skopeo", "copy", "--quiet", "--insecure-policy", *plain, f"docker://{a}", f"docker://{b}"],
        "crane": lambda a, b: ["crane", "copy", "--insecure", f"--platform={platform}", a, b],
        "regctl": lambda a, b: [
            "regctl", *(word for host in (a, b) for word in ("--host", f"reg={host.split('/')[0]},tls=disabled")),
            "image", "copy", f"--platform={platform}", a, b],
        "oras": lambda a, b: ["oras", "copy", "--from-plain-http", "--to-plain-http", f"--platform={platform}", a, b],
    }
    return {label: command for label, command in known.items() if bench.tool(label)}


def pushes(bench: Bench, image: Image) -> dict[str, Command]:
    """From what each tool pulled, the only peers being those that push a layout."""
    known = {}
    for tool in bench.complete_tools:
        if tool.label not in ("rpull", "skopeo"):
            continue
        folder = bench.folder(f"{tool.label} source")
        bench.pull(tool, image, folder)
        known[tool.label] = from_folder(tool, folder)
    return known


def from_folder(tool: Tool, folder) -> Command:
    if tool.label == "rpull":
        return lambda a, b: [tool.program, "--store", str(folder), "-q", "push", a, b]
    return lambda a, b: ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false",
                         f"oci:{folder}:{a}", f"docker://{b}"]


def into_empty_registries(bench: Bench, image: Image, commands: dict[str, Command]) -> dict[str, dict]:
    """Runs the tools in turn, each against a registry that holds nothing; its requests are counted, and what it then
    holds is hashed by the registry itself as it arrives and looked for by the manifest's digest."""
    samples: dict[str, list[Sample]] = {label: [] for label in commands}
    source = f"{bench.registry.address}/{image.name}"
    for number in range(bench.runs + 1):
        for label, command in commands.items():
            work = bench.work / "target"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            with Registry(work) as registry:
                target = f"{registry.address}/{image.name}"
                measure.settle()
                sample = measure.run_against(registry, command(source, target), bench.work / "command.log")
                check(image, target)
            if number > 0:
                samples[label].append(sample)
    return {label: measure.summary(taken) for label, taken in samples.items()}


def check(image: Image, name: str) -> None:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    if subprocess.run(command, capture_output=True).returncode != 0:
        raise Failed(f"{name} did not arrive")


def compare(bench: Bench, what: str, image: Image, commands: dict[str, Command], requests: int) -> Result:
    rows = into_empty_registries(bench, image, commands)
    result = Result(f"{what}, {ideal(image)}", rows, [], ["requests are those at the target"])
    result.target("wall, of skopeo", "wall", 0.7, of="skopeo")
    result.target("CPU, of skopeo", "cpu", 0.5, of="skopeo")
    result.target("peak MiB", "peak", 32, unit=MIB)
    result.target("requests", "requests", requests)
    return result


def push(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    # HEAD, two for each blob, and the manifest.
    return compare(bench, "push", image, pushes(bench, image), 2 * len(image.blobs) + 2)


def copy(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    return compare(bench, "copy from registry to registry", image, copies(bench), 2 * len(image.blobs) + 2)
