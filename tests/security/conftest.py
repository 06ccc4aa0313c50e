"""Fixtures of the security tests."""

from pathlib import Path

import pytest

from tests.cases.conftest import StackFixture
from tests.conftest import ClientFactory, TokenFactory


@pytest.fixture
async def stack(client_of: ClientFactory, token: TokenFactory, tmp_path: Path) -> StackFixture:
    """The cases service with a published matter."""
    stack = StackFixture(
        await client_of("cases", development=True, storage_url=str(tmp_path / "uploads")), token
    )
    await stack.publish()
    return stack
