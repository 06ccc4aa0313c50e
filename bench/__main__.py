"""Run all benchmarks one after the other, or those that are named.

`python -m bench [p01 p12 …] [--quick]`.
"""

import subprocess
import sys
from pathlib import Path

LIMIT = 420
"""Seconds after which a row is ended: more means that something hangs."""


def rows() -> dict[str, str]:
    """`p01` → its module."""
    return {
        path.stem.partition("_")[0]: path.stem
        for path in sorted(Path(__file__).parent.glob("p[0-9]*.py"))
    }


def _run(module: str, options: list[str]) -> bool:
    process = subprocess.Popen([sys.executable, "-m", f"bench.{module}", *options])
    try:
        return process.wait(LIMIT) == 0
    except subprocess.TimeoutExpired:
        process.terminate()
        _ = process.wait(60)
        print(f"{module} was ended after {LIMIT} s")
        return False


def main(arguments: list[str]) -> int:
    known, options = rows(), [a for a in arguments if a.startswith("--")]
    wanted = [a.lower() for a in arguments if not a.startswith("--")] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        _ = sys.stderr.write(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}\n")
        return 2
    failed = [name for name in wanted if not _run(known[name], options)]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
