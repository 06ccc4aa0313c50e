"""A wrong but well-formed key is refused at the start, and the setting is named."""

import pytest
from sqlalchemy import text

from shared.database.key_check import WrongKeyError, check_keys, checked_keys
from shared.database.session import Database
from shared.security.crypto import encrypt, use_key
from tests.conftest import Databases

RIGHT, WRONG = b"r" * 32, b"w" * 32


def opened(url: str, *, data: bytes = RIGHT, platform: bytes = RIGHT) -> Database:
    return Database(url, data_key=data, platform_key=platform, pool_size=1)


async def test_right_keys_pass_again_and_again(databases: Databases) -> None:
    _, url = await databases.fresh("cases")
    database = opened(url)

    await check_keys(database, "cases")
    async with checked_keys(database, "cases"):
        pass

    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM key_check")) == 2
    await database.close()


@pytest.mark.parametrize(
    ("keys", "setting"),
    [({"data": WRONG}, "CASES_DATA_KEY"), ({"platform": WRONG}, "CASES_PLATFORM_KEY")],
)
async def test_wrong_key_is_refused_by_the_name_of_its_setting(
    databases: Databases, keys: dict[str, bytes], setting: str
) -> None:
    _, url = await databases.fresh("cases")
    first = opened(url)
    await check_keys(first, "cases")
    await first.close()
    database = opened(url, **keys)

    with pytest.raises(WrongKeyError, match=setting) as raised:
        async with checked_keys(database, "cases"):
            raise AssertionError("it began")

    assert "w" * 8 not in str(raised.value)
    await database.close()


async def test_wrong_key_does_not_become_the_first_of_old_data(databases: Databases) -> None:
    _, url = await databases.fresh("identity")
    with use_key(RIGHT):
        old = encrypt("{}", purpose="signing_key.private_key")
    database = opened(url, data=WRONG)
    async with database.transaction() as session:
        _ = await session.execute(
            text(
                "INSERT INTO signing_key (kid, state, private_key, public_key, created_at)"
                " VALUES ('k', 'current', :old, '{}', now())"
            ),
            {"old": old},
        )

    with pytest.raises(WrongKeyError, match="IDENTITY_DATA_KEY"):
        await check_keys(database, "identity")

    async with database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM key_check")) == 0
    await database.close()


async def test_database_that_is_away_does_not_keep_a_process_from_starting() -> None:
    database = opened("postgresql://nobody:x@127.0.0.1:9/none")

    async with checked_keys(database, "cases"):
        began = True

    assert began
    await database.close()
