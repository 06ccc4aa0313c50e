"""Facts of the other services as they really are.

A case is decided, a person is verified, an organisation is linked.
"""

from pathlib import Path

from services.licenses.consumer import consumer
from shared.events.base import topic_of
from shared.messaging.bus import Record
from shared.messaging.inbox import Inbox
from tests.builders.matters import a_document
from tests.cases.conftest import APPLICANT, StackFixture
from tests.conftest import ClientFactory, ServiceClient, TokenFactory
from tests.identity.conftest import Play
from tests.identity.test_organisations import register, verified
from tests.licenses.conftest import TYPE, Office

USCC_HOLDER = {"kind": "organisation", "name": "拉萨甜茶有限公司"}


async def carry(client: ServiceClient, service: str, office: Office) -> None:
    """What a service published comes to licences."""
    connection = await client.database.connect()
    rows = await connection.fetch("SELECT key, payload FROM outbox ORDER BY position")
    await connection.close()
    records = [
        Record(topic_of(service), row["key"], bytes(row["payload"]), 0, n)
        for n, row in enumerate(rows)
    ]
    await Inbox(office.client.database, None, consumer=consumer).take(records)  # pyright: ignore[reportArgumentType]


async def test_decided_case_becomes_the_licence_of_the_verified_applicant(
    office: Office, client_of: ClientFactory, token: TokenFactory, tmp_path: Path
) -> None:
    stack = StackFixture(
        await client_of("cases", development=True, storage_url=str(tmp_path)), token
    )
    document = a_document()
    result = document.result
    assert result is not None
    result = result.model_copy(update={"license_type_code": TYPE})
    await stack.publish(document.model_copy(update={"result": result}))
    case = await stack.do(
        await stack.reviewed(), "decision", stack.officer("leader"), {"result": "0"}
    )
    identity = await client_of("identity", development=True)
    play = Play(identity, token(kind="staff", roles=["administrator"]))
    person = await verified(play, APPLICANT["phone"], APPLICANT["id_number"])

    await carry(stack.client, "cases", office)
    await carry(identity, "identity", office)

    (row,) = await office.fetch("SELECT * FROM license")
    (account,) = await identity_accounts(identity)
    assert (str(row["case_id"]), row["account_id"], row["signed"]) == (case["id"], account, True)
    assert person


async def identity_accounts(client: ServiceClient) -> list[object]:
    connection = await client.database.connect()
    try:
        return [
            row["id"]
            for row in await connection.fetch("SELECT id FROM account WHERE kind = 'person'")
        ]
    finally:
        await connection.close()


async def test_organisation_sees_the_licence_of_its_uscc(
    office: Office, client_of: ClientFactory, token: TokenFactory
) -> None:
    identity = await client_of("identity", development=True)
    play = Play(identity, token(kind="staff", roles=["administrator"]))
    person = await verified(play)
    organisation = (await register(identity, person)).raise_for_status().json()
    _ = await office.issued(holder={**USCC_HOLDER, "id_number": organisation["uscc"]})

    await carry(identity, "identity", office)

    acting = office.token(
        kind="organisation",
        sub=organisation["id"],
        act={"sub": "018f0000-0000-7000-8000-000000000001"},
    )
    mine = await office.get("licenses", acting)
    assert len(mine["items"]) == 1
