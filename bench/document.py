#!/usr/bin/env python3
"""Writes the figures of docs/performance.md: bench/document.py [FILE of `run.py --json`]...

The files replace the scenarios that they contain in bench/figures.json, from which the table is made; without files only the table
is written again. `--check` changes nothing, and fails if the document has other figures.
"""

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures.json"
DOCUMENT = HERE.parent / "docs/performance.md"
BEGIN, END = "<!-- written by bench/document.py -->\n", "<!-- end of what bench/document.py writes -->\n"
KEPT = ("wall", "cpu", "peak", "requests", "sent")
# Labels of rows of other tools. containerd's CPU time is the daemon's.
PEERS = ("skopeo", "skopeo, umoci", "podman", "containerd", "crane", "regctl", "regsync", "oras", "umoci, find", "openssl")


@dataclass
class Line:
    """One line of the table: a row of a scenario beside that of the fastest peer, or beside another row of rpull."""

    scenario: str
    what: str
    limit: str
    # What the labels of the rows end with.
    suffix: str = ""
    beside: str | None = None


LINES = [
    Line("cold", "pull 688 MB in six layers, nothing there before", "hashing, with the registry on the same cores"),
    Line("cold", "the same beside a loop that only receives, hashes and writes", "what the loop leaves out: names, retries, a store", beside="bare loop"),
    Line("tls", "pull 688 MB over TLS", "encryption, nginx on the same cores"),
    Line("capped", "pull 688 MB, each connection 20 MB/s", "the number of connections"),
    Line("warm", "pull 688 MB again, all of it there", "one request, and the start of the process"),
    Line("index", "pull one platform of an index, 2.6 MB", "one request after the other"),
    Line("large-store", "pull a new layer into a store of 20,000 blobs", "one request after the other", ", one new layer, 20,000 blobs"),
    Line("small-layers", "pull 60 layers of 20 kB, 200 ms per round trip", "round trips"),
    Line("small-layers", "pull 60 layers of 20 kB over TLS, 200 ms per round trip", "round trips", ", TLS"),
    Line("dominant", "pull a layer of 300 MB, 400 Mbit/s, each connection 100 Mbit/s", "the link, which needs 6.0 s"),
    Line("resets", "pull 5 MB, each connection reset after 100 kB", "new connections"),
    Line("push", "push 688 MB to an empty registry", "the registry's disk and hashing"),
    Line("copy", "copy 688 MB to another registry", "both registries on the same cores"),
    Line("fleet", "mirror 48 tags in 8 repositories, 134 MB", "the registry's requests per second"),
    Line("fleet", "mirror them again, all of it there", "the registry's requests per second", ", warm"),
    Line("unpack", "pull /usr of a Debian, and unpack it", "inflating and writing on the registry's cores", ", from the registry"),
    Line("files", "list the files of the layers of that image", "inflating"),
    Line("verify", "hash 688 MB in the store again", "SHA-256"),
    Line("deltas", "pull a changed layer of 95 MB as a delta, 50 Mbit/s", "rebuilding the layer", beside="rpull, whole"),
    Line("start", "`--version`", "the start of a process"),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    for path in options.files:
        figures |= shortened(json.loads(path.read_text()))
    old = DOCUMENT.read_text()
    before, _, rest = old.partition(BEGIN)
    new = before + BEGIN + written(figures) + END + rest.partition(END)[2]
    if options.check:
        if new != old:
            print(f"{DOCUMENT} is not what bench/document.py writes", file=sys.stderr)
        return int(new != old)
    FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    DOCUMENT.write_text(new)
    return 0


def shortened(measured: dict) -> dict:
    """The medians of each scenario, with the machine that they are from, without the samples."""
    versions = {tool["label"]: tool["version"] for tool in measured["tools"] if tool["label"] in ("rpull", *PEERS)}
    versions |= {program.split()[0]: program for program in measured.get("programs", [])}
    common = {"machine": measured["machine"], "versions": {name: number(text) for name, text in versions.items()}}
    return {
        name: common | {
            "failed": [note.partition(" fails: ")[0] for note in result["notes"] if " fails: " in note],
            "rows": {label: {key: row[key] for key in KEPT} | {"runs": len(row["samples"])} for label, row in result["rows"].items()},
        }
        for name, result in measured["scenarios"].items()
    }


def number(version: str) -> str:
    found = re.search(r"\d[\w.+~-]*", version)
    return found.group() if found else version


def written(figures: dict) -> str:
    lines = ["| what | rpull | beside | wall | CPU | what limits rpull | `--only` |", "|---|---|---|---|---|---|---|"]
    slower = []
    for line in LINES:
        ours = figures.get(line.scenario, {}).get("rows", {}).get(f"rpull{line.suffix}")
        if not ours:
            continue
        peer, theirs = beside(figures[line.scenario], line)
        wall = ratio(ours, theirs, "wall")
        cpu = ratio(ours, theirs, "cpu") if peer != "containerd" else "-"
        other = f"{peer} {seconds(theirs)}" if theirs else f"{peer} fails"
        lines.append(f"| {line.what} | {seconds(ours)} | {other} | {wall} | {cpu} | {line.limit} | `{line.scenario}` |")
        less = [name for name, value in (("time", wall), ("CPU time", cpu)) if value != "-" and float(value) > 1]
        slower += [f"- {line.what}: {peer} takes less {' and less '.join(less)}"] if less else []
    missing = sorted({line.scenario for line in LINES} - figures.keys())
    text = "\n".join(lines) + "\n\n" + origin(figures)
    text += "\nWhere the other takes less:\n\n" + "\n".join(slower) + "\n" if slower else ""
    return text + (f"\nNot measured this time: {', '.join(missing)}.\n" if missing else "")


def beside(figures: dict, line: Line) -> tuple[str, dict | None]:
    """Name and row to compare with: the one that the line names, else the fastest peer; no row if all peers failed."""
    rows = figures["rows"]
    if line.beside:
        return line.beside, rows.get(line.beside)
    peers = {tool: rows[tool + line.suffix] for tool in PEERS if tool + line.suffix in rows}
    if not peers:
        return ", ".join(figures["failed"]), None
    fastest = min(peers, key=lambda tool: peers[tool]["wall"])
    return fastest, peers[fastest]


def ratio(ours: dict, theirs: dict | None, key: str) -> str:
    return f"{ours[key] / theirs[key]:.2f}" if theirs and theirs[key] else "-"


def seconds(row: dict) -> str:
    return f"{row['wall'] * 1e3:.0f} ms" if row["wall"] < 0.995 else f"{row['wall']:.2f} s"


def origin(figures: dict) -> str:
    """Machine, versions, load and number of runs of what the table shows."""
    shown = [figures[name] for name in dict.fromkeys(line.scenario for line in LINES) if name in figures]
    machines = [entry["machine"] for entry in shown]
    loads = [machine["load"] for machine in machines]
    runs = sorted({row["runs"] for entry in shown for row in entry["rows"].values()})
    dates = listed(machine["date"] for machine in machines)
    where = "; ".join(sorted({
        f"{m['cpu']}, {m['cores']} cores, {m['memory'] / 2**30:.0f} GiB, Linux {m['kernel']}, {m['filesystem']}" for m in machines
    }))
    versions = listed(f"{name} {version}" for entry in shown for name, version in entry["versions"].items())
    commits = listed(machine["commit"] for machine in machines if machine["commit"])
    text = (
        f"Measured on {dates} on {where}. {versions}; rpull was built from commit {commits or 'unknown'}. Medians of {runs[0]} to {runs[-1]} "
        f"runs. The load of the machine was {min(loads):.1f} to {max(loads):.1f} when the scenarios began."
    )
    return textwrap.fill(text, 140, break_on_hyphens=False) + "\n"


def listed(texts: Iterable[str]) -> str:
    return ", ".join(sorted(set(texts)))


if __name__ == "__main__":
    sys.exit(main())
