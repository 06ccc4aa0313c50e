"""Faults of shape that are still allowed: `allowed.txt`, one `path::function rule` a line.

A fault that is not listed fails, and so does a line whose fault is gone: the list can only shrink.
`python -m deploy.checks --write-allowed` writes it anew, for code that has moved.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.checks.shape import Fault

FILE = Path(__file__).resolve().parent / "allowed.txt"


def read(path: Path = FILE) -> set[str]:
    return set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()


def write(faults: Sequence[Fault], path: Path = FILE) -> None:
    keys = sorted({fault.key for fault in faults})
    _ = path.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")


def compare(faults: Sequence[Fault], listed: set[str]) -> Iterator[str]:
    """One line for each fault that is not listed, and for each listed one that is gone."""
    for fault in faults:
        if fault.key not in listed:
            yield f"{fault} ({fault.rule})"
    for key in sorted(listed - {fault.key for fault in faults}):
        yield f"deploy/checks/allowed.txt: {key}: this is in order now, remove the line"
