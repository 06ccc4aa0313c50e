"""What the last runs came to, as text for Prometheus' textfile collector and `tongban status`."""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

FOLDER = "TONGBAN_METRICS_DIR"
"""Variable with the folder, unless the command is given one."""
HELP = {
    "last_run_timestamp_seconds": "When it ran last",
    "last_run_success": "1 when the last run was good",
    "last_success_timestamp_seconds": "When it was last good",
    "last_duration_seconds": "How long the last run took",
    "last_size_bytes": "Size of the files of the newest set",
    "differences": "Differences that the recount of the last drill found",
}


def metrics_folder(given: Path | None) -> Path | None:
    """Where results are written; None: nowhere."""
    if given is not None:
        return given
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    return None


def write_result(
    folder: Path | None, what: str, *, good: bool, seconds: float, more: Mapping[str, float]
) -> None:
    """Write `tongban_<what>.prom`; the time of the last success outlives failures."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    values = {
        "last_run_timestamp_seconds": now,
        "last_run_success": float(good),
        "last_duration_seconds": seconds,
        **more,
    }
    success: float | None = now
    if not good:
        success = read_results(folder).get(f"tongban_{what}_last_success_timestamp_seconds")
    if success is not None:
        values["last_success_timestamp_seconds"] = success
    _write(folder, what, values=values)


def _write(folder: Path, what: str, *, values: Mapping[str, float]) -> None:
    lines: list[str] = []
    for name, value in values.items():
        full = f"tongban_{what}_{name}"
        lines += [f"# HELP {full} {HELP[name]}.", f"# TYPE {full} gauge", f"{full} {value:.3f}"]
    # The collector must never read half a file.
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".tongban_")
    with os.fdopen(descriptor, "w") as file:
        _ = file.write("\n".join(lines) + "\n")
    Path(temporary).chmod(0o644)
    _ = Path(temporary).replace(folder / f"tongban_{what}.prom")


def read_results(folder: Path) -> dict[str, float]:
    """All values below the folder by their full names."""
    found: dict[str, float] = {}
    for path in sorted(folder.glob("tongban_*.prom")):
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            if not line.startswith("#") and value:
                found[name] = float(value)
    return found
