"""P10: search by two to four characters through the gateway, top 20.

Measured at 6,181 matters and at 1 million names.

The 6,181 are published through the API. The million are copies of a real row under generated names,
indexed by the words that `services.matters.search` makes of them. One client asks, so that the
figure is the answer's time, not a queue's.
"""

import random
from collections.abc import Iterable, Sequence
from itertools import islice
from urllib.parse import quote

import asyncpg
import uvloop

from bench.data import clone, names
from bench.harness import Figure, Options, at_most, run, say
from bench.load import Outcome, drive, request
from bench.p09_import_catalogue import MATTERS, publish
from bench.seed_data import make_seed_data, running_stack
from deploy.stack import Stack
from services.matters import search

NAMED = {
    "id": "uuidv7()",
    "identity": "'B' || s.n",
    "name": "s.name",
    "haystack": "s.name",
    "search": "s.search",
    "published_version": "1",
}


def _row(number: int, name: str) -> bytes:
    """A line of COPY text: number, name, tsvector."""
    words = " ".join(f"'{word}'" for word in search.tokens([name]))
    return f"{number}\t{name}\t{words}\n".encode()


async def _copy(connection: asyncpg.Connection, lines: Iterable[bytes]) -> None:
    async def chunks() -> object:
        for line in lines:
            yield line

    _ = await connection.copy_to_table(
        "bench_name", source=chunks(), columns=["n", "name", "search"], timeout=300
    )


async def add_names(dsn: str, number: int) -> None:
    """Add `number` published matters.

    The search index is dropped and built again: a million insertions would take minutes.
    """
    connection = await asyncpg.connect(dsn)
    try:
        _ = await connection.execute(
            "SET maintenance_work_mem = '256MB'; SET synchronous_commit = off"
        )
        _ = await connection.execute(
            "CREATE UNLOGGED TABLE bench_name (n int, name text, search tsvector)"
        )
        await _copy(connection, (_row(n, name) for n, name in enumerate(islice(names(), number))))
        index = await connection.fetchval("SELECT pg_get_indexdef('ix_matter_search'::regclass)")
        _ = await connection.execute("DROP INDEX ix_matter_search")
        await clone(connection, "matter", NAMED, "bench_name s", "state = 'published'")
        _ = await connection.execute(index, timeout=300)
        _ = await connection.execute("DROP TABLE bench_name")
        _ = await connection.execute("VACUUM (ANALYZE) matter", timeout=300)
        _ = await connection.execute("CHECKPOINT", timeout=300)
    finally:
        await connection.close()


def questions(number: int) -> list[bytes]:
    """Requests for two to four neighbouring characters of names that are there."""
    dice, known = random.Random(2), list(islice(names(), 5_000))
    found: list[bytes] = []
    while len(found) < number:
        name, size = dice.choice(known), dice.choice((2, 3, 4))
        start = dice.randrange(max(1, len(name) - size))
        words = name[start : start + size]
        if words.isalpha():
            found.append(request("GET", f"/api/v1/matters/catalogue?limit=20&q={quote(words)}"))
    return found


async def _ask(stack: Stack, options: Options) -> Outcome:
    asked = questions(options.pick(1500, 50))
    turn = iter(asked * 3)
    _ = await drive(stack.folder.url, lambda _: next(turn), clients=1, count=len(asked) // 5)
    return await drive(stack.folder.url, lambda _: next(turn), clients=1, count=len(asked))


async def _measured(stack: Stack, options: Options) -> dict[str, Outcome]:
    seed = await make_seed_data(stack, 1)
    headers = seed.token(kind="staff", roles=["administrator"])
    few, many = options.pick((MATTERS, 1_000_000), (200, 2_000))
    _ = await publish(stack, few, headers)
    found = {"matters": await _ask(stack, options)}
    say(f"adding {many:,} names")
    await add_names(stack.postgres.dsn("tongban_matters"), many)
    return {**found, "names": await _ask(stack, options)}


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        found = uvloop.run(_measured(stack, options))
    p95 = {name: outcome.percentile(0.95) * 1000 for name, outcome in found.items()}
    return [
        at_most("p95 at 6,181 matters", p95["matters"], "ms", 15, 8),
        at_most("p95 at 1,000,000 names", p95["names"], "ms", 80, 40),
        *(
            Figure(f"p50, {name}", outcome.percentile(0.5) * 1000, "ms")
            for name, outcome in found.items()
        ),
        *(
            Figure(f"p99, {name}", outcome.percentile(0.99) * 1000, "ms")
            for name, outcome in found.items()
        ),
    ]


if __name__ == "__main__":
    run("P10", "search by 2–4 characters, top 20, through the gateway", measure)
