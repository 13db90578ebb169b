"""Results as plain text tables."""

from measure import MIB
from scenarios import Bench, Result, Target

HEAD = ["", "wall s", "min s", "CPU s", "peak MiB", "requests", "MB sent", "registry CPU s",
        "first / this: wall", "CPU"]


def preamble(facts: dict, bench: Bench) -> str:
    rates = ", ".join(f"{name} {rate:.3f}" for name, rate in bench.rates.items())
    lines = [
        f"machine   {facts['cpu']}, {facts['cores']} cores, {facts['memory'] / 2**30:.0f} GiB, "
        f"Linux {facts['kernel']}, {facts['filesystem']}, load {facts['load']:.2f}",
        f"registry  {bench.registry.version()}, on {bench.registry.address}, on the same cores",
        f"limits    CPU s per GB, each alone, measured now: {rates}",
    ]
    if facts["load"] > 0.5:
        lines.append("warning   the machine was busy when this started")
    if bench.scale != 1:
        lines.append(f"warning   images scaled by {bench.scale:g}: a trial, not a result")
    for tool in bench.tools:
        lines.append(f"{tool.label}\n          {tool.version}\n          {' '.join(bench.command(tool))}")
    return "\n".join(lines)


def scenario(result: Result) -> str:
    first = next(iter(result.rows.values()))
    table = [HEAD] + [cells(label, row, first) for label, row in result.rows.items()]
    parts = [f"\n== {result.title}", columns(table)]
    if result.limit:
        parts.append(limit(result))
    parts += result.notes
    parts += [verdict(target) for target in result.targets]
    return "\n".join(parts)


def cells(label: str, row: dict, first: dict) -> list[str]:
    ratios = [f"{first[key] / row[key]:.2f}" if row[key] else "-" for key in ("wall", "cpu")]
    return [
        label, f"{row['wall']:.4f}", f"{row['wall_min']:.4f}", f"{row['cpu']:.3f}", f"{row['peak'] / MIB:.1f}",
        f"{row['requests']:g}", f"{row['sent'] / 1e6:.1f}", f"{row['registry_cpu']:.2f}", *ratios,
    ]


def columns(table: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])])
        for row in table
    )


def limit(result: Result) -> str:
    reached = ", ".join(f"{label} {result.limit['wall'] / row['wall']:.2f}" for label, row in result.rows.items())
    return (f"physical limit: {result.limit['wall']:.3f} s wall, {result.limit['cpu']:.3f} CPU s; "
            f"fraction of the wall limit reached: {reached}")


def verdict(target: Target) -> str:
    if target.value is None:
        return f"target: {target.what} at most {target.most:g}: not measured"
    outcome = "met" if target.value <= target.most else "MISSED"
    return f"target: {target.what} at most {target.most:g}: {target.value:.4g}, {outcome}"
