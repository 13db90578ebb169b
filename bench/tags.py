"""Thousands of tags: memory and time of `rpull mirror`, and when half of the tags are there."""

import json
import os
import shutil
import time
from pathlib import Path

import measure
from images import Layout
from many import empty_registry
from measure import MIB, Failed, Sample
from registry import Registry
from scenarios import Bench, Result, Target
from unpacking import PLACE

REPOSITORIES, TAGS = 200, 10_000
# The base of a repository, and what each tag adds.
LAYERS = [64_000, 4_000]
STORE = Path("docker/registry/v2")


def fill(root: Path, repositories: int, tags: int) -> None:
    """Writes images as docker-registry keeps them: pushing so many would take longer than all that is measured."""
    layout = Layout(root / "layout", "tags")
    for number in range(repositories):
        place = root / STORE / "repositories" / f"bench/tags-{number:03}"
        base = layout.layer(LAYERS[0])
        for tag in range(tags // repositories):
            layers = [base, layout.layer(LAYERS[1])]
            manifest = layout.manifest(layers)
            document = json.loads((layout.blobs / manifest["digest"][7:]).read_bytes())
            for blob in [document["config"], *document["layers"]]:
                link(place / "_layers", blob["digest"])
            link(place / "_manifests" / "revisions", manifest["digest"])
            link(place / "_manifests" / "tags" / f"v{tag}" / "index", manifest["digest"])
            current = place / "_manifests" / "tags" / f"v{tag}" / "current"
            current.mkdir()
            (current / "link").write_text(manifest["digest"])
    for blob in layout.blobs.iterdir():
        data = root / STORE / "blobs" / "sha256" / blob.name[:2] / blob.name / "data"
        data.parent.mkdir(parents=True)
        blob.rename(data)
    shutil.rmtree(layout.path)


def link(place: Path, digest: str) -> None:
    folder = place / "sha256" / digest[7:]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").write_text(digest)


def named(target: Registry) -> list[float]:
    """When each tag was written, in order."""
    links = (target.root / STORE / "repositories").glob("bench/*/_manifests/tags/*/current/link")
    return sorted(os.stat(link).st_mtime for link in links)


def mirrored(bench: Bench, source: Registry, repositories: int, tags: int) -> dict[str, Sample]:
    """The plan, a run into a registry that holds nothing, and the same again."""
    folder = bench.folder("tags")
    folder.mkdir(parents=True)
    names = [f"bench/tags-{number:03}" for number in range(repositories)]
    samples = {}
    with empty_registry("target") as target:
        entries = [{"from": f"{source.address}/{name}", "to": f"{target.address}/{name}"} for name in names]
        file = folder / "mirror.yaml"
        file.write_text(json.dumps({"mirror": entries}))
        command = [bench.tool("rpull").program, "-q", "mirror", "--state", str(folder / "state.json"), str(file)]
        for what, line in {"plan": [*command, "--plan"], "cold": command, "warm": command}.items():
            measure.settle()
            mark, start = target.mark(), time.time()
            sample = measure.run_against(source, line, bench.work / "command.log")
            sample.requests += target.since(mark)[0]
            times = named(target)
            if len(times) != (0 if what == "plan" else tags):
                raise Failed(f"{len(times)} of {tags} tags after the {what} run")
            if what == "cold":
                sample.half_named = times[tags // 2 - 1] - start
            samples[what] = sample
    shutil.rmtree(folder)
    return samples


def tags(bench: Bench) -> Result:
    sizes, rows = {}, {}
    for share in (4, 1):
        repositories = max(1, int(REPOSITORIES * bench.scale / share))
        count = TAGS // REPOSITORIES * repositories
        place = PLACE / "source"
        shutil.rmtree(PLACE, ignore_errors=True)
        place.mkdir(parents=True)
        fill(place / "registry", repositories, count)
        with Registry(place) as source:
            samples = mirrored(bench, source, repositories, count)
        rows |= {f"{count}, {what}": measure.summary([sample]) for what, sample in samples.items()}
        sizes[share] = count
    few, all_tags = (lambda what: rows[f"{sizes[4]}, {what}"]), (lambda what: rows[f"{sizes[1]}, {what}"])
    title = f"mirror of {sizes[4]:,} and of {sizes[1]:,} tags, {TAGS // REPOSITORIES} in a repository, registries on tmpfs, one run each"
    result = Result(title, rows, [], ["requests are those at both registries"])
    growth = sizes[1] / sizes[4]
    result.targets += [
        Target("plan s", all_tags("plan")["wall"], 30),
        Target("peak MiB", max(row["peak"] for row in rows.values()) / MIB, 256),
        Target("wall per tag, of that with fewer tags", all_tags("cold")["wall"] / few("cold")["wall"] / growth, 1.1),
        Target("half of the tags are named, of the wall", all_tags("cold")["half_named"] / all_tags("cold")["wall"], 0.6),
    ]
    shutil.rmtree(PLACE)
    return result
