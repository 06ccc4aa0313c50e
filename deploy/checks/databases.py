"""The models equal the migrated database, a PostgreSQL of its own that is gone afterwards."""

import asyncio
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded import SERVICES
from deploy.postgres import EmbeddedPostgres
from shared.database import migrations

# What is lost with the machine need not be safe on its disk.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextmanager
def databases() -> Generator[tuple[dict[str, str], dict[str, str]]]:
    """For each service a migrated database and an empty one: URLs by the service's name."""
    with (
        tempfile.TemporaryDirectory(prefix="tongban-check-") as folder,
        EmbeddedPostgres(Path(folder) / "data", settings=FAST) as postgres,
    ):
        postgres.create_databases(SERVICES)
        urls = {service: postgres.dsn(service) for service in SERVICES}
        for service, url in urls.items():
            _ = asyncio.run(migrations.run_on(url, migrations.upgrade, service))
        postgres.create_databases(f"empty_{service}" for service in SERVICES)
        yield urls, {service: postgres.dsn(f"empty_{service}") for service in SERVICES}


@contextmanager
def migrated() -> Generator[dict[str, str]]:
    """A migrated database for each service: its URL by the service's name."""
    with databases() as (urls, _):
        yield urls


def drifts(urls: dict[str, str]) -> Iterator[str]:
    """Every difference between a service's models and the database that its migrations make."""
    for service, url in urls.items():
        for found in asyncio.run(migrations.run_on(url, migrations.drift, service)):
            yield f"{service}: {found}"
