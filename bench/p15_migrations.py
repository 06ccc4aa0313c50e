"""P15: migrate every service's database from empty, as a deployment does.

`python -m shared.database.migrations upgrade …`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.harness import ROOT, Figure, Options, at_most, run, scratch
from deploy.postgres import EmbeddedPostgres
from deploy.processes import SERVICES

ALL = 7
"""Services that the platform will have; the target counts all of them."""


def _seconds(postgres: EmbeddedPostgres, prefix: str, services: Sequence[str]) -> float:
    """Wall time of one command for `services`, the start of Python included."""
    postgres.create_databases(prefix + service for service in services)
    urls = {
        f"{service.upper()}_DATABASE_URL": postgres.dsn(prefix + service) for service in services
    }
    started = time.perf_counter()
    _ = subprocess.run(
        [sys.executable, "-m", "shared.database.migrations", "upgrade", *services],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **urls},
        check=True,
    )
    return time.perf_counter() - started


def measure(options: Options) -> Sequence[Figure]:
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        rounds = [_seconds(postgres, f"r{n}_", SERVICES) for n in range(options.pick(3, 1))]
        single = {service: _seconds(postgres, "s_", [service]) for service in SERVICES}
    return [
        at_most(
            f"all {len(SERVICES)} databases (slowest of {len(rounds)})", max(rounds), "s", 10, 4
        ),
        Figure(
            f"reckoned for {ALL} (time × {ALL}/{len(SERVICES)})",
            max(rounds) * ALL / len(SERVICES),
            "s",
        ),
        *(Figure(f"{service} alone", seconds, "s") for service, seconds in single.items()),
    ]


if __name__ == "__main__":
    run("P15", "migrate all databases from empty", measure)
