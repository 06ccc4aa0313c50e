"""`python -m deploy.measure [--json] [--check] [--quick] [--places KEY]`: the table of figures.

Over services, shared and gateway without migrations; how each figure is counted stands in the
module that counts it. `--check` ends with status 1 when a row falls back that was reached before.
`--quick` leaves out the planted mistakes. `--places two` lists what a row counts: `two`,
`columns`, `mistakes`, `files`, `stays` or `duplicates`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from deploy.measure.table import Row, Tree, measure

REACHED = frozenset({"columns", "five", "two"})
"""Keys of the rows that were reached once, and stay so."""


def lines_of(rows: Sequence[Row]) -> list[str]:
    """The table as text."""
    head = f"{'measure':52}{'today':>26}{'to reach':>12}"
    lines = [head, "-" * len(head)]
    for row in rows:
        mark = "reached" if row.is_reached else "short"
        if row.goal == "–":
            mark = ""
        lines.append(f"{row.name:52}{row.text:>26}{row.goal:>12}  {mark}".rstrip())
    return lines


def fallen(rows: Sequence[Row], reached: frozenset[str] = REACHED) -> list[str]:
    """One line for each row that was reached and is not any more."""
    return [
        f"{row.name}: {row.text}, to reach {row.goal}"
        for row in rows
        if row.key in reached and not row.is_reached
    ]


def as_json(rows: Sequence[Row]) -> str:
    shown = [asdict(row) | {"goal": row.goal, "reached": row.is_reached} for row in rows]
    return json.dumps(shown, indent=2, ensure_ascii=False)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.measure")
    for name in ("--json", "--check", "--quick"):
        _ = parser.add_argument(name, action="store_true")
    _ = parser.add_argument("--places", metavar="KEY")
    options = parser.parse_args(arguments)
    rows = measure(Tree(), quick=options.quick)
    if options.places:
        print("\n".join(place for row in rows if row.key == options.places for place in row.places))
        return 0
    text = as_json(rows) if options.json else "\n".join(lines_of(rows))
    print(text)
    faults = fallen(rows) if options.check else []
    for fault in faults:
        _ = sys.stderr.write(f"fell back: {fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
