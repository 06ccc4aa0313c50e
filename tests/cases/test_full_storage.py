"""A full disk of uploads: refused with 507 in words, told to the operator, and over when cured."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from services.cases.applications.model import Upload
from shared.runtime.status import Status
from tests.builders.full_disk import small_disk
from tests.cases.conftest import BASE, PDF
from tests.conftest import ClientFactory, ServiceClient, TokenFactory
from tests.contracts.problem_texts import text_faults

TYPE = {"content-type": "application/octet-stream"}


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Path]:
    with small_disk(tmp_path / "uploads") as folder:
        yield folder


def a_file(size: int) -> bytes:
    return PDF + os.urandom(size)


async def state(client: ServiceClient) -> Status:
    return Status.model_validate_json((await client.get("/internal/status")).content)


async def test_full_storage_answers_507_and_leaves_nothing(
    client_of: ClientFactory, token: TokenFactory, disk: Path
) -> None:
    client = await client_of("cases", storage_url=str(disk))
    headers = {**token(), **TYPE, "Accept-Language": "zh"}
    url = f"{BASE}/uploads"

    taken = await client.post(url, content=a_file(600_000), headers=headers)
    refused = await client.post(url, content=a_file(600_000), headers=headers)
    sick = await state(client)
    metrics = (await client.get("/metrics")).text
    async with client.database.reading() as session:
        rows = await session.scalar(select(func.count()).select_from(Upload))
    smaller = await client.post(url, content=a_file(1000), headers=headers)
    cured = await state(client)

    assert (taken.status_code, refused.status_code, smaller.status_code) == (201, 507, 201)
    problem = refused.json()
    assert (problem["code"], text_faults(problem)) == ("storage_full", [])
    assert int(refused.headers["retry-after"]) > 0
    assert rows == 1
    assert [disk.refused for disk in sick.disks] == [True]
    assert 'tongban_storage_full{disk="uploads",service="cases"} 1.0' in metrics
    assert [disk.refused for disk in cured.disks] == [False]
    assert sick.disks[0].size_bytes == 1024 * 1024
