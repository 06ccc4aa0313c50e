"""How many statements a create and a read cost.

The platform promises these numbers, because each statement is a round trip.
"""

from bench.capture_sql import capture_sql
from services.cases.applications.model import MatterCopy
from tests.builders.matters import a_document
from tests.cases.conftest import BASE, StackFixture


# The number of a case is taken beside the transaction (`shared/database/serials.py`), on a
# connection outside the pool.
async def test_create_takes_four_statements_and_the_number(stack: StackFixture) -> None:
    _ = await stack.apply()  # The first one fills the process's memory of calendar and matter.
    body = await stack.application(stack.citizen)

    async with capture_sql(stack.client.database) as captured:
        answer = await stack.post(body, stack.citizen)

    assert answer.status_code == 201
    assert [statement.split(" ", 2)[0] for statement, _ in captured] == [
        "INSERT",
        "SELECT",
        "WITH",
        "UPDATE",
    ]


async def test_changed_calendar_costs_the_next_create_one_statement_more(
    stack: StackFixture,
) -> None:
    _ = await stack.apply()
    connection = await stack.client.database.connect()
    _ = await connection.execute("UPDATE calendar_version SET version = gen_random_uuid()")
    await connection.close()
    body = await stack.application(stack.citizen)

    async with capture_sql(stack.client.database) as captured:
        answer = await stack.post(body, stack.citizen)

    assert (answer.status_code, len(captured)) == (201, 5)


async def test_read_takes_one_statement(stack: StackFixture) -> None:
    case = await stack.apply()

    async with capture_sql(stack.client.database) as captured:
        for headers in (stack.citizen, stack.officer("leader")):
            assert (
                await stack.client.get(f"{BASE}/files/{case['id']}", headers=headers)
            ).status_code == 200

    assert len(captured) == 2


async def test_known_text_of_a_matter_is_not_fetched_again_until_it_changes(
    stack: StackFixture,
) -> None:
    old = await stack.apply()
    connection = await stack.client.database.connect()
    # Behind the process's back, under the same revision: whoever parsed it does not look again.
    _ = await connection.execute(f"UPDATE {MatterCopy.__tablename__} SET document = '{{}}'")
    again = await stack.apply()
    await connection.close()

    await stack.publish(a_document(promised_days=7), revision=2)
    stale = await stack.post(await stack.application(stack.citizen), stack.citizen)

    assert (again["matter_name"], stale.status_code) == (old["matter_name"], 409)
