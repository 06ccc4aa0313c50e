"""Fixtures of the security tests."""

from pathlib import Path

import pytest

from tests.cases.conftest import Hall
from tests.conftest import ClientFactory, TokenFactory


@pytest.fixture
async def hall(client_of: ClientFactory, token: TokenFactory, tmp_path: Path) -> Hall:
    """The cases service with a published matter."""
    hall = Hall(
        await client_of("cases", development=True, storage_url=str(tmp_path / "uploads")), token
    )
    await hall.publish()
    return hall
