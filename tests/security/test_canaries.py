"""Personal data sent to every endpoint is found nowhere in clear.

Not in logs, events, dead letters, metrics, error texts, audit or idempotency rows, nor in any other
column of any database.

Names of unknown fields and the path asked for are repeated to the one who sent them; values never
are. Free words of an official (reasons, gaps) are kept as written, as the law asks; the canaries
stand where personal data belongs.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from deploy.embedded import SERVICES
from deploy.postgres import EmbeddedPostgres
from services.assessment.consumer import consumer
from shared import clock
from shared.database.session import Database
from shared.events.base import topic_of
from shared.events.identity import IdentityVerified
from shared.messaging.bus import Record
from shared.messaging.consumer import Consumer
from shared.messaging.inbox import Inbox
from tests.builders.events import a_fact, a_record
from tests.cases.conftest import StackFixture
from tests.conftest import ClientFactory, DatabaseFactory, Headers, ServiceClient, TokenFactory
from tests.identity.conftest import Play, bearer
from tests.licenses.conftest import Office, a_chunk, a_decision, collected
from tests.ratings.giving import CaseClosed, Giving, a_case, sealed
from tests.security.world import SCOPES, STAFF

NAME = "金丝雀央宗"
ID_NUMBER = "540102198512248019"
PHONE = "13989047791"
ADDRESS = "八廓街金丝雀巷七号"
PASSWORD = "Kanarie-7-Passwort"
TOKEN = "kanarie.token.wert"
CANARIES = (NAME, ID_NUMBER, PHONE, ADDRESS, PASSWORD, TOKEN)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


def forms(canary: str) -> Iterator[str]:
    """As it is, and as JSON, URLs, bytea and tokens would carry it."""
    raw = canary.encode()
    yield canary
    yield json.dumps(canary).strip('"')
    yield raw.hex()
    yield str(httpx.URL("http://x", params={"q": canary})).partition("q=")[2]
    # Whatever stands before it, one of three shifts; the ends depend on the neighbours.
    for shift in range(3):
        yield base64.b64encode(b"x" * shift + raw).decode()[4:-4]


def needle(secrets: list[str]) -> re.Pattern[str]:
    words = {form for secret in secrets for form in forms(secret) if form}
    return re.compile("|".join(map(re.escape, sorted(words))), re.IGNORECASE)


class Errors:
    """Keeps the text of every refusal of a client."""

    def __init__(self, *clients: ServiceClient) -> None:
        self.texts: list[str] = []
        for client in clients:
            client.event_hooks["response"].append(self._keep)

    async def _keep(self, answer: httpx.Response) -> None:
        if answer.status_code >= 400:
            _ = await answer.aread()
            self.texts.append(f"{answer.request.method} {answer.request.url.path} {answer.text}")


async def everything(database: Database) -> str:
    """Every row of every table, bytea in hex."""
    connection = await database.connect()
    try:
        rows: list[str] = []
        for table in await connection.fetch(TABLES):
            found = await connection.fetch(
                f'SELECT to_jsonb(t)::text FROM "{table["tablename"]}" t'
            )
            rows += [f"{table['tablename']}: {row[0]}" for row in found]
    finally:
        await connection.close()
    return "\n".join(rows)


def assert_clean(content: str, secrets: list[str]) -> None:
    found = [
        content[max(0, hit.start() - 200) : hit.end() + 40]
        for hit in needle(secrets).finditer(content)
    ]
    assert not found, found[0]


async def play_identity(play: Play, client: ServiceClient) -> list[str]:
    """She signs in and proves her name; others fail at the same endpoints.

    Returns the secrets that came up on the way.
    """
    code = await play.code(PHONE)
    wrong = await client.post(
        "/api/v1/identity/sessions/sms", json={"phone": PHONE, "code": "000000"}
    )
    tokens = (
        await client.post("/api/v1/identity/sessions/sms", json={"phone": PHONE, "code": code})
    ).json()
    _ = await play.trust()
    proof = {"name": NAME, "id_number": ID_NUMBER, "id_valid_until": "2040-01-01"}
    verified = await client.post(
        "/api/v1/identity/verifications", json=proof, headers=bearer(tokens)
    )
    again = await client.post("/api/v1/identity/verifications", json=proof, headers=bearer(tokens))
    staff = await play.staff("canary.clerk")
    refused = await play.password(staff, password=PASSWORD)
    signed_in = await play.password(staff)
    next_pair = await client.post(
        "/api/v1/identity/sessions/refresh", json={"refresh_token": tokens["refresh_token"]}
    )
    replay = await client.post("/api/v1/identity/sessions/refresh", json={"refresh_token": TOKEN})
    forged = await client.get(
        "/api/v1/identity/account", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    statuses = [
        answer.status_code
        for answer in (wrong, verified, again, refused, signed_in, next_pair, replay, forged)
    ]
    assert statuses == [401, 200, 409, 401, 200, 200, 401, 401]
    pairs = (tokens, signed_in.json(), next_pair.json())
    secrets = [pair[name] for pair in pairs for name in ("access_token", "refresh_token")]
    return [*secrets, staff["initial_password"], staff["totp_secret"]]


async def play_cases(stack: StackFixture) -> None:
    """She applies, is read, tracked, corrected; a table is away for a moment."""
    applicant = {"kind": "person", "name": NAME, "id_number": ID_NUMBER, "phone": PHONE}
    case = await stack.apply(applicant=applicant)
    clerk = stack.officer("window_clerk")
    _ = await stack.client.get(f"/api/v1/cases/files/{case['id']}", headers=clerk)
    tracked = {"number": case["number"], "phone_last4": PHONE[-4:]}
    assert (await stack.client.post("/api/v1/cases/tracking", json=tracked)).status_code == 200
    case = await stack.do(case, "correction-requests", clerk, {"items": [{"text": "合同缺页"}]})
    body = await stack.application(stack.citizen, applicant=applicant)
    async with stack.client.database.transaction() as session:
        _ = await session.execute(
            text("ALTER TABLE case_file ADD CONSTRAINT planted CHECK (channel <> 'mobile')")
        )
    broken = await stack.post({**body, "channel": "mobile"}, stack.citizen)
    async with stack.client.database.transaction() as session:
        _ = await session.execute(text("ALTER TABLE case_file RENAME COLUMN phone TO elsewhere"))
    away = await stack.post(body, stack.citizen)
    async with stack.client.database.transaction() as session:
        _ = await session.execute(text("ALTER TABLE case_file RENAME COLUMN elsewhere TO phone"))
    assert (broken.status_code, away.status_code) == (409, 500)


async def play_ratings(giving: Giving) -> list[str]:
    """She is invited, rates, adds words, is read masked; others fail; a table is away.

    Returns the tokens that came up on the way.
    """
    words = f"我叫{NAME}，证件{ID_NUMBER}，电话{PHONE}，住{ADDRESS}"
    contact = sealed({"name": NAME, "phone": PHONE}, "case.contact")
    cases = [a_case(CaseClosed, f"CANARY-{number}", contact=contact) for number in range(3)]
    await giving.tell(*cases)
    links = await giving.links(PHONE)
    rating = await giving.rated(
        {"Idempotency-Key": "canary-1"}, token=links[0], grade=1, text=words
    )
    supplement = {"text": words, "token": links[0]}
    path = f"/api/v1/ratings/ratings/{rating['id']}"
    added = await giving.client.post(f"{path}/supplements", json=supplement)
    masked = await giving.client.get(path, headers=giving.handler)
    assert not needle([NAME, ID_NUMBER, PHONE, ADDRESS]).search(masked.text)
    again = await giving.rate(token=links[0], grade=5, text=words)
    tokens = await giving.batch(2)
    verdicts = await giving.record(
        [
            {
                "token": tokens[0],
                "grade": 5,
                "text": words,
                "pf": "1",
                "sub_channel": "site",
                "rated_at": NAME,
            },
            {
                "token": tokens[1],
                "grade": 5,
                "text": words,
                "pf": "1",
                "sub_channel": "site",
                "rated_at": now_text(),
            },
        ]
    )
    call = {
        "pf": "6",
        "sub_channel": "hotline_12345",
        "case_number": "CANARY-1",
        "phone_last4": PHONE[-4:],
    }
    called = await giving.rated(giving.operator, text=words, **call)
    await giving.change("ALTER TABLE rating ADD CONSTRAINT planted CHECK (grade <> 3)")
    broken = await giving.rate(token=links[-1], grade=3, text=words)
    statuses = [answer.status_code for answer in (added, again, broken)]
    assert (statuses, called["source"]) == ([201, 409, 409], "hotline")
    assert [verdict["status"] for verdict in verdicts] == ["rejected", "accepted"]
    return [*links, *tokens]


def now_text() -> str:
    return clock.now().isoformat()


async def play_licenses(office: Office) -> None:
    """Her licence is issued for a case and by an officer, then used in every way.

    It is collected, changed, printed, used and checked, with refusals beside it.
    """
    holder = {"kind": "person", "name": NAME, "id_number": ID_NUMBER}
    fields = {"place": ADDRESS, "phone": PHONE}
    _ = (await office.publish()).raise_for_status()
    await office.take(
        a_decision(holder={**holder, "phone": PHONE}),
        a_decision(holder=holder, license_type_code="X"),
    )
    sound = collected(1, holder_name=NAME, holder_id_number=ID_NUMBER, fields=fields)
    broken = {
        **sound,
        "type_code": NAME,
        "version": ADDRESS,
        "fields": {PHONE: NAME},
        ID_NUMBER: PHONE,
    }
    await office.take(a_chunk([sound, broken, {NAME: ID_NUMBER}, ADDRESS]))
    _, person = await office.verify(ID_NUMBER, NAME)
    made = await office.issued(holder=holder, fields=fields)
    made = await office.do(
        made, "change", {"reason": "经营场所变更", "fields": {"place": ADDRESS + "二楼"}}
    )
    seen = await office.get(f"licenses/{made['id']}", person)
    sent = {"identifier": seen["identifier"], "code": seen["check_code"]}
    path = f"/api/v1/licenses/licenses/{made['id']}"
    answers = [
        await office.client.get(f"{path}/pdf", headers=person),
        await office.client.post("/api/v1/licenses/checks", json=sent),
        await office.issue(holder={**holder, "name": NAME + "\U00020bb7"}),
    ]
    rare = answers[2].json()["id"]
    answers.append(await office.client.get(f"/api/v1/licenses/licenses/{rare}/pdf", headers=person))
    assert [answer.status_code for answer in answers] == [200, 200, 201, 422]


def wrong_bodies(schema: dict[str, Any]) -> Iterator[Any]:
    """Bodies with a canary in every field, in three wrong shapes."""
    names = list(schema.get("properties", {})) or ["anything"]
    for wrap in (lambda value: value, lambda value: [value], lambda value: {"name": value}):
        yield {
            "address": ADDRESS,
            **{name: wrap(CANARIES[index % len(CANARIES)]) for index, name in enumerate(names)},
        }
    yield NAME
    yield [ID_NUMBER, PHONE]


async def knock_wrongly(client: ServiceClient, callers: list[Headers]) -> int:
    """Every operation with canaries in body, query and headers.

    Returns the number of refusals for their form.
    """
    document, refused = client.app.openapi(), 0
    for path, methods in document["paths"].items():
        url = re.sub("{[^}]+}", "018f0000-0000-7000-8000-000000000000", path)
        for method, operation in methods.items():
            parameters = operation.get("parameters", ())
            query = {
                p["name"]: CANARIES[i % 6] for i, p in enumerate(parameters) if p["in"] == "query"
            }
            # A key is kept as it was sent: it names an effect, nobody.
            named = [
                p["name"]
                for p in parameters
                if p["in"] == "header" and p["name"].lower() != "idempotency-key"
            ]
            headers = dict.fromkeys(named, PASSWORD) | {"Idempotency-Key": "canary"}
            content = (
                operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            )
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            bodies = (
                list(wrong_bodies(document["components"]["schemas"].get(name, {})))
                if content
                else [None]
            )
            for caller in callers:
                for body in bodies:
                    sent = {} if body is None else {"json": body}
                    answer = await client.request(
                        method, url, params=query, headers={**headers, **caller}, **sent
                    )
                    refused += answer.status_code == 400
                broken = await client.request(
                    method, url, content=f'{{"name": "{NAME}"'.encode(), headers=caller
                )
                refused += broken.status_code == 400
    return refused


async def play_events(database: Database) -> None:
    """A handler that chokes on a canary, an unreadable message, and one that is no event."""
    planted = Consumer("assessment")

    @planted.on(IdentityVerified)
    async def choke(_session: AsyncSession, event: IdentityVerified) -> None:
        raise {
            "key": KeyError(NAME),
            "lookup": RuntimeError(ID_NUMBER),
            "database": ValueError(PHONE),
        }[event.method]

    inbox = Inbox(database, None, consumer=planted, pauses=(0.0,))  # pyright: ignore[reportArgumentType]
    await inbox.take(
        [
            a_record(a_fact(method=method), n)
            for n, method in enumerate(("key", "lookup", "database"))
        ]
    )


async def events_of(database: Database, service: str) -> list[Record]:
    connection = await database.connect()
    try:
        rows = await connection.fetch("SELECT key, payload FROM outbox ORDER BY position")
    finally:
        await connection.close()
    return [
        Record(topic_of(service), row["key"], bytes(row["payload"]), 0, n)
        for n, row in enumerate(rows)
    ]


async def test_no_canary_is_found_in_clear_anywhere(
    client_of: ClientFactory,
    database_of: DatabaseFactory,
    token: TokenFactory,
    tmp_path: Path,
    test_log: Path,
    postgres: EmbeddedPostgres,
) -> None:
    clients = {
        service: await client_of(
            service,
            development=True,
            **({"storage_url": str(tmp_path)} if service == "cases" else {}),
        )
        for service in SERVICES
    }
    errors = Errors(*clients.values())
    administrator = token(kind="staff", roles=["administrator"])
    stack = StackFixture(clients["cases"], token)
    await stack.publish()
    assessment = await database_of("assessment")

    secrets = [
        *CANARIES,
        *await play_identity(Play(clients["identity"], administrator), clients["identity"]),
    ]
    await play_cases(stack)
    secrets += await play_ratings(Giving(clients["ratings"], token))
    await play_licenses(Office(clients["licenses"], token))
    everyone = token(
        kind="staff", roles=[*STAFF, "administrator", "supervisor"], area="1", department="1"
    )
    callers = [token(), everyone, token(kind="system", scope=SCOPES, area="1")]
    refused = [await knock_wrongly(client, callers) for client in clients.values()]
    await play_events(assessment)
    facts = [
        fact
        for name in ("identity", "cases", "licenses", "ratings")
        for fact in await events_of(clients[name].database, name)
    ]
    await Inbox(assessment, None, consumer=consumer).take(facts)  # pyright: ignore[reportArgumentType]

    databases = [*(client.database for client in clients.values()), assessment]
    contents = [await everything(database) for database in databases]
    metrics = [(await client.get("/metrics")).text for client in clients.values()]
    server_log = next(postgres.data_dir.parent.glob("*.log")).read_text(
        encoding="utf-8", errors="replace"
    )
    assert min(refused) > 20
    assert "case-submitted" in str([fact.value for fact in facts])
    assert sum("dead_letter: " in content for content in contents) == 2
    assert_clean("\n".join(contents), secrets)
    assert_clean("\n".join(errors.texts), secrets)
    assert_clean("\n".join(metrics), secrets)
    assert_clean(test_log.read_text(encoding="utf-8"), secrets)
    assert_clean(server_log, secrets)


@pytest.mark.parametrize("canary", CANARIES)
def test_search_finds_a_canary_in_each_form(canary: str) -> None:
    rows = [
        f'{{"note": "{canary}"}}',
        f"\\\\x5b{canary.encode().hex().upper()}",
        base64.b64encode(f"ab{canary}cd".encode()).decode(),
        str(httpx.URL("http://x", params={"q": canary})),
        json.dumps({"note": canary}),
    ]

    assert [row for row in rows if not needle([canary]).search(row)] == []
    assert not needle([canary]).search("nothing of hers")
