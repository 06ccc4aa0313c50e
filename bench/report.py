"""Render the newest whole run of each row into `docs/benchmarks.md`.

`python -m bench.report`. Quick runs are left out.
"""

import sys
from typing import Any

import orjson

from bench.harness import RESULTS, ROOT, number

PAGE = ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- results: python -m bench.report -->", "<!-- end of results -->"


def newest() -> dict[str, dict[str, Any]]:
    """Row → its newest whole run, in the order of the rows."""
    lines = RESULTS.read_bytes().splitlines() if RESULTS.exists() else []
    runs = {run["row"]: run for run in map(orjson.loads, lines) if not run["quick"]}
    return dict(sorted(runs.items(), key=lambda item: int(item[0].removeprefix("P"))))


def _bound(figure: dict[str, Any], name: str) -> str:
    value = figure[name]
    return (
        ""
        if value is None
        else f"{'≥' if figure['more'] else '≤'} {number(value)} {figure['unit']}".rstrip()
    )


def _judged(row: str, run: dict[str, Any]) -> list[str]:
    return [
        f"| {row} | {figure['name']} | {number(figure['value'])} {figure['unit']}"
        f" | {_bound(figure, 'passes')} | {_bound(figure, 'aims')} | {figure['verdict']} |"
        for figure in run["figures"]
        if figure["passes"] is not None
    ]


def _beside(row: str, run: dict[str, Any]) -> str:
    others = [f for f in run["figures"] if f["passes"] is None]
    words = "; ".join(f"{f['name']} {number(f['value'])} {f['unit']}".rstrip() for f in others)
    place, speeds = (
        run["machine"],
        run.get("speeds"),
    )  # runs before 2026-11-27 did not ask for the pace
    pace = (
        f", a plain loop {speeds[0]:.1f} M steps/s before, {speeds[1]:.1f} after" if speeds else ""
    )
    return (
        f"- **{row}** ({run['at'][:16].replace('T', ' ')} UTC, commit {run['commit']},"
        f" {place['cores']} cores {place['cpu']},"
        f" load before the run {run['load_before']:.1f}{pace}):"
        f" {words or 'nothing more'}."
    )


def render(runs: dict[str, dict[str, Any]]) -> str:
    """The table and what stands beside it."""
    if not runs:
        return "No whole run yet: `make bench`."
    table = ["| Row | What | Measured | Pass | Aim | Verdict |", "|---|---|---|---|---|---|"]
    table += [line for row, run in runs.items() for line in _judged(row, run)]
    return "\n".join(
        [
            *table,
            "",
            "Beside it, from the same runs:",
            "",
            *(_beside(row, run) for row, run in runs.items()),
        ]
    )


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        _ = sys.stderr.write(f"{PAGE} has no place for results ({BEGIN} … {END})\n")
        return 1
    _ = PAGE.write_text(f"{head}{BEGIN}\n\n{render(newest())}\n\n{END}{tail}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
