"""How many statements a create and a read cost: a promise of the platform, because each is a round trip."""

from bench.overhear import overhearing
from services.cases.applications.model import MatterCopy
from tests.builders.matters import a_document
from tests.cases.conftest import BASE, Hall


# The number of a case is taken beside the transaction (`shared/database/serials.py`), on a connection outside the pool.
async def test_create_takes_four_statements_and_the_number(hall: Hall) -> None:
    _ = await hall.apply()  # The first one fills the process's memory of calendar and matter.
    body = await hall.application(hall.citizen)

    async with overhearing(hall.client.database) as heard:
        answer = await hall.post(body, hall.citizen)

    assert answer.status_code == 201
    assert [statement.split(" ", 2)[0] for statement, _ in heard] == [
        "INSERT",
        "SELECT",
        "WITH",
        "UPDATE",
    ]


async def test_changed_calendar_costs_the_next_create_one_statement_more(hall: Hall) -> None:
    _ = await hall.apply()
    connection = await hall.client.database.connect()
    _ = await connection.execute("UPDATE calendar_version SET version = gen_random_uuid()")
    await connection.close()
    body = await hall.application(hall.citizen)

    async with overhearing(hall.client.database) as heard:
        answer = await hall.post(body, hall.citizen)

    assert (answer.status_code, len(heard)) == (201, 5)


async def test_read_takes_one_statement(hall: Hall) -> None:
    case = await hall.apply()

    async with overhearing(hall.client.database) as heard:
        for headers in (hall.citizen, hall.officer("leader")):
            assert (
                await hall.client.get(f"{BASE}/files/{case['id']}", headers=headers)
            ).status_code == 200

    assert len(heard) == 2


async def test_known_text_of_a_matter_is_not_fetched_again_until_it_changes(hall: Hall) -> None:
    old = await hall.apply()
    connection = await hall.client.database.connect()
    # Behind the process's back, under the same revision: whoever parsed it does not look again.
    _ = await connection.execute(f"UPDATE {MatterCopy.__tablename__} SET document = '{{}}'")
    again = await hall.apply()
    await connection.close()

    await hall.publish(a_document(promised_days=7), revision=2)
    stale = await hall.post(await hall.application(hall.citizen), hall.citizen)

    assert (again["matter_name"], stale.status_code) == (old["matter_name"], 409)
