"""What every HTTP process does alike.

Problem details, tokens, idempotency, ETags, paging and health.
"""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.assessment.main import build
from tests.builders.app import router
from tests.builders.tokens import TestKeys
from tests.conftest import ClientFactory, ServiceClient, TokenFactory, once, published

BASE = "/api/v1/assessment/test"


@pytest.fixture
async def client(client_of: ClientFactory) -> ServiceClient:
    client = await client_of("assessment")
    client.app.include_router(router)
    return client


def keyed(headers: dict[str, str], key: str) -> dict[str, str]:
    return {**headers, "Idempotency-Key": key}


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of an answer, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert set(document) >= {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "errors",
        "trace_id",
    }
    assert document["trace_id"] == answer.headers["x-request-id"]
    return document


async def test_all_faults_of_the_input_come_in_one_answer(
    client: ServiceClient, token: TokenFactory
) -> None:
    answer = await client.post(
        f"{BASE}/items",
        json={"name": "a\u0000b", "count": 99, "colour": 1},
        headers=keyed(token(), "key-1"),
    )

    document = problem(answer, 400)
    assert {error["field"] for error in document["errors"]} == {"name", "count", "colour"}
    assert all(error["rule"] and error["message"] for error in document["errors"])


async def test_answer_to_very_many_faults_stays_small(
    client: ServiceClient, token: TokenFactory
) -> None:
    item = {"name": "a", "count": 1, **{f"{number}-{'x' * 1_000}": 1 for number in range(500)}}

    answer = await client.post(f"{BASE}/items", json=item, headers=keyed(token(), "key-1"))

    document = problem(answer, 400)
    assert (len(document["errors"]), document["detail"]) == (
        100,
        "500 fault(s) in the request; 400 of them are not listed",
    )
    assert len(answer.content) < 50_000


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[]", b"null", b""])
async def test_malformed_json_is_400(
    client: ServiceClient, token: TokenFactory, body: bytes
) -> None:
    headers = {**keyed(token(), "key-2"), "content-type": "application/json"}

    answer = await client.post(f"{BASE}/items", content=body, headers=headers)

    _ = problem(answer, 400)
    assert await published(client.database) == []


async def test_body_over_the_limit_is_413(client: ServiceClient, token: TokenFactory) -> None:
    big = b'{"name": "' + b"x" * 2_000_000 + b'"}'

    answer = await client.post(
        f"{BASE}/items",
        content=big,
        headers={**keyed(token(), "key-3"), "content-type": "application/json"},
    )

    _ = problem(answer, 413)


async def test_unexpected_fault_is_500_without_its_text(client: ServiceClient) -> None:
    document = problem(await client.get(f"{BASE}/broken"), 500)

    assert "540102" not in str(document)


async def test_lost_database_connection_is_503_with_retry_after(client: ServiceClient) -> None:
    answer = await client.get(f"{BASE}/database-trouble")

    _ = problem(answer, 503)
    assert answer.headers["retry-after"] == "2"
    assert (await client.get(f"{BASE}/items")).status_code == 200


async def test_database_that_still_recovers_is_503_with_retry_after(
    client: ServiceClient, token: TokenFactory
) -> None:
    async with client.database.transaction() as session:
        name = await session.scalar(text("SELECT current_database()"))
        _ = await session.execute(
            text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        )
    await client.database.engine.dispose()

    answer = await client.post(
        f"{BASE}/items", json={"name": "a", "count": 1}, headers=once(token())
    )

    _ = problem(answer, 503)
    assert answer.headers["retry-after"] == "2"


async def test_unique_rule_nobody_foresaw_is_409(client: ServiceClient) -> None:
    _ = problem(await client.post(f"{BASE}/twice"), 409)


async def test_unknown_path_and_method_are_problems(client: ServiceClient) -> None:
    _ = problem(await client.get("/api/v1/assessment/nothing"), 404)
    _ = problem(await client.delete(f"{BASE}/items"), 405)


async def test_one_key_has_one_effect_and_one_answer(
    client: ServiceClient, token: TokenFactory
) -> None:
    headers = keyed(token(), "key-4")
    item = {"name": "slow", "count": 1}

    answers = await asyncio.gather(
        *(client.post(f"{BASE}/items", json=item, headers=headers) for _ in range(100))
    )

    assert {(a.status_code, a.content, a.headers["etag"]) for a in answers} == {
        (201, answers[0].content, '"1"')
    }
    assert len(await published(client.database)) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1


async def test_same_key_with_another_body_is_422(
    client: ServiceClient, token: TokenFactory
) -> None:
    headers = keyed(token(), "key-5")
    _ = await client.post(f"{BASE}/items", json={"name": "a", "count": 1}, headers=headers)

    answer = await client.post(f"{BASE}/items", json={"name": "a", "count": 2}, headers=headers)

    assert problem(answer, 422)["errors"][0]["field"] == "Idempotency-Key"


