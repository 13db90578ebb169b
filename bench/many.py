"""Scenarios of one run with many images, and of one with many targets."""

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import images
import measure
import sending
from images import Image
from measure import Failed, Sample
from proxy import Proxy
from registry import Registry
from scenarios import Bench, Result, Target, ideal
from unpacking import PLACE

IMAGES = 40
SMALL_LAYERS = [64_000] * 4
PUT_SECONDS = 0.2
FAN_OUT_LAYERS = [80_000_000, 60_000_000, 20_000_000, 1_000]
SOURCE_RATE = 20e6


def small_images(bench: Bench) -> list[Image]:
    """Tags of one repository, which share every layer but the last."""
    return [images.publish(bench.registry, bench.work, f"bench/small:{n}", SMALL_LAYERS, images.release(n))
            for n in range(IMAGES)]


def fan_out_image(bench: Bench) -> Image:
    return bench.image("fan-out", FAN_OUT_LAYERS)


def empty_registry(name: str) -> Registry:
    place = PLACE / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return Registry(place)


def copy_all_tags(bench: Bench, program: str) -> Sample:
    """All small images to a registry that holds nothing and takes its time for each manifest."""
    small_images(bench)
    with empty_registry("target") as registry, Proxy(registry.address, delay=PUT_SECONDS) as proxy:
        measure.settle()
        start = time.perf_counter()
        sample = measure.run_against(registry, [
            program, "-q", "copy", "--all-tags", f"{bench.registry.address}/bench/small", f"{proxy.address}/bench/small",
        ], bench.work / "command.log")
    if len(proxy.named) != IMAGES:
        raise Failed(f"{len(proxy.named)} of {IMAGES} tags were put")
    sample.half_named = proxy.named[IMAGES // 2 - 1] - start
    return sample


def fan_out(bench: Bench, program: str, targets: int = 3) -> Sample:
    """One image by way of a slow network to registries that hold nothing; requests are those at all registries, `sent` is
    what left the source."""
    image, example = fan_out_image(bench), Path(program).parent / "examples" / "fan_out"
    if not example.exists():
        raise Failed(f"no {example}: cargo build --release --example fan_out")
    with ExitStack() as running:
        registries = [running.enter_context(empty_registry(f"target-{n}")) for n in range(targets)]
        proxy = running.enter_context(Proxy(bench.registry.address, rate=SOURCE_RATE))
        names = [f"{registry.address}/{image.name}" for registry in registries]
        measure.settle()
        sample = bench.run([str(example), f"{proxy.address}/{image.name}", *names])
        sample.sent = proxy.sent
        sample.requests += sum(registry.since(0)[0] for registry in registries)
        for name in names:
            sending.check(image, name)
    return sample


def manifests(bench: Bench) -> Result:
    program = bench.tool("rpull").program
    row = measure.summary([copy_all_tags(bench, program) for _ in range(bench.runs)])
    title = f"copy of {IMAGES} small images of one repository, {PUT_SECONDS * 1e3:g} ms for each PUT of a manifest"
    result = Result(title, {"rpull": row}, [], ["requests are those at the target"])
    result.target("wall, of the PUTs one after the other", "wall", 0.25, unit=IMAGES * PUT_SECONDS)
    result.targets.append(Target("half of the images are named, of the wall", row["half_named"] / row["wall"], 0.6))
    shutil.rmtree(PLACE)
    return result


def three(bench: Bench) -> Result:
    program, one, more = bench.tool("rpull").program, "one target", "three targets"
    samples: dict[str, list[Sample]] = {one: [], more: []}
    for _ in range(bench.runs):
        samples[one].append(fan_out(bench, program, 1))
        samples[more].append(fan_out(bench, program, 3))
    rows = {label: measure.summary(taken) for label, taken in samples.items()}
    image = fan_out_image(bench)
    title = f"from a source of {SOURCE_RATE / 1e6:g} MB/s per connection to three registries, {ideal(image)}"
    result = Result(title, rows, [], ["requests are those at all registries, MB sent is what left the source"])
    result.compare("wall, of one target", "wall", more, one, 1.3)
    result.targets.append(Target("bytes that left the source, of the image", rows[more]["sent"] / image.bytes, 1.02))
    shutil.rmtree(PLACE)
    return result
