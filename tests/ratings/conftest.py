"""Fixtures of ratings."""

import pytest

from tests.builders.ratings import Bureau
from tests.conftest import ClientFactory, TokenFactory
from tests.ratings.giving import Giving


@pytest.fixture
async def giving(client_of: ClientFactory, token: TokenFactory) -> Giving:
    """Who invites and rates."""
    return Giving(await client_of("ratings", development=True, public_url="http://test"), token)


@pytest.fixture
async def bureau(client_of: ClientFactory, token: TokenFactory) -> Bureau:
    """Who handles bad ratings."""
    return Bureau(await client_of("ratings", development=True), token)
