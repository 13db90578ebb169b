"""Makes the benchmark's images once, as OCI layouts, and pushes them with skopeo.

A layer is a gzip file of stored blocks around a tar of seeded random bytes: as incompressible as a real
compressed layer, a valid image for every tool, and made at disk speed. (An uncompressed tar would not do:
skopeo compresses it on push.)
"""

import hashlib
import io
import json
import platform
import random
import shutil
import subprocess
import tarfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import MIB, Failed

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
FILE_BYTES = 4 * MIB
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass
class Image:
    """An image in the registry; `blobs` are the config and layers a pull for this host needs."""

    name: str
    blobs: dict[str, int]
    documents: list[str]

    @property
    def bytes(self) -> int:
        return sum(self.blobs.values())


def host_architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())


class Layout:
    """An OCI image layout being written."""

    def __init__(self, path: Path, seed: str):
        self.path, self.random, self.entries = path, random.Random(seed), []
        self.blobs = path / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, data: bytes, media_type: str) -> dict:
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def json(self, value: dict, media_type: str) -> dict:
        return self.blob(json.dumps(value).encode(), media_type)

    def layer(self, size: int) -> tuple[dict, str]:
        """A layer of about `size` bytes: its descriptor and its diff_id."""
        return self.pack(self._tar(size), 0)

    def files(self, paths: list[Path]) -> tuple[dict, str]:
        """A layer of files, links and folders of this machine, compressed as docker does."""
        return self.pack(tar_of(paths), 6)

    def pack(self, tar, level: int) -> tuple[dict, str]:
        gzip, digest, diff_id = zlib.compressobj(level, wbits=31), hashlib.sha256(), hashlib.sha256()
        unnamed, total = self.blobs / "unnamed", 0
        with open(unnamed, "wb") as file:
            for piece in tar:
                diff_id.update(piece)
                packed = gzip.compress(piece)
                digest.update(packed)
                total += file.write(packed)
            tail = gzip.flush()
            digest.update(tail)
            total += file.write(tail)
        unnamed.rename(self.blobs / digest.hexdigest())
        descriptor = {"mediaType": LAYER, "digest": f"sha256:{digest.hexdigest()}", "size": total}
        return descriptor, f"sha256:{diff_id.hexdigest()}"

    def uncompressed(self, tar) -> tuple[dict, str]:
        digest, unnamed, total = hashlib.sha256(), self.blobs / "unnamed", 0
        with open(unnamed, "wb") as file:
            for piece in tar:
                digest.update(piece)
                total += file.write(piece)
        unnamed.rename(self.blobs / digest.hexdigest())
        diff_id = f"sha256:{digest.hexdigest()}"
        return {"mediaType": LAYER.removesuffix("+gzip"), "digest": diff_id, "size": total}, diff_id

    def _tar(self, size: int):
        left, number = max(size, 512) // 512 * 512, 0
        while left:
            entry = tarfile.TarInfo(f"data/{number:05}")
            entry.size = min(left, FILE_BYTES)
            yield entry.tobuf(tarfile.GNU_FORMAT)
            for _ in range(0, entry.size, MIB):
                yield self.random.randbytes(min(MIB, entry.size))
            left, number = left - entry.size, number + 1
        yield bytes(1024)

    def manifest(self, layers: list[tuple[dict, str]], architecture: str = "") -> dict:
        config = {
            "architecture": architecture or host_architecture(),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
        }
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(config, CONFIG),
            "layers": [descriptor for descriptor, _ in layers],
        }
        return self.json(document, MANIFEST)

    def name(self, descriptor: dict, name: str) -> None:
        annotations = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
        self.entries.append({**descriptor, "annotations": annotations})

    def close(self) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries}
        (self.path / "index.json").write_text(json.dumps(index))

    def image(self, name: str, roots: list[dict]) -> Image:
        """What a pull of the last of `roots` (an index before its manifest) brings."""
        manifest = json.loads((self.blobs / roots[-1]["digest"][7:]).read_bytes())
        blobs = {d["digest"]: d["size"] for d in [manifest["config"], *manifest["layers"]]}
        return Image(name, blobs, [root["digest"] for root in roots])


def tar_of(paths: list[Path]):
    """Their tar, piece by piece."""
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as headers:
        for path in paths:
            entry = headers.gettarinfo(path)
            if entry is None:
                continue
            # A hard link's first name may be in another layer.
            entry.type = tarfile.REGTYPE if entry.islnk() else entry.type
            entry.size = path.stat().st_size if entry.isreg() else 0
            yield entry.tobuf(tarfile.GNU_FORMAT)
            if not entry.isreg():
                continue
            with open(path, "rb") as file:
                while piece := file.read(MIB):
                    yield piece
            yield bytes(-entry.size % 512)
    yield bytes(1024)


