#!/usr/bin/env python3
"""Compares two builds of rpull, pair by pair: for each scenario the ratio new/old of wall time, CPU time, peak memory and
requests. The order within a pair changes each time, so that a machine that drifts harms both alike. See README.md."""

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True

import images
import machine
import many
import measure
import tools
from measure import MIB, Failed, Sample
from registry import Registry
from scenarios import COLD_LAYERS, Bench
from unpacking import LAYERS, PLACE

HERE = Path(__file__).resolve().parent
OLD, NEW = 0, 1


@dataclass
class Scenario:
    """`command(program, name, folder)` is measured; `prepare`, with the same arguments, runs before it and is not."""

    image: Callable[[Bench], images.Image]
    command: Callable[[str, str, Path], list[str]]
    prepare: Callable[[str, str, Path], list[str]] | None = None
    empty_target: bool = False


def cold_image(bench: Bench) -> images.Image:
    return bench.image("cold", COLD_LAYERS)


def files(bench: Bench) -> images.Image:
    return bench.image("usr", LAYERS, images.of_this_machine)


def pull(program: str, name: str, to: Path) -> list[str]:
    return [program, "--store", f"{to}/store", "-q", name]


ALL = {
    "start": Scenario(cold_image, lambda program, *_: [program, "--version"]),
    "cold": Scenario(cold_image, pull),
    "warm": Scenario(cold_image, pull, prepare=pull),
    "many-layers": Scenario(lambda bench: bench.image("many-layers", [20_000] * 1000), pull),
    "push": Scenario(cold_image, lambda program, name, to: [program, "--store", f"{to}/store", "-q", "push", name, "{target}"],
                     prepare=pull, empty_target=True),
    "copy": Scenario(cold_image, lambda program, name, _: [program, "-q", "copy", name, "{target}"], empty_target=True),
    "pull --unpack": Scenario(files, lambda program, name, to: [
        program, "--store", f"{to}/store", "-q", "pull", "--unpack", f"{to}/root", name]),
    "unpack": Scenario(files, lambda program, name, to: [
        program, "--store", f"{to}/store", "--offline", "-q", "unpack", name, f"{to}/root"], prepare=pull),
    "export": Scenario(files, lambda program, name, to: [
        program, "--store", f"{to}/store", "--offline", "-q", "export", name, "-o", f"{to}/root.tar"], prepare=pull),
    "save": Scenario(cold_image, lambda program, name, to: [program, "--store", f"{to}/store", "-q", "save", name, "-o", f"{to}/a.tar"],
                     prepare=pull),
}

# Those that need more than a command.
MANY: dict[str, Callable[[Bench, str], Sample]] = {"manifests": many.copy_all_tags, "three": many.fan_out}


def sample(bench: Bench, scenario: Scenario, program: str, name: str) -> Sample:
    """One run of one build, from nothing; what it made is deleted."""
    to = PLACE / "pair"
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    if scenario.prepare:
        subprocess.run(scenario.prepare(program, name, to), check=True, stdout=subprocess.DEVNULL)
    command = scenario.command(program, name, to)
    measure.settle()
    if scenario.empty_target:
        with Registry(to) as registry:
            target = f"{registry.address}/bench/target:1"
            command = [target if word == "{target}" else word for word in command]
            taken = measure.run_against(registry, command, bench.work / "command.log")
    else:
        taken = bench.run(command)
    shutil.rmtree(to)
    return taken


def sampler(bench: Bench, what: str) -> Callable[[str], Sample]:
    """Runs one build in this scenario, once."""
    if what in MANY:
        return lambda program: MANY[what](bench, program)
    scenario = ALL[what]
    name = f"{bench.registry.address}/{scenario.image(bench).name}"
    return lambda program: sample(bench, scenario, program, name)


def compare(bench: Bench, what: str, old: str, new: str) -> str:
    take, pairs = sampler(bench, what), []
    for number in range(bench.runs + 1):
        order = [OLD, NEW] if number % 2 else [NEW, OLD]
        taken = {side: take((old, new)[side]) for side in order}
        # The first pair warms the page cache up.
        if number > 0:
            pairs.append((taken[OLD], taken[NEW]))
    return row(what, pairs)


def row(what: str, pairs: list[tuple[Sample, Sample]]) -> str:
    def of(key: str, side: int) -> list:
        return [getattr(pair[side], key) for pair in pairs]

    def ratio(key: str) -> str:
        ratios = [new / old for old, new in zip(of(key, OLD), of(key, NEW), strict=True)]
        return f"{statistics.median(ratios):5.3f} ({min(ratios):.3f}-{max(ratios):.3f})"

    walls = [f"{statistics.median(of('wall', side)):8.3f}" for side in (OLD, NEW)]
    peaks = [f"{max(of('peak', side)) / MIB:6.1f}" for side in (OLD, NEW)]
    requests = ["/".join(map(str, sorted(set(of("requests", side))))) for side in (OLD, NEW)]
    line = f"{what:14} {' '.join(walls)}   {ratio('wall')}   {ratio('cpu')}   {' '.join(peaks)}   {' -> '.join(requests)}"
    if not any(of("half_named", NEW)):
        return line
    halves = [f"{statistics.median(of('half_named', side)):.3f}" for side in (OLD, NEW)]
    return f"{line}\n{'':14} half of the images named after {' -> '.join(halves)} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", help="the build to compare with")
    parser.add_argument("new", nargs="?", default=str(HERE.parent / "target/release/rpull"))
    parser.add_argument("--only", action="append", choices=[*ALL, *MANY], help="a scenario; repeatable; default: all but three")
    parser.add_argument("--runs", type=int, default=7, help="measured pairs (default 7)")
    parser.add_argument("--scale", type=float, default=1, help="multiplies layer sizes, to try the script out")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder for images; the runs are on tmpfs")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    old, new = (str(Path(path).resolve()) for path in (options.old, options.new))
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    facts = machine.facts(work)
    print(f"{facts}\nold: {old}, {tools.version_of([old, '--version'])}\nnew: {new}, {tools.version_of([new, '--version'])}")
    print(f"medians of {options.runs} pairs; new/old as median (range)\n{'':14} {'old s':>8} {'new s':>8}   {'wall new/old':19}"
          f"   {'CPU new/old':19}   {'old MiB':>6} {'new':>6}   requests", flush=True)
    try:
        with Registry(work) as registry:
            bench = Bench(work, registry, [], options.runs, options.scale, {}, facts["cores"])
            for name in options.only or [*ALL, "manifests"]:
                print(compare(bench, name, old, new), flush=True)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
