"""What processes cost, from /proc: CPU seconds and proportional memory of process trees."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat after the command's name (which may hold spaces)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def tree(roots: Iterable[int]) -> list[int]:
    """The processes and all that descend from them, as far as they live."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry.name)):
            children[int(fields[1])].append(int(entry.name))
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children[pid]
    return found


def cpu_seconds(*roots: int | None) -> float:
    """User and system time of the trees, ended and waited-for children included."""
    fields = (_stat(pid) for pid in tree(pid for pid in roots if pid is not None))
    return sum(sum(int(ticks) for ticks in stat[11:15]) for stat in fields if stat) / TICKS


def pss_megabytes(*roots: int | None) -> float:
    """Proportional set size of the process trees.

    Shared pages are counted once, divided among the processes that share them.
    """
    total = 0
    for pid in tree(pid for pid in roots if pid is not None):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024
