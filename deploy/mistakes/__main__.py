"""`python -m deploy.mistakes [SEED] [--with-tests]`: the score of each kind, then the missed."""

import sys

from deploy.mistakes.place import KINDS
from deploy.mistakes.planting import Score, score, seed


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


def main(arguments: list[str]) -> int:
    with_tests = "--with-tests" in arguments
    seeds = [argument for argument in arguments if not argument.startswith("--")]
    chosen_by = seeds[0] if seeds else seed()
    result = score(chosen_by, with_tests=with_tests)
    print("\n".join(lines_of(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
