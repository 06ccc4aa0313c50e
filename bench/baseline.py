"""Baselines measured in the same run: pgbench, a plain COPY."""

import os
import re
import subprocess
import time

import asyncpg

from bench.harness import Options
from deploy.postgres import BIN, USER, EmbeddedPostgres

DATABASE = "pgbench"


def _pgbench(postgres: EmbeddedPostgres, *arguments: str) -> str:
    command = [
        str(BIN / "pgbench"),
        "-h",
        "127.0.0.1",
        "-p",
        str(postgres.port),
        "-U",
        USER,
        *arguments,
        DATABASE,
    ]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGPASSWORD": postgres.password}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"pgbench failed: {done.stderr[-500:]}")
    return done.stdout


def prepare_pgbench(postgres: EmbeddedPostgres, options: Options) -> None:
    """Its tables at scale 10 (a million accounts), beside ours on the same server."""
    postgres.create_databases([DATABASE])
    _ = _pgbench(postgres, "-i", "-q", "-s", options.pick("10", "1"))


def pgbench_tps(postgres: EmbeddedPostgres, options: Options) -> float:
    """Transactions a second of `pgbench -N -c10`.

    Each is one update, one insert and one select, committed.
    """
    out = _pgbench(postgres, "-n", "-N", "-c", "10", "-j", "2", "-T", options.pick("6", "1"))
    found = re.search(r"tps = ([\d.]+)", out)
    assert found is not None, out
    return float(found[1])


async def copy_seconds(dsn: str, lines: list[bytes]) -> float:
    """Seconds of a plain COPY of these JSON documents into a table of one column."""
    connection = await asyncpg.connect(dsn)
    try:
        _ = await connection.execute(
            "DROP TABLE IF EXISTS bench_copy; CREATE TABLE bench_copy (document jsonb)"
        )
        started = time.perf_counter()
        rows = [(line.decode(),) for line in lines]
        _ = await connection.copy_records_to_table("bench_copy", records=rows)
        return time.perf_counter() - started
    finally:
        await connection.close()
