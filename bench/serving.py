"""The scenario of `rpull serve`: the same pull, from it and from docker-registry."""

import re
import shutil
import subprocess

import measure
import tools
from measure import Failed, Sample
from registry import Registry
from scenarios import COLD_LAYERS, Bench, Result, ideal

ANSWERED = re.compile(rb"(?:GET|HEAD) \S+ 2\d\d$", re.MULTILINE)
# A rate of no less than 0.9 of docker-registry's.
MOST = 1 / 0.9


class Served(Registry):
    """`rpull serve` on loopback over a store, logging a line for each request."""

    def __init__(self, program: str, store, work):
        self.command = [program, "--store", str(store), "serve", "--read-only", "-v", "--addr", "127.0.0.1:0"]
        self.access_log = work / "serve.log"

    def __enter__(self):
        with open(self.access_log, "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        line = self.process.stdout.readline().decode()
        if "http://" not in line:
            self.__exit__()
            raise Failed(f"rpull serve does not start, see {self.access_log}")
        self.address = line.strip().rpartition("http://")[2]
        return self

    def since(self, mark: int) -> tuple[int, int]:
        with open(self.access_log, "rb") as log:
            log.seek(mark)
            return len(ANSWERED.findall(log.read())), 0


def serve(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    pulling = [tool for tool in (bench.tool("rpull"), bench.tool("bare loop"), bench.tool("skopeo")) if tool]
    program, store = bench.tool("rpull").program, bench.folder("served")
    copy = [program, "--store", str(store), "-q", "copy", f"{bench.registry.address}/{image.name}",
            f"store:localhost/{image.name}"]
    subprocess.run(copy, check=True, stdout=subprocess.DEVNULL)
    with Served(program, store, bench.work) as served:
        servers = {"docker-registry": bench.registry, "rpull serve": served}
        samples: dict[str, list[Sample]] = {
            f"{tool.label} from {name}": [] for tool in pulling for name in servers}
        for number in range(bench.runs + 1):
            for tool in pulling:
                for name, server in servers.items():
                    folder = bench.folder("pulled from a server")
                    measure.settle()
                    command = tool.pull(f"{server.address}/{image.name}", folder)
                    sample = measure.run_against(server, command, bench.work / "command.log")
                    tools.check(image, folder)
                    shutil.rmtree(folder)
                    if number > 0:
                        samples[f"{tool.label} from {name}"].append(sample)
    shutil.rmtree(store)
    rows = {label: measure.summary(taken) for label, taken in samples.items()}
    result = Result(f"serve, {ideal(image)}", rows, [], ["`rpull serve` counts requests, not bytes"])
    for tool in pulling:
        result.compare(f"wall of {tool.label}, of the same from docker-registry", "wall",
                       f"{tool.label} from rpull serve", f"{tool.label} from docker-registry", MOST)
    return result