async def test_same_key_of_another_caller_is_another_key(
    client: ServiceClient, token: TokenFactory
) -> None:
    item = {"name": "a", "count": 1}

    first = await client.post(f"{BASE}/items", json=item, headers=keyed(token(), "key-6"))
    second = await client.post(f"{BASE}/items", json=item, headers=keyed(token(), "key-6"))

    assert first.json()["id"] != second.json()["id"]


async def test_refused_request_leaves_its_key_free(
    client: ServiceClient, token: TokenFactory
) -> None:
    headers = keyed(token(), "key-7")

    refused = await client.post(
        f"{BASE}/items", json={"name": "refused", "count": 1}, headers=headers
    )
    accepted = await client.post(f"{BASE}/items", json={"name": "a", "count": 1}, headers=headers)

    assert (refused.status_code, accepted.status_code) == (409, 201)


async def test_crash_between_claim_and_commit_leaves_no_trace(
    client: ServiceClient, token: TokenFactory
) -> None:
    headers = keyed(token(), "key-9")

    crashed = await client.post(
        f"{BASE}/items", json={"name": "crash", "count": 1}, headers=headers
    )
    after_crash = await published(client.database)
    repeated = await client.post(f"{BASE}/items", json={"name": "a", "count": 2}, headers=headers)

    _ = problem(crashed, 503)
    assert after_crash == []
    assert repeated.status_code == 201
    assert "idempotent-replayed" not in repeated.headers
    assert len(await published(client.database)) == 1


async def test_stored_answer_lies_encrypted(client: ServiceClient, token: TokenFactory) -> None:
    headers = keyed(token(sub="reader"), "key-10")
    first = await client.post(f"{BASE}/items", json={"name": "a", "count": 1}, headers=headers)
    connection = await client.database.connect()
    stored = await connection.fetchval("SELECT body FROM idempotency WHERE caller = 'reader'")
    await connection.close()

    again = await client.post(f"{BASE}/items", json={"name": "a", "count": 1}, headers=headers)

    assert b"reader" in first.content
    assert b"reader" not in bytes(stored)  # pyright: ignore[reportArgumentType]
    assert again.content == first.content


async def test_request_still_running_is_409(client: ServiceClient, token: TokenFactory) -> None:
    headers = keyed(token(sub="runner"), "key-8")
    holder = await client.database.connect()
    transaction = holder.transaction()
    await transaction.start()
    _ = await holder.execute(
        "INSERT INTO idempotency (caller, key, request_hash) VALUES ('runner', 'key-8', '\\x00')"
    )

    answer = await client.post(f"{BASE}/items", json={"name": "a", "count": 1}, headers=headers)
    await transaction.rollback()
    await holder.close()

    assert problem(answer, 409)["detail"].startswith(
        "a request with this Idempotency-Key is still running"
    )


@pytest.mark.parametrize("key", [None, "", "x" * 129])
async def test_missing_or_bad_key_is_400(
    client: ServiceClient, token: TokenFactory, key: str | None
) -> None:
    headers = token() if key is None else keyed(token(), key)

    answer = await client.post(f"{BASE}/items", json={"name": "a", "count": 1}, headers=headers)

    assert problem(answer, 400)["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        (None, 428),
        ('"2"', 412),
        ("3", 400),
        ('"x"', 400),
        ('"99999999999999999999"', 412),
        ('"3"', 200),
    ],
)
async def test_if_match(
    client: ServiceClient, token: TokenFactory, if_match: str | None, status: int
) -> None:
    headers = token() if if_match is None else {**token(), "If-Match": if_match}

    answer = await client.put(f"{BASE}/items", json={"name": "a", "count": 1}, headers=headers)

    assert answer.status_code == status


async def test_pages_follow_each_other_without_gap(client: ServiceClient) -> None:
    seen: list[int] = []
    cursor = ""
    while cursor is not None:
        page = (
            await client.get(
                f"{BASE}/items", params={"limit": 10, **({"cursor": cursor} if cursor else {})}
            )
        ).json()
        seen += page["items"]
        cursor = page["next"]

    assert seen == list(range(1, 26))