def of_this_machine(layout: Layout, sizes: list[int]) -> list[dict]:
    """Files of /usr, evenly picked so that small and large ones are mixed as there, and the folders on the way to
    them, in layers of about these sizes before compression."""
    files = [(path, path.lstat().st_size) for path in sorted(Path("/usr").rglob("*")) if not path.is_dir() or path.is_symlink()]
    share = min(1, sum(sizes) / sum(size for _, size in files))
    chosen = (file for number, file in enumerate(files) if int(number * share) < int((number + 1) * share))
    made, layers = {Path("/")}, []
    for size in sizes:
        taken, total = [], 0
        while total < size and (file := next(chosen, None)):
            taken += [*(folder for folder in reversed(file[0].parents) if folder not in made), file[0]]
            made.update(file[0].parents)
            total += file[1]
        layers.append(layout.files(taken))
    return [layout.manifest(layers)]


def of_many_paths(layout: Layout, counts: list[int]) -> list[dict]:
    """Layers of so many paths, each of 50 bytes, with small files of different content and time."""
    def tar(layer: int, count: int):
        for number in range(count):
            folder = f"usr/lib/layer{layer:04}/folder{number // 1000:06}/"
            entry = tarfile.TarInfo(folder if number % 1000 == 0 else f"{folder}file{number:014}")
            entry.type = tarfile.DIRTYPE if number % 1000 == 0 else tarfile.REGTYPE
            entry.mode, entry.mtime = 0o755, 1_700_000_000 + number
            entry.size = 0 if entry.isdir() else 16
            yield entry.tobuf(tarfile.GNU_FORMAT)
            if not entry.isdir():
                yield layout.random.randbytes(16).ljust(512, b"\0")
        yield bytes(1024)
    return [layout.manifest([layout.pack(tar(*layer), 1) for layer in enumerate(counts)])]


def flat(layout: Layout, sizes: list[int]) -> list[dict]:
    """A plain image manifest."""
    return [layout.manifest([layout.layer(size) for size in sizes])]


def indexed(layout: Layout, sizes: list[int]) -> list[dict]:
    """An index as a hub serves them: several platforms, an attestation beside each."""
    children, wanted = [], {}
    for architecture in [host_architecture(), "s390x", "riscv64"]:
        child = layout.manifest([layout.layer(size) for size in sizes], architecture)
        wanted = wanted or child
        children.append({**child, "platform": {"os": "linux", "architecture": architecture}})
        attestation = layout.manifest([layout.layer(512)], "unknown")
        about = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": child["digest"]}
        unknown = {"os": "unknown", "architecture": "unknown"}
        children.append({**attestation, "platform": unknown, "annotations": about})
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
    return [layout.json(index, INDEX), wanted]


def release(number: int):
    """Builds releases of one image: all share every layer but the last."""
    def build(layout: Layout, sizes: list[int]) -> list[dict]:
        layout.random.seed("release")
        base = [layout.layer(size) for size in sizes[:-1]]
        layout.random.seed(f"release {number}")
        return [layout.manifest([*base, layout.layer(sizes[-1])])]
    return build


def publish(registry, work: Path, name: str, sizes: list[int], build=flat) -> Image:
    """The image `name`, built and pushed unless an earlier run left it in the registry's folder."""
    record = work / "images" / (name.replace("/", "-").replace(":", "_") + ".json")
    if record.exists():
        return Image(**json.loads(record.read_text()))
    path = work / "layout"
    shutil.rmtree(path, ignore_errors=True)
    layout = Layout(path, name)
    roots = build(layout, sizes)
    layout.name(roots[0], "image")
    layout.close()
    push(path, f"{registry.address}/{name}")
    image = layout.image(name, roots)
    shutil.rmtree(path)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(asdict(image)))
    return image


def push(path: Path, reference: str) -> None:
    command = ["skopeo", "copy", "--quiet", "--all", "--preserve-digests", "--insecure-policy",
               "--dest-tls-verify=false", f"oci:{path}:image", f"docker://{reference}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed: {done.stderr.strip()}")


def fill_store(path: Path, images: int, layers: int) -> None:
    """A layout of `images` names with `layers` tiny layers, a config and a manifest each, no blob shared."""
    layout = Layout(path, "store")
    for number in range(images):
        stack = [(layout.blob(layout.random.randbytes(200), LAYER), f"sha256:{layout.random.randbytes(32).hex()}")
                 for _ in range(layers)]
        layout.name(layout.manifest(stack), f"registry.example/team/app{number:05}:1")
    layout.close()
