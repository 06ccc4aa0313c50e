"""P14: `make run` when warm: seconds until it is ready, and its memory at rest.

The memory is that of everything with PostgreSQL (PSS).

The first start makes the databases and loads the sample; the second one is measured, in a process
of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import proc
from bench.harness import ROOT, Figure, Options, at_most, run, say, scratch
from bench.seed_data import free_run_folder
from deploy.broker import die_with_parent
from deploy.postgres import EmbeddedPostgres


@contextmanager
def _platform(folder: Path, port: int) -> Generator[tuple[subprocess.Popen[str], float]]:
    """The embedded platform, and the seconds until it said that it is ready."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.embedded", "--port", str(port), "--data", str(folder)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    try:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Tongban runs on"):
                yield process, time.perf_counter() - started
                return
        raise SystemExit(f"it did not start: {''.join(said)[-500:]}")
    finally:
        process.send_signal(signal.SIGINT)
        _ = process.wait(30)


def measure(options: Options) -> Sequence[Figure]:
    with scratch() as folder:
        port = free_run_folder(folder).port
        say("first start, with the sample")
        with _platform(folder, port) as (_, first):
            pass
        times: list[float] = []
        for _ in range(options.pick(3, 1)):
            with _platform(folder, port) as (process, ready):
                times.append(ready)
                time.sleep(options.pick(8.0, 1.0))
                postmaster = EmbeddedPostgres(folder / "embedded/postgres").postmaster()
                python, database = proc.pss_megabytes(process.pid), proc.pss_megabytes(postmaster)
    return [
        at_most("ready when warm (slowest of three)", max(times), "s", 8, 4),
        at_most("PSS of everything", python + database, "MB", 600, 350),
        Figure("PSS: the process", python, "MB"),
        Figure("PSS: PostgreSQL", database, "MB"),
        Figure("first start, sample included", first, "s"),
    ]


if __name__ == "__main__":
    run("P14", "make run: warm start, memory of everything", measure)