@pytest.mark.parametrize("cursor", ["%00", "e30", "WzEsMl0", "WyJ4Il0", "*", "W251bGxd"])
async def test_foreign_cursor_is_400(client: ServiceClient, cursor: str) -> None:
    answer = await client.get(f"{BASE}/items?cursor={cursor}")

    assert problem(answer, 400)["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize("value", ["Bearer nonsense", "Bearer a.b.c", "Basic abc", "Bearer"])
async def test_wrong_token_is_401_even_where_none_is_needed(
    client: ServiceClient, value: str
) -> None:
    answer = await client.get(f"{BASE}/items", headers={"Authorization": value})

    _ = problem(answer, 401)
    assert "invalid_token" in answer.headers["www-authenticate"]


async def test_forged_expired_and_foreign_tokens_are_refused_alike(
    client: ServiceClient, keys: TestKeys
) -> None:
    tokens = [
        TestKeys().token(),
        keys.token(exp=1),
        keys.token(aud="another"),
        keys.token(iss="another"),
        keys.token(iat=2**33, exp=2**34),
        keys.token()[:-4] + "AAAA",
        "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoidGVzdC1rZXkifQ.e30.",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InRlc3Qta2V5In0.e30.c2ln",
        "x" * 5000,
    ]

    answers = [
        await client.get(f"{BASE}/administration", headers={"Authorization": f"Bearer {token}"})
        for token in tokens
    ]

    assert {(a.status_code, a.json()["detail"]) for a in answers} == {
        (401, "send a valid access token")
    }


async def test_assurance_too_low_is_a_step_up_challenge(
    client: ServiceClient, token: TokenFactory
) -> None:
    answer = await client.get(f"{BASE}/verified", headers=token(acr="1"))

    assert problem(answer, 401)["acr_values"] == "2"
    assert 'acr_values="2"' in answer.headers["www-authenticate"]
    assert (await client.get(f"{BASE}/verified", headers=token(acr="2"))).status_code == 200


async def test_role_is_needed(client: ServiceClient, token: TokenFactory) -> None:
    path = f"{BASE}/administration"

    statuses = [
        (await client.get(path)).status_code,
        (await client.get(path, headers=token())).status_code,
        (await client.get(path, headers=token(kind="staff", roles=["leader"]))).status_code,
        (await client.get(path, headers=token(kind="system", roles=["administrator"]))).status_code,
        (await client.get(path, headers=token(kind="staff", roles=["administrator"]))).status_code,
    ]

    assert statuses == [401, 403, 403, 403, 200]


async def test_operations_pages(client: ServiceClient) -> None:
    assert (await client.get("/healthz")).json()["status"] == "alive"
    assert (await client.get("/readyz")).json()["checks"] == {
        "database": True,
        "migrations": True,
        "facts": True,
    }
    assert "tongban_http_request_seconds" in (await client.get("/metrics")).text


async def test_request_id_is_kept_when_well_formed(client: ServiceClient) -> None:
    kept = await client.get("/healthz", headers={"x-request-id": "request-12345"})
    replaced = await client.get("/healthz", headers={"x-request-id": "bad id\t"})

    assert kept.headers["x-request-id"] == "request-12345"
    assert len(replaced.headers["x-request-id"]) == 32


async def test_openapi_names_the_problem_answers(client: ServiceClient) -> None:
    document = (await client.get("/api/v1/assessment/openapi.json")).json()

    operation = document["paths"]["/api/v1/assessment/daily-reports/{day}"]["get"]
    assert operation["responses"]["400"]["content"]["application/problem+json"]["schema"] == {
        "$ref": "#/components/schemas/Problem"
    }
    assert "Problem" in document["components"]["schemas"]
    assert build.__name__ == "build"


async def test_dead_letters_are_for_administrators(
    client: ServiceClient, token: TokenFactory
) -> None:
    administrator = token(kind="staff", roles=["administrator"])
    connection = await client.database.connect()
    _ = await connection.execute(
        "INSERT INTO dead_letter (event_id, topic, key, type, payload, error, gave_up)"
        " VALUES (gen_random_uuid(), 't', 'k', 'x.v1', '{\"a\": 1}', 'Poison', true),"
        " (gen_random_uuid(), 't', 'k2', 'y.v1', '\\xff', 'Poison', true)"
    )
    await connection.close()
    path = "/api/v1/assessment/dead-letters"

    listed = (await client.get(path, headers=administrator, params={"type": "x.v1"})).json()[
        "items"
    ]
    detail = (await client.get(f"{path}/{listed[0]['event_id']}", headers=administrator)).json()
    refused = await client.post(f"{path}/redrives", json={}, headers=administrator)
    redriven = await client.post(f"{path}/redrives", json={"all": True}, headers=administrator)
    discarded = await client.post(
        f"{path}/{listed[0]['event_id']}/discard",
        json={"reason": "sent by mistake"},
        headers=administrator,
    )
    gone = await client.get(f"{path}/{listed[0]['event_id']}", headers=administrator)

    assert detail["event"] == {"a": 1}
    assert (await client.get(path, headers=token())).status_code == 403
    assert (refused.status_code, redriven.json()) == (400, {"redriven": 2})
    assert (discarded.status_code, gone.status_code) == (204, 404)
