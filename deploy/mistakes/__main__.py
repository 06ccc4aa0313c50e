"""`python -m deploy.mistakes [SEED] [--with-tests]`: the score of each kind, then the missed.

`--places swap` lists all places of a kind instead.
"""

import argparse
import sys
from collections.abc import Sequence

from deploy.mistakes.place import KINDS
from deploy.mistakes.places import find_places
from deploy.mistakes.planting import Score, score, seed
from deploy.source.files import PRODUCT, ROOT, source_files
from deploy.source.names import CodeBase


def lines_of(result: Score) -> list[str]:
    """The score as text."""
    lines: list[str] = []
    for kind, meaning in KINDS.items():
        found, planted = result.of(kind)
        counted = "none left" if kind in result.gone else f"{found} of {planted}"
        lines.append(f"{kind:9} {counted:10} {meaning}")
    lines.append(f"found {100 * result.share:.0f} % of {len(result.planted)}")
    lines += [f"missed {place.label}" for place in result.missed]
    return lines


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.mistakes")
    _ = parser.add_argument(
        "seed", nargs="?", default=seed(), help="the version in pyproject.toml, if not given"
    )
    _ = parser.add_argument(
        "--with-tests", action="store_true", help="run tests on what is not found (long)"
    )
    _ = parser.add_argument("--places", metavar="KIND", choices=KINDS)
    options = parser.parse_args(arguments)
    if options.places:
        places = find_places(CodeBase(source_files(ROOT, PRODUCT)))[options.places]
        print("\n".join(place.label for place in places))
        return 0
    result = score(options.seed, with_tests=options.with_tests)
    print("\n".join(lines_of(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
