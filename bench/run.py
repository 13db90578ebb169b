#!/usr/bin/env python3
"""Measures rpull, its peers on PATH and a bare loop against a registry on loopback. See README.md."""

import argparse
import json
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path

sys.dont_write_bytecode = True

import clients
import deltas
import fleet
import insight
import kills
import machine
import many
import network
import report
import scenarios
import sending
import serving
import slow_disk
import tags
import tools
import unpacking
import wan
from measure import Failed
from registry import Registry

HERE = Path(__file__).resolve().parent
ALL = scenarios.ALL | {"push": sending.push, "copy": sending.copy, "serve": serving.serve, "unpack": unpacking.unpack,
                       "unpack-zstd": unpacking.unpack_zstd, "manifests": many.manifests, "three": many.three,
                       "fleet": fleet.mirror, "tags": tags.tags, "clients": clients.clients, "deltas": deltas.deltas,
                       "capped": network.capped, "crawling": network.crawling, "tls": network.tls,
                       "dominant": wan.dominant, "small-layers": wan.small_layers, "lossy": wan.lossy, "resets": wan.resets,
                       "slow-disk": slow_disk.slow_disk, "kills": kills.kills,
                       "files": insight.files, "paths": insight.paths, "verify": insight.verify, "df": insight.df}


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return bench(options)
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=ALL, help="a scenario; repeatable; default: all")
    parser.add_argument("--rpull", default=str(HERE.parent / "target/release/rpull"), metavar="PATH")
    parser.add_argument("--runs", type=int, default=5, help="measured runs of each tool (default 5)")
    parser.add_argument("--scale", type=float, default=1, help="multiplies layer sizes, to try the script out")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder on the disk to measure; about 10 GB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample here")
    return parser.parse_args()


def bench(options: argparse.Namespace) -> int:
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if shutil.which("skopeo") is None:
        raise Failed("no skopeo on PATH: apt-get install skopeo")
    found = [*tools.rpull(options.rpull), *tools.bare_loop(work), *tools.peers()]
    if found[0].label != "rpull":
        print(f"warning: no rpull at {options.rpull}; measuring the others", file=sys.stderr)
    facts = machine.facts(work) | {"commit": machine.commit(found[0].program)}
    machine.touch_memory()
    rates = machine.rates(work)
    with Registry(work) as registry:
        setting = scenarios.Bench(work, registry, found, options.runs, options.scale, rates, facts["cores"])
        print(report.preamble(facts, setting), flush=True)
        results = {}
        for name in options.only or ALL:
            results[name] = ALL[name](setting)
            print(report.scenario(results[name]), flush=True)
    if options.json:
        known = [{"label": tool.label, "version": tool.version, "command": setting.command(tool)} for tool in found]
        value = {"machine": facts, "rates": rates, "tools": known, "programs": tools.programs(),
                 "scenarios": {name: asdict(result) for name, result in results.items()}}
        options.json.write_text(json.dumps(value, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
