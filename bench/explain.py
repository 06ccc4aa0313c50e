"""`EXPLAIN (ANALYZE, BUFFERS)` of the hot statements at a million rows, as markdown: `python -m bench.explain [--quick]`.

The statements are not kept here: the requests are made, and whatever the service sends to PostgreSQL meanwhile is explained
with the same parameters, each in a transaction that is undone.
"""

import argparse
import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from bench.data import clone_cases
from bench.hall import Hall, open_hall
from bench.harness import Options, machine, say, scratch
from bench.overhear import overhearing
from bench.p10_search import add_names
from deploy.postgres import EmbeddedPostgres
from deploy.sample import catalogue
from services.matters.queries import catalogue as queries_catalogue
from services.matters.schemas.catalogue import Directory
from services.matters.use_cases.catalogue import store_directory
from services.matters.use_cases.publishing import publish_documents
from shared import clock
from shared.database import migrations
from shared.database.session import Database
from shared.domain.guides import MatterDocument
from shared.messaging.outbox import CLAIM


async def explain(dsn: str, statement: str, parameters: Any) -> str:
    """The plan, as run; nothing of it stays."""
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off"})
    transaction = connection.transaction()
    await transaction.start()
    try:
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", *parameters)
        return "\n".join(row[0] for row in rows)
    finally:
        await transaction.rollback()
        await connection.close()


def show(title: str, statement: str, plan: str) -> None:
    words = " ".join(statement.split())
    print(
        f"\n**{title}**: `{words[:150]}{' …' if len(words) > 150 else ''}`\n\n```text\n{plan}\n```"
    )


async def _deep(hall: Hall, pages: int, clerk: dict[str, str]) -> str:
    cursor = ""
    for _ in range(pages // 2):
        cursor = f"&cursor={(await hall.get(f'/work-list?limit=200{cursor}', clerk))['next']}"
    return cursor


async def _cases(postgres: EmbeddedPostgres, folder: Path, number: int) -> None:
    async with open_hall(postgres, folder) as hall:
        case, clerk = await hall.apply(), hall.clerk
        say(f"adding {number:,} cases")
        await clone_cases(hall.dsn, 1, number)
        deep = await _deep(hall, min(1000, number // 250), clerk)
        acts: dict[str, Callable[[], Awaitable[Any]]] = {
            "read one case": lambda: hall.get(f"/files/{case['id']}", hall.citizen),
            "a citizen's own cases": lambda: hall.get("/files?limit=50", hall.citizen),
            "work list, first page": lambda: hall.get("/work-list?limit=100", clerk),
            "work list, page 1,000": lambda: hall.get(f"/work-list?limit=100{deep}", clerk),
            "work list by state": lambda: hall.get("/work-list?limit=100&state=received", clerk),
            "create": hall.apply,
        }
        for title, act in acts.items():
            async with overhearing(hall.app.state.database) as heard:
                _ = await act()
            for statement, parameters in dict(heard).items():
                show(f"{title}", statement, await _plan_of(hall.dsn, statement, parameters))
        show("relay: claim", CLAIM, await explain(hall.dsn, CLAIM, [1000]))


async def _plan_of(dsn: str, statement: str, parameters: Any) -> str:
    """The plan; a statement that its own row stops (the key is taken by now) says so."""
    try:
        return await explain(dsn, statement, parameters)
    except asyncpg.UniqueViolationError:
        return "(an insert under a key that is taken by now: not run again)"


async def _matters(postgres: EmbeddedPostgres, number: int) -> None:
    dsn = postgres.dsn("tongban_matters")
    await asyncio.to_thread(asyncio.run, migrations.run_on(dsn, migrations.upgrade, "matters"))
    database = Database(dsn, data_key=base64.b64decode("AA==") * 32, pool_size=2)
    async with database.transaction() as session:
        await store_directory(session, Directory.model_validate(catalogue.directory()))
        texts = [MatterDocument.model_validate(document) for document in catalogue.documents()[:20]]
        _ = await publish_documents(session, texts, actor="bench", now=clock.now())
    say(f"adding {number:,} names")
    await add_names(dsn, number)
    for words in ("茶馆", "经营许可"):
        async with overhearing(database) as heard, database.reading() as session:
            _ = await queries_catalogue.search_matters(
                session,
                words,
                filters=queries_catalogue.MatterFilter(),
                after=queries_catalogue.SearchPlace(),
                limit=20,
            )
        for statement, parameters in dict(heard).items():
            show(f"search: {words}", statement, await explain(dsn, statement, parameters))
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    _ = parser.add_argument("--quick", action="store_true", help="on a few thousand rows")
    number = Options(quick=parser.parse_args().quick).pick(1_000_000, 3_000)
    with scratch() as folder, EmbeddedPostgres(folder / "postgres") as postgres:
        postgres.create_databases(["tongban_cases", "tongban_matters"])
        place = machine()
        print(
            f"At {number:,} rows, {clock.now():%Y-%m-%d}, {place['cores']} cores {place['cpu']}, shared_buffers 32 MB."
        )
        uvloop.run(_cases(postgres, folder, number))
        uvloop.run(_matters(postgres, number))


if __name__ == "__main__":
    main()
