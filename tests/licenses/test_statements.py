"""How many statements the typical acts cost.

The platform promises these numbers, because each statement is a round trip.
"""

from bench.capture_sql import capture_sql
from services.licenses.use_cases.issue import issue_for_case
from shared import clock
from tests.licenses.conftest import BASE, Office, a_decision


async def test_reads_take_one_statement(office: Office) -> None:
    _, holder = await office.verify()
    made = await office.issued()
    paths = [
        f"licenses/{made['id']}",
        f"licenses/{made['id']}/pdf",
        "licenses",
        "types",
        "keys",
        "statistics",
    ]

    counts: list[int] = []
    for path in paths:
        caller = office.administrator if path == "statistics" else holder
        async with capture_sql(office.client.database) as captured:
            assert (await office.client.get(f"{BASE}/{path}", headers=caller)).status_code == 200
        counts.append(len(captured))

    assert counts == [1] * len(paths)


async def test_check_takes_one_statement_that_counts_the_try_too(office: Office) -> None:
    _, holder = await office.verify()
    made = await office.issued()
    seen_by_her = await office.get(f"licenses/{made['id']}", holder)
    body = {"identifier": made["identifier"], "code": seen_by_her["check_code"]}

    async with capture_sql(office.client.database) as captured:
        assert (await office.client.post(f"{BASE}/checks", json=body)).status_code == 200

    ((statement, _),) = captured
    assert "INSERT INTO check_tries" in statement


async def test_issue_takes_a_lock_what_it_rests_on_and_one_statement_for_all_it_leaves(
    office: Office,
) -> None:
    async with office.client.database.transaction() as session:
        await issue_for_case(session, a_decision(), now=clock.now())

    async with (
        capture_sql(office.client.database) as captured,
        office.client.database.transaction() as session,
    ):
        await issue_for_case(session, a_decision(), now=clock.now())

    assert [statement.split(" ", 1)[0] for statement, _ in captured] == ["SELECT", "SELECT", "WITH"]
