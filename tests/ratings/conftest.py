"""Fixture of the tests of giving a rating."""

import pytest

from tests.conftest import ClientFactory, TokenFactory
from tests.ratings.giving import Giving


@pytest.fixture
async def giving(client_of: ClientFactory, token: TokenFactory) -> Giving:
    return Giving(await client_of("ratings", development=True, public_url="http://test"), token)
