"""The data of a release, for operator's commands."""

import asyncio
from collections.abc import Mapping

import asyncpg
import pytest

from deploy.processes import SERVICES
from deploy.released import load
from deploy.versions import KEPT_DATA, kept_releases
from shared.database import migrations
from tests.conftest import Databases

NEWEST = KEPT_DATA / str(kept_releases(KEPT_DATA)[-1])


@pytest.fixture(scope="session")
async def kept_platform(databases: Databases) -> Mapping[str, str]:
    """The databases of a whole day on the sample platform, migrated."""
    urls: dict[str, str] = {}
    for service in SERVICES:
        _, url = await databases.empty()
        await load(NEWEST, service, url=url)
        upgrading = migrations.run_on(url, migrations.upgrade, service)
        await asyncio.to_thread(asyncio.run, upgrading)
        urls[service] = url
    await mend_ledger(urls["exchange"])
    return urls


async def mend_ledger(url: str) -> None:
    """Release 0.1.0 lost the second fact of an act in the ledger (docs/adr/0019, point 4)."""
    connection = await asyncpg.connect(url)
    try:
        status = await connection.execute(
            """UPDATE ledger SET record = (record::jsonb || '{"result_state": "closed",
                "is_overdue": "0"}')::text WHERE resource = 'cases'
                AND record::jsonb ? 'delivery_date' AND NOT record::jsonb ? 'result_state'"""
        )
        assert status == "UPDATE 1"
    finally:
        await connection.close()
