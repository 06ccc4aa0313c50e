"""Two versions of the code beside each other: `python -m bench.compare OTHER_TREE [p01 p02 …]`.

Each round runs every row on the other tree (the old one) and on this one, one after the other, so
that slow minutes of the machine meet both. Which tree runs first changes with each round, because
the second run of a pair can meet a warmer or a more tired machine. Beside each figure stands the
speed of a plain loop of its own run; figures are compared as ratios to it. A tree is a checkout
with the same `.venv`.

Rows take part of their data (`SHORTER`), the same for both, so that five rounds fit into half an
hour.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

HERE = Path(__file__).resolve().parent.parent
ROWS = ["p01", "p02", "p03", "p05", "p06", "p08", "p14", "p16"]
SHORTER: dict[str, list[tuple[object, object]]] = {
    "p01": [(4.0, 2.0), (20.0, 8.0)],
    "p02": [(2000, 1000), (300, 200)],
    "p03": [(100_000, 5_000), (3.0, 1.5), (15.0, 6.0)],
    "p06": [(2000, 800), (500, 200)],
    "p08": [
        ((100_000, 1_000_000), (5_000, 20_000)),
        (100, 15),
        (50, 6),
        (10_000, 2_000),
        (10, 5),
        (8.0, 6.0),
        (15.0, 1.0),
    ],
    "p14": [(3, 1), (8.0, 3.0)],
    "p16": [(4000, 1500), (10, 4), (100, 40)],
}
"""Amounts of a whole measurement and what is taken here instead, by row."""
RUN = """
import json, runpy, sys
from bench import harness
shorter = dict((repr(whole), part) for whole, part in json.loads(sys.argv[2]))
pick = harness.Options.pick
def pick_part(self, whole, quick):
    part = shorter.get(repr(list(whole) if isinstance(whole, tuple) else whole))
    if part is None:
        return pick(self, whole, quick)
    return tuple(part) if isinstance(part, list) else part
harness.Options.pick = pick_part
module = sys.argv[1]
sys.argv = [module]
runpy.run_module(module, run_name="__main__")
"""
LIMIT = 400


@dataclass
class Row:
    """The values of one figure, by round; each divided by the speed of its own run."""

    unit: str
    more: bool
    old: list[float] = field(default_factory=list[float])
    new: list[float] = field(default_factory=list[float])

    @property
    def change(self) -> float:
        """How much worse the new median is, as a share; negative when it is better."""
        old, new = statistics.median(self.old), statistics.median(self.new)
        return old / new - 1 if self.more else new / old - 1

    @property
    def spread(self) -> float:
        """Half the distance between the best and the worst old round, by their median."""
        return (max(self.old) - min(self.old)) / 2 / statistics.median(self.old)


def run_row(tree: Path, row: str) -> dict[str, Any] | None:
    """The result of one row of a tree, as its harness records it; None when it failed."""
    (module,) = [path.stem for path in (tree / "bench").glob(f"{row}_*.py")]
    results = tree / "var" / "bench" / "results.jsonl"
    before = results.stat().st_size if results.exists() else 0
    command = [sys.executable, "-c", RUN, f"bench.{module}", json.dumps(SHORTER.get(row, []))]
    try:
        _ = subprocess.run(command, cwd=tree, stdout=subprocess.DEVNULL, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return None
    if not results.exists() or results.stat().st_size == before:
        return None
    return json.loads(results.read_text(encoding="utf-8").splitlines()[-1])


def normalised(figure: dict[str, Any], speed: float) -> float:
    """A rate per step of the plain loop, or a time in steps; counts and sizes stay as they are."""
    unit: str = figure["unit"]
    if unit.startswith("/s"):
        return figure["value"] / speed
    if unit in {"s", "ms"}:
        return figure["value"] * speed
    return figure["value"]


def compare(old_tree: Path, new_tree: Path, *, rows: list[str], rounds: int) -> dict[str, Row]:
    """All figures of the rows on both trees."""
    found: dict[str, Row] = {}
    for number in range(1, rounds + 1):
        trees = [("old", old_tree), ("new", new_tree)]
        if number % 2 == 0:
            trees.reverse()
        for row in rows:
            for name, tree in trees:
                result = run_row(tree, row)
                if result is None:
                    print(f"round {number} {row} {name}: failed", flush=True)
                    continue
                speed = statistics.mean(result["speeds"])
                for figure in result["figures"]:
                    key = f"{row} {figure['name']}"
                    entry = found.setdefault(key, Row(figure["unit"], figure["more"]))
                    values = entry.old if name == "old" else entry.new
                    values.append(normalised(figure, speed))
                values = ", ".join(f"{f['name']} {f['value']:.4g}" for f in result["figures"])
                print(f"round {number} {row} {name}: {values} (loop {speed:.1f})", flush=True)
    return found


def main(
    old_tree: Path,
    rows: Annotated[list[str] | None, typer.Argument()] = None,
    *,
    new_tree: Path = HERE,
    rounds: int = 5,
) -> None:
    """Print each figure's change from OLD_TREE to NEW_TREE, beside the spread of the old."""
    found = compare(old_tree.resolve(), new_tree.resolve(), rows=rows or ROWS, rounds=rounds)
    print(f"\n| figure | rounds | change | spread of old | verdict |\n|{'---|' * 5}")
    for name, row in found.items():
        if not row.old or not row.new or not statistics.median(row.old):
            continue
        worse = row.change > 0.05 + row.spread
        verdict = "worse" if worse else "holds"
        print(
            f"| {name} | {len(row.old)}/{len(row.new)} | {row.change:+.1%} |"
            f" {row.spread:.1%} | {verdict} |"
        )


if __name__ == "__main__":
    typer.run(main)
