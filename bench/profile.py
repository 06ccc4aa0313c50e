"""Where a request's CPU goes inside the cases app.

`python -m bench.profile create|read|work-list [--count 300]`.

cProfile of the app alone, in this process, sorted by own time and by time below; its overhead makes
small functions look dearer than they are, so it says where to look, never how much.
"""

import argparse
import asyncio
import cProfile
import pstats
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.harness import scratch
from bench.stack_fixture import StackFixture, open_stack_fixture
from deploy.postgres import EmbeddedPostgres


async def _acts(fixture: StackFixture) -> dict[str, Callable[[], Awaitable[Any]]]:
    case, clerk = await fixture.apply(), fixture.clerk
    return {
        "create": fixture.apply,
        "read": lambda: fixture.get(f"/files/{case['id']}", fixture.citizen),
        "work-list": lambda: fixture.get("/work-list?limit=100", clerk),
    }


async def _profile(postgres: EmbeddedPostgres, folder: Path, name: str, count: int) -> None:
    async with open_stack_fixture(postgres, folder) as fixture:
        act = (await _acts(fixture))[name]
        for _ in range(120):
            _ = await fixture.apply()
        before = time.process_time()
        for _ in range(count):
            _ = await act()
        each = (time.process_time() - before) / count * 1000
        print(f"{name}: {each:.2f} ms CPU each, httpx as the client included")
        profile = cProfile.Profile(time.process_time)
        with profile:
            for _ in range(count):
                _ = await act()
    stats = pstats.Stats(profile).strip_dirs()
    _ = stats.sort_stats("tottime").print_stats(35)
    _ = stats.sort_stats("cumulative").print_stats(90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    _ = parser.add_argument("act", choices=["create", "read", "work-list"])
    _ = parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args()
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases(["tongban_cases"])
        asyncio.run(_profile(postgres, folder, options.act, options.count))


if __name__ == "__main__":
    main()
