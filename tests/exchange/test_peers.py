"""Peers: made and changed by administrators alone, their keys pinned and retired."""

from typing import Any

import pytest

from services.exchange.peers.model import Peer
from tests.conftest import Headers, TokenFactory, once
from tests.exchange.conftest import BASE, CLOSED, Bureau

KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": "k1",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


def versioned(bureau: Bureau, peer: dict[str, Any]) -> Headers:
    return once({**bureau.administrator, "If-Match": f'"{peer["revision"]}"'})


async def test_administrator_creates_changes_and_reads_a_peer(bureau: Bureau) -> None:
    changed = await bureau.change_peer(
        event_types=[CLOSED], networks=["10.20.0.0/16"], resources=["cases"]
    )
    read = await bureau.client.get(
        f"{BASE}/peers/{bureau.peer['id']}", headers=bureau.administrator
    )
    listed = await bureau.get("peers", bureau.administrator)

    assert changed.status_code == 200
    assert read.headers["etag"] == '"2"'
    assert read.json() == changed.json() == listed["items"][0]
    assert (read.json()["event_types"], read.json()["networks"]) == ([CLOSED], ["10.20.0.0/16"])


async def test_change_needs_the_version_that_was_read(bureau: Bureau) -> None:
    path, stale = f"{BASE}/peers/{bureau.peer['id']}", dict(bureau.peer)
    _ = await bureau.change_peer(name="市场监管局")
    body = {name: stale[name] for name in ("name", "kind", "area_code", "department_code")}

    missing = await bureau.client.put(path, json=body, headers=bureau.administrator)
    old = await bureau.client.put(path, json=body, headers=versioned(bureau, stale))

    assert (missing.status_code, old.status_code) == (428, 412)


async def test_faults_of_a_peer_are_told_at_once(bureau: Bureau) -> None:
    body = {
        "code": "Bad Code",
        "name": "",
        "kind": "friend",
        "area_code": "12",
        "department_code": "D1",
        "networks": ["10.20.0.1/16", "0.0.0.0/0"],
    }

    answer = await bureau.client.post(
        f"{BASE}/peers", json=body, headers=once(bureau.administrator)
    )

    assert answer.status_code == 400
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields >= {"code", "name", "kind", "area_code", "networks[0]", "networks[1]"}


async def test_unknown_event_type_is_refused(bureau: Bureau) -> None:
    answer = await bureau.change_peer(event_types=[CLOSED, "cn.gov.lhasa.cases.case.unknown.v1"])

    assert answer.status_code == 400
    assert [(e["field"], e["rule"]) for e in answer.json()["errors"]] == [
        ("event_types[1]", "exists")
    ]


@pytest.mark.parametrize("same", ["code", "account_id"])
async def test_code_and_account_belong_to_one_peer(bureau: Bureau, same: str) -> None:
    other = {"code": "housing-bureau", "account_id": None, same: bureau.peer[same]}
    body = {
        "name": "房管局",
        "kind": "bureau",
        "area_code": "540100000000",
        "department_code": "D2",
        **other,
    }

    answer = await bureau.client.post(
        f"{BASE}/peers", json=body, headers=once(bureau.administrator)
    )

    assert answer.status_code == 409


async def test_keys_are_added_and_retired_and_their_ids_never_used_twice(bureau: Bureau) -> None:
    path = f"{BASE}/peers/{bureau.peer['id']}/keys"
    added = await bureau.client.post(path, json=KEY, headers=versioned(bureau, bureau.peer))
    again = await bureau.client.post(path, json=KEY, headers=versioned(bureau, added.json()))
    second = await bureau.client.post(
        path, json={**KEY, "kid": "k2"}, headers=versioned(bureau, added.json())
    )
    retired = await bureau.client.delete(f"{path}/k1", headers=versioned(bureau, second.json()))
    twice = await bureau.client.delete(f"{path}/k1", headers=versioned(bureau, retired.json()))
    unknown = await bureau.client.delete(f"{path}/k9", headers=versioned(bureau, retired.json()))

    assert [a.status_code for a in (added, again, second, retired, twice, unknown)] == [
        201,
        409,
        201,
        200,
        409,
        404,
    ]
    assert [(key["kid"], key["retired_at"] is None) for key in retired.json()["keys"]] == [
        ("k1", False),
        ("k2", True),
    ]
    async with bureau.client.database.reading() as session:
        peer = await session.get(Peer, bureau.peer["id"])
    assert peer is not None
    assert peer.find_key("k1") is None
    assert peer.find_key("k2") is not None


@pytest.mark.parametrize("x", ["short", "!" * 43, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="])
async def test_key_that_is_none_is_refused(bureau: Bureau, x: str) -> None:
    path = f"{BASE}/peers/{bureau.peer['id']}/keys"
    answer = await bureau.client.post(
        path, json={**KEY, "x": x}, headers=versioned(bureau, bureau.peer)
    )

    assert answer.status_code == 400


async def test_only_administrators_reach_peers(bureau: Bureau, token: TokenFactory) -> None:
    for headers in (bureau.headers, token(), token(kind="staff", roles=["leader"])):
        assert (await bureau.client.get(f"{BASE}/peers", headers=headers)).status_code == 403
