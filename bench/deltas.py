"""Deltas: an image whose only layer has changed in places, pulled and saved by what changed, and whole."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import images
import measure
from images import Image, Layout
from measure import MIB, Failed, Sample
from scenarios import Bench, Result
from tools import check

# Of files before compression: about 95 MB after it.
FILES = 250_000_000
# Of the pieces of files that are read at once, one of so many is changed.
CHANGED = 40
# 50 Mbit/s.
RATE = "6M"


def tar(size: int, is_changed: bool):
    """Files of /usr, some of them changed in the middle as by an update."""
    chosen, total = [], 0
    for number, path in enumerate(sorted(Path("/usr").rglob("*"))):
        if number % 3 == 0 and path.is_file() and not path.is_symlink() and total < size:
            chosen.append(path)
            total += path.stat().st_size
    for number, piece in enumerate(images.tar_of(chosen)):
        if is_changed and number % CHANGED == 0 and len(piece) > 4096:
            half = len(piece) // 2
            piece = piece[:half] + b"updated" + piece[half + 7:]
        yield piece


def publish(bench: Bench, tag: str) -> Image:
    """An image of one layer that skopeo compresses, as buildah and podman do."""
    name = f"bench/delta{'' if bench.scale == 1 else f'-scale-{bench.scale:g}'}:{tag}"
    record = bench.work / "images" / f"delta-{bench.scale:g}-{tag}.json"
    if record.exists():
        return Image(**json.loads(record.read_text()))
    path = bench.work / "layout"
    shutil.rmtree(path, ignore_errors=True)
    layout = Layout(path, name)
    layer = layout.uncompressed(tar(int(FILES * bench.scale), tag == "new"))
    layout.name(layout.manifest([layer]), "image")
    layout.close()
    target = f"docker://{bench.registry.address}/{name}"
    done(["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", f"oci:{path}:image", target])
    shutil.rmtree(path)
    manifest = done(["skopeo", "inspect", "--raw", "--tls-verify=false", target])
    blobs = json.loads(manifest)
    blobs = {blob["digest"]: blob["size"] for blob in [blobs["config"], *blobs["layers"]]}
    image = Image(name, blobs, [f"sha256:{hashlib.sha256(manifest).hexdigest()}"])
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(asdict(image)))
    return image


def done(command: list[str], **options) -> bytes:
    run = subprocess.run(command, capture_output=True, **options)
    if run.returncode != 0:
        raise Failed(f"{' '.join(command)} failed: {run.stderr.decode().strip()}")
    return run.stdout


def deltas(bench: Bench) -> Result:
    tool = bench.tool("rpull")
    if tool is None:
        raise Failed("this scenario needs rpull")
    old, new = publish(bench, "old"), publish(bench, "new")
    at = {image.name: f"{bench.registry.address}/{image.name}" for image in (old, new)}
    done([tool.program, "-q", "delta", at[old.name], at[new.name], "--push"])
    base = bench.folder("base")
    bench.pull(tool, old, base)
    slow = ["--limit-rate", RATE]
    pulls = {
        "rpull": slow,
        "rpull, whole": [*slow, "--delta", "never"],
        "rpull, loopback": [],
        "rpull, loopback, whole": ["--delta", "never"],
    }
    samples: dict[str, list[Sample]] = {}
    for _ in range(bench.runs):
        for label, options in pulls.items():
            folder = bench.folder("rpull")
            shutil.copytree(base, folder)
            measure.settle()
            command = [tool.program, "--store", str(folder), "-q", "pull", *options, at[new.name]]
            samples.setdefault(label, []).append(bench.run(command))
            check(new, folder)
            shutil.rmtree(folder)
    notes = saves(bench, tool.program, base, at[old.name], at[new.name], samples)
    rows = {label: measure.summary(taken) for label, taken in samples.items()}
    result = Result(f"deltas, a layer of {new.bytes / 1e6:.1f} MB, pulled at {RATE}B/s", rows, [], notes)
    result.compare("wall, of the whole layer", "wall", "rpull", "rpull, whole", 0.25)
    result.compare("bytes, of the whole layer", "sent", "rpull", "rpull, whole", 0.04)
    result.compare("requests on loopback, of the whole layer", "requests", "rpull, loopback", "rpull, loopback, whole", 1)
    result.target("peak MiB", "peak", 192, unit=MIB)
    return result


def saves(bench: Bench, program: str, base: Path, old: str, new: str, samples: dict) -> list[str]:
    """Archives for a machine with the old image, in turn; returns their sizes."""
    folder, archive, notes = bench.folder("rpull"), bench.work / "update.tar", {}
    shutil.copytree(base, folder)
    done([program, "--store", str(folder), "-q", "pull", "--delta", "never", new])
    for _ in range(bench.runs):
        for label, options in {"save --since --delta": ["--delta"], "save --since": []}.items():
            archive.unlink(missing_ok=True)
            measure.settle()
            command = [program, "--store", str(folder), "-q", "save", new, "--since", old, *options, "-o", str(archive)]
            samples.setdefault(label, []).append(bench.run(command))
            notes[label] = f"{label}: an archive of {archive.stat().st_size / 1e6:.1f} MB"
    archive.unlink()
    shutil.rmtree(folder)
    return list(notes.values())
