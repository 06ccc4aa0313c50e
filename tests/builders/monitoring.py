"""Prometheus and its tool, as `deploy/monitoring/install.sh` fetches them."""

import shutil
import subprocess
from pathlib import Path

import pytest

FETCHED = Path(__file__).resolve().parents[2] / "var/monitoring/usr"


def program(name: str) -> str:
    """The path of `promtool` or `prometheus`; skips the test where there is none."""
    fetched = FETCHED / "bin" / name
    if fetched.exists():
        return str(fetched)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here: bash deploy/monitoring/install.sh")
    return found


def promtool(*arguments: str, given: str = "") -> tuple[int, str]:
    """Exit status and all output."""
    done = subprocess.run(
        [program("promtool"), *arguments], input=given, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def faketime() -> str:
    """The library that moves a process's clock; skips the test where there is none."""
    found = sorted(FETCHED.glob("lib/*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("libfaketime is not here: bash deploy/monitoring/install.sh")
    return str(found[0])
