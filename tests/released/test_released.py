"""What a release has kept is loaded, migrated and read by the code of today.

Events and documents keep their bytes. A later version may add keys to them, with a default. So the
rule is: every key that was kept is in what is written today, with an equal value.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import orjson
import pytest
from sqlalchemy import Dialect, TypeDecorator, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, dialect
from sqlalchemy.orm import DeclarativeBase, Mapper, undefer

import shared.events
from deploy.processes import SERVICES
from deploy.released import KeptData, load, open_release, read_database
from deploy.versions import KEPT_CONTRACTS, KEPT_DATA, kept_releases
from services.cases.applications.model import Upload
from services.exchange.events.model.log import LoggedEvent
from services.licenses.model.license import LicenseVersion
from services.licenses.model.records import SigningKey
from services.licenses.signing import digest_of, verify
from shared.database import audit, migrations
from shared.database.columns import Json
from shared.database.session import Database
from shared.database.tables import IdempotencyRow
from shared.events.base import Event, parse_envelope
from shared.http.idempotency import PURPOSE
from shared.security.crypto import Encrypted, decrypt, open_sealed, use_key
from tests.conftest import Databases

pytestmark = pytest.mark.xdist_group("released")

RELEASES = [KEPT_DATA / str(version) for version in kept_releases(KEPT_DATA)]
POSTGRESQL: Dialect = dialect()
SEALED_FIELDS = {
    ("cases", "contact"): "case.contact",
    ("cases", "holder"): "case.holder",
    ("identity", "holder"): "identity.person",
    ("exchange", "records"): "exchange.records",
}
"""Service and field of an event → the purpose for which its value is sealed."""


def of(*services: str) -> list[Any]:
    """Every release with each of the services, as parameters of the fixture `loaded`."""
    return [
        pytest.param((release, service), id=f"{release.name}-{service}")
        for release in RELEASES
        for service in services
    ]


@dataclass(frozen=True)
class Loaded:
    """A service's database of a release, migrated to the newest revision."""

    kept: KeptData
    service: str
    database: Database


def keys_of(kept: KeptData) -> tuple[bytes, bytes]:
    return base64.b64decode(kept.keys.data), base64.b64decode(kept.keys.platform)


LoadOnce = Callable[[Path, str], Awaitable[Loaded]]


@pytest.fixture(scope="module")
async def load_once(databases: Databases) -> AsyncGenerator[LoadOnce]:
    """Loads a service's database of a release, or gives the one that is loaded already."""
    known: dict[tuple[Path, str], Loaded] = {}

    async def get(release: Path, service: str) -> Loaded:
        if (release, service) not in known:
            _, url = await databases.empty()
            await load(release, service, url=url)
            upgrading = migrations.run_on(url, migrations.upgrade, service)
            await asyncio.to_thread(asyncio.run, upgrading)
            kept = open_release(release)
            data_key, platform_key = keys_of(kept)
            database = Database(url, data_key=data_key, platform_key=platform_key, pool_size=1)
            known[release, service] = Loaded(kept, service, database)
        return known[release, service]

    yield get
    # The databases end with the server: dropping them costs as much as loading them.
    for loaded in known.values():
        await loaded.database.close()


@pytest.fixture(params=of(*SERVICES))
async def loaded(request: pytest.FixtureRequest, load_once: LoadOnce) -> Loaded:
    release, service = request.param
    return await load_once(release, service)


def mappers_of(service: str) -> Iterator[Mapper[Any]]:
    """The mapped classes of a service, the platform tables among them."""
    known = migrations.metadata_of(service)
    for base in DeclarativeBase.__subclasses__():
        if base.metadata in known:
            yield from base.registry.mappers


def columns_of(mapper: Mapper[Any], kind: type[TypeDecorator[Any]]) -> dict[str, Any]:
    """The columns of a type by the attribute's name."""
    return {
        mapper.get_property_by_column(column).key: column
        for column in mapper.columns
        if isinstance(column.type, kind)
    }


def holds(now: Any, kept: Any) -> bool:
    """Every key of what was kept is there with an equal value; keys may have been added."""
    if isinstance(kept, dict):
        return isinstance(now, dict) and all(
            key in now and holds(now[key], value) for key, value in kept.items()
        )
    if isinstance(kept, list):
        return (
            isinstance(now, list)
            and len(now) == len(kept)
            and all(holds(one, other) for one, other in zip(now, kept, strict=True))
        )
    return type(now) is type(kept) and now == kept


def test_contracts_and_data_are_kept_of_the_same_releases() -> None:
    assert kept_releases(KEPT_DATA) == kept_releases(KEPT_CONTRACTS)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
@pytest.mark.parametrize("service", ["exchange", "ratings"])
async def test_loaded_database_is_the_one_that_was_read(
    databases: Databases, release: Path, service: str
) -> None:
    _, url = await databases.empty()
    await load(release, service, url=url)

    read = await read_database(url, service)

    assert read == {
        name: content
        for name, content in open_release(release).files.items()
        if name.startswith(f"{service}/")
    }


