"""`python -m deploy.checks [--write-allowed]`: status 1 and one line per fault."""

import sys

from deploy.checks import allowed
from deploy.checks.databases import databases, drifts
from deploy.checks.expansion import expansion_faults
from deploy.checks.shape import shape_faults
from deploy.checks.statements import statement_faults
from deploy.checks.transactions import commits
from deploy.source.files import PRODUCT, ROOT, source_files


def main(arguments: list[str]) -> int:
    shapes = shape_faults(source_files(ROOT, (*PRODUCT, "deploy")))
    if arguments == ["--write-allowed"]:
        allowed.write(shapes)
        return 0
    faults = [*commits(), *allowed.compare(shapes, allowed.read())]
    with databases() as (urls, empty):
        faults += [*drifts(urls), *statement_faults(urls), *expansion_faults(empty)]
    for fault in faults:
        _ = sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
