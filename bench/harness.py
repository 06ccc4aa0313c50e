"""What every benchmark has in common: its row, its figures, and the line it leaves behind.

`python -m bench.p01_create_case [--quick]` runs one row, prints its figures and appends a JSON line
to `var/bench/results.jsonl`, from which `python -m bench.report` renders the table of
`docs/benchmarks.md`.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var/bench"
RESULTS = FOLDER / "results.jsonl"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Without `passes` it is only shown; `more` says whether more is better.
    """

    name: str
    value: float
    unit: str
    passes: float | None = None
    aims: float | None = None
    more: bool = False

    @property
    def verdict(self) -> str:
        if self.passes is None:
            return ""
        for bound, word in ((self.aims, "aim"), (self.passes, "pass")):
            if bound is not None and (self.value >= bound if self.more else self.value <= bound):
                return word
        return "miss"


def at_least(name: str, value: float, unit: str, passes: float, aims: float) -> Figure:
    return Figure(name, value, unit, passes, aims, more=True)


def at_most(name: str, value: float, unit: str, passes: float, aims: float) -> Figure:
    return Figure(name, value, unit, passes, aims)


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure.

    `quick` shows within seconds that everything works; its figures decide nothing.
    """

    quick: bool = False

    def pick(self, whole: T, quick: T) -> T:
        return quick if self.quick else whole


def machine() -> dict[str, Any]:
    """Where it was measured."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next(
        (
            line.partition(":")[2].strip()
            for line in info.splitlines()
            if line.startswith("model name")
        ),
        "",
    )
    return {
        "cpu": model or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def number(value: float) -> str:
    """Three digits are enough of any figure; thousands are written out."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"


def show(figure: Figure) -> str:
    """One line for people."""
    sign = "≥" if figure.more else "≤"
    bound = "" if figure.passes is None else f"  pass {sign} {number(figure.passes)}"
    bound += "" if figure.aims is None else f", aim {sign} {number(figure.aims)}"
    measured = f"{figure.name:<58} {number(figure.value):>10} {figure.unit:<6}"
    return f"  {measured}{bound}  {figure.verdict.upper()}".rstrip()


def speed() -> float:
    """Million steps a second of a plain loop, the best of three.

    A shared machine changes its pace from minute to minute.
    """
    best = 0.0
    for _ in range(3):
        started, steps = time.perf_counter(), 0
        while steps < 1_000_000:
            steps += 1
        best = max(best, 1 / (time.perf_counter() - started))
    return best


def record(row: str, figures: Sequence[Figure], options: Options, speeds: Sequence[float]) -> None:
    """Append the run to the results."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    line = {
        "row": row,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "commit": commit(),
        "machine": machine(),
        "load_before": _load,
        "speeds": speeds,
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }
    with RESULTS.open("ab") as file:
        _ = file.write(orjson.dumps(line) + b"\n")


_load = os.getloadavg()[0]
"""Others' work on this machine when the benchmark began: a figure taken beside it says little."""


def _raise_exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def run(row: str, what: str, measure: Callable[[Options], Sequence[Figure]]) -> None:
    """Main of a benchmark.

    Everything that it starts is stopped and removed, also when it is ended early.
    """
    parser = argparse.ArgumentParser(description=what)
    _ = parser.add_argument(
        "--quick",
        action="store_true",
        help="a few seconds on little data; the figures decide nothing",
    )
    options = Options(quick=parser.parse_args().quick)
    _ = signal.signal(signal.SIGTERM, _raise_exit)
    started = time.monotonic()
    print(f"{row}  {what}", flush=True)
    before = speed()
    figures = measure(options)
    after = speed()
    for figure in figures:
        print(show(figure))
    pace = f"a plain loop {before:.1f} M steps/s before, {after:.1f} after"
    print(
        f"  ({time.monotonic() - started:.0f} s in all; load {_load:.1f} before the run; {pace})",
        flush=True,
    )
    record(row, figures, options, (before, after))


def say(words: str) -> None:
    """Progress, apart from the figures."""
    print(f"  … {words}", file=sys.stderr, flush=True)


@contextmanager
def scratch() -> Generator[Path]:
    """A folder for one run, removed afterwards."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="run-", dir=FOLDER, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