async def test_migrated_tables_equal_the_models(loaded: Loaded) -> None:
    assert await migrations.run_on(loaded.database.dsn, migrations.drift, loaded.service) == []


async def test_every_row_is_read_by_its_class(loaded: Loaded) -> None:
    rows = sealed = sealable = 0

    for mapper in mappers_of(loaded.service):
        encrypted = columns_of(mapper, Encrypted)
        sealable += len(encrypted)
        async with loaded.database.reading() as session:
            for entity in await session.scalars(select(mapper.class_).options(undefer("*"))):
                rows += 1
                sealed += sum(getattr(entity, name) is not None for name in encrypted)

    assert rows > 0
    assert (sealed > 0) == (sealable > 0)


async def test_stored_documents_are_written_as_they_were(loaded: Loaded) -> None:
    for mapper in mappers_of(loaded.service):
        for name, column in columns_of(mapper, Json).items():
            as_model = select(column).order_by(*mapper.primary_key)
            as_json = select(type_coerce(column, JSONB)).order_by(*mapper.primary_key)
            async with loaded.database.reading() as session:
                models = (await session.scalars(as_model)).all()
                documents = (await session.scalars(as_json)).all()
            for model, document in zip(models, documents, strict=True):
                written = column.type.process_bind_param(model, POSTGRESQL)
                assert holds(written, document), f"{mapper.class_.__name__}.{name}"


async def test_stored_answers_are_opened(loaded: Loaded) -> None:
    async with loaded.database.reading() as session:
        for row in await session.scalars(select(IdempotencyRow)):
            if row.body is not None:
                _ = decrypt(row.body, PURPOSE)


async def test_audit_chain_is_whole(loaded: Loaded) -> None:
    connection = await loaded.database.connect()
    rows = loaded.kept.files[f"{loaded.service}/audit.copy"].count(b"\n")

    verdict = await audit.verify(connection)
    await connection.close()

    assert verdict.broken_at is None
    assert verdict.sealed + verdict.unsealed == rows
    # What assessment does by itself is no act of anybody.
    assert verdict.sealed > 0 or loaded.service == "assessment"


@pytest.mark.parametrize("loaded", of("licenses"), indirect=True)
async def test_every_signature_of_a_license_verifies(loaded: Loaded) -> None:
    signed = 0

    async with loaded.database.reading() as session:
        public = await session.execute(select(SigningKey.kid, SigningKey.public_key))
        keys = {row.kid: row.public_key for row in public}
        for version in await session.scalars(select(LicenseVersion)):
            record = version.record.encode()
            assert version.digest == digest_of(record)
            if version.signature is not None:
                assert verify(keys[version.kid], record, signature=version.signature)
                signed += 1

    assert signed > 0


@pytest.mark.parametrize("loaded", of("cases"), indirect=True)
async def test_every_upload_is_there_with_its_bytes(loaded: Loaded) -> None:
    contents = loaded.kept.below("uploads").values()
    kept = {hashlib.sha256(content).hexdigest() for content in contents}

    async with loaded.database.reading() as session:
        expected = set(await session.scalars(select(Upload.digest)))

    assert expected
    assert expected <= kept


@pytest.mark.parametrize("loaded", of("exchange"), indirect=True)
async def test_events_of_peers_have_the_bytes_of_their_digest(loaded: Loaded) -> None:
    count = 0

    async with loaded.database.reading() as session:
        for payload in await session.scalars(select(LoggedEvent.payload)):
            event = orjson.loads(payload)
            data = orjson.dumps(event["data"], option=orjson.OPT_SORT_KEYS)
            assert hashlib.sha256(data).hexdigest() == event["recorddigest"]
            count += 1

    assert count > 0


def sealed_values(event: Event) -> Iterator[tuple[str, str]]:
    """The sealed values of an event, each with its purpose."""
    for (service, field), purpose in SEALED_FIELDS.items():
        value = getattr(event, field, None)
        if event.service == service and value is not None:
            yield value, purpose


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_every_event_is_read_and_keeps_its_bytes(release: Path) -> None:
    for module in iter_modules(shared.events.__path__):
        _ = import_module(f"shared.events.{module.name}")
    kept = open_release(release)
    sealed = 0

    for payload in kept.events:
        envelope = parse_envelope(payload)
        event = envelope.event()
        assert event is not None, f"{envelope.type} is not known"
        written = event.model_dump_json().encode()
        data = orjson.loads(written)
        assert holds(data, envelope.data), f"{envelope.type} {envelope.id}"
        # A type to which a later version has added a key is written with that key.
        if data == envelope.data:
            assert b'"data":' + written in payload, f"{envelope.type} {envelope.id}"
        data_key, platform_key = keys_of(kept)
        with use_key(data_key, platform=platform_key):
            for value, purpose in sealed_values(event):
                _ = open_sealed(value, purpose=purpose)
                sealed += 1

    assert kept.events
    assert sealed > 0
