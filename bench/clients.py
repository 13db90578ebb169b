"""Many clients at once behind `rpull serve --upstream`, where the way to the upstream is the limit."""

import re
import shutil
import subprocess

import measure
from measure import Failed, Sample
from proxy import Proxy
from scenarios import Bench, Result, Target
from serving import Served
from tools import check
from unpacking import PLACE, shell

CLIENTS = 100
LAYERS = [5_000_000] * 4
# What clients call the registry.
NAME = "registry.example"
# Bytes per second of each connection to the upstream.
RATE = 500_000
BLOB = re.compile(rb'"GET /v2/\S+/blobs/\S+ HTTP/[\d.]+" 20[06] ')


class Cache(Served):
    """`rpull serve --upstream` over an empty store."""

    def __init__(self, program: str, upstream: str, work):
        store = PLACE / "cache"
        shutil.rmtree(store, ignore_errors=True)
        super().__init__(program, store, work)
        self.command = [program, "--store", str(store), "serve", "-v", "--addr", "127.0.0.1:0", "--upstream", f"{NAME}=http://{upstream}"]


def pulled(bench: Bench, clients: int) -> tuple[Sample, int, int]:
    """Pulls by so many clients at once; with the bytes and the requests for blobs at the upstream."""
    image = bench.image("clients", LAYERS)
    program, folder = bench.tool("rpull").program, PLACE / "pulled"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark = bench.registry.mark()
    with Proxy(bench.registry.address, rate=RATE) as upstream, Cache(program, upstream.address, bench.work) as cache:
        line = f"{program} -q -o oci:{folder}/$i {cache.address}/{NAME}/{image.name}"
        sample = measure.run_against(cache, shell(
            f"for i in $(seq {clients}); do {line} & all=\"$all $!\"; done; for one in $all; do wait $one || exit 1; done"
        ), bench.work / "command.log")
        sent = upstream.sent
    for number in range(clients):
        check(image, folder / str(number + 1))
    shutil.rmtree(folder)
    with open(bench.registry.access_log, "rb") as log:
        log.seek(mark)
        return sample, sent, len(BLOB.findall(log.read()))


def clients(bench: Bench) -> Result:
    image = bench.image("clients", LAYERS)
    one, many = "one client", f"{CLIENTS} clients"
    samples: dict[str, list] = {one: [], many: []}
    for _ in range(bench.runs):
        samples[one].append(pulled(bench, 1))
        samples[many].append(pulled(bench, CLIENTS))
    rows = {label: measure.summary([sample for sample, *_ in taken]) for label, taken in samples.items()}
    title = f"through serve --upstream, {RATE / 1e6:g} MB/s on each connection to the upstream, {image.bytes / 1e6:.1f} MB in {len(image.blobs)} blobs"
    result = Result(title, rows, [], ["requests are those at `rpull serve`; CPU and memory are those of the clients"])
    result.compare("wall, of one client", "wall", many, one, 1.3)
    sent, fetched = (max(taken[at] for taken in samples[many]) for at in (1, 2))
    most = max(taken[2] for taken in samples[one])
    result.targets += [Target("bytes from the upstream, of the image", sent / image.bytes, 1.02),
                       Target("requests for blobs at the upstream, of those for one client", fetched / most, 1)]
    shutil.rmtree(PLACE)
    return result
