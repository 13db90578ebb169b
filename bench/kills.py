"""One pull that is killed again and again, and what the server sends of it in all runs together."""

import random
import shutil
import subprocess

import measure
from front import Front
from measure import Failed
from scenarios import COLD_LAYERS, Bench, Result, Target, ideal
from tools import check

KILLS = 100
RATE = 2_000_000
# Seconds that a run lives, at random between these.
LIVES = (0.08, 0.35)


def kills(bench: Bench) -> Result:
    image = bench.image("cold", COLD_LAYERS)
    program, store = bench.tool("rpull").program, bench.folder("kills")
    lives, killed = random.Random(1), 0
    with Front(bench.registry, rate=RATE, cork=False) as server:
        command = [program, "--store", str(store), "-q", f"{server.address}/{image.name}"]
        before = server.mark()
        while killed < KILLS:
            with open(bench.work / "command.log", "wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                status = process.wait(lives.uniform(*LIVES))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
                continue
            if status != 0:
                raise Failed(f"run {killed} exits {status}, see {bench.work / 'command.log'}")
            break
        last = measure.run_against(server, command, bench.work / "command.log")
        requests, sent = server.since(before)
    check(image, store)
    shutil.rmtree(store)
    result = Result(f"killed {killed} times, {ideal(image)}", {"last run": measure.summary([last])}, [])
    result.notes.append(f"{requests} requests and {sent / 1e6:.2f} MB in all runs, as the server counts: what it had sent into a"
                        " connection that was cut is in it")
    result.targets.append(Target("body bytes sent, of the image's", sent / image.bytes, 1.01))
    return result
