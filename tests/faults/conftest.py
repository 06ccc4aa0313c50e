"""One platform for all fault tests of a run.

It is started once; each test breaks and heals it, and the whole of it is checked every time.
"""

import os
import random
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.builders.tokens import TestKeys
from tests.faults.invariant import Invariant
from tests.faults.platform import Platform
from tests.faults.region import regional_simulator

LONG = 100
"""From so many rounds on the regional platform is there too."""


@pytest.fixture(scope="session")
def platform(keys: TestKeys, seed: int, rounds: int, brokers: int) -> Generator[Platform]:
    """Tests that use it carry `xdist_group("stack")`."""
    with tempfile.TemporaryDirectory(prefix="tongban-faults-") as folder, ExitStack() as beside:
        region = beside.enter_context(regional_simulator(seed)) if rounds >= LONG else ""
        yield beside.enter_context(Platform(Path(folder), keys, region, brokers=brokers))


@pytest.fixture(scope="session")
def invariant(platform: Platform) -> Invariant:
    return Invariant(platform)


@pytest.fixture(scope="session")
def seed() -> int:
    """`FAULT_SEED` replays the run that printed it."""
    chosen = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
    print(f"\nFAULT_SEED={chosen}")
    return chosen


@pytest.fixture(scope="session")
def rounds() -> int:
    return int(os.environ.get("FAULT_ROUNDS") or 16)


@pytest.fixture(scope="session")
def brokers() -> int:
    """With three, one of them can be lost; they take long to start."""
    return int(os.environ.get("FAULT_BROKERS") or 1)


@pytest.fixture(scope="session")
def outage() -> float:
    """Seconds that the broker stays away."""
    return float(os.environ.get("FAULT_OUTAGE") or 5)


@pytest.fixture(scope="session")
def cases() -> int:
    """Cases that are created meanwhile."""
    return int(os.environ.get("FAULT_CASES") or 100)
