"""What all services share: tables, dead letters, repeated requests, the audit chain, tokens."""

from pathlib import Path

import pytest

from tests.golden import inputs
from tests.golden.inputs import PERSON, RENT, RENT_DIGEST, TEAHOUSE
from tests.golden.normalise import fixed
from tests.golden.recorder import Golden

AUDIT_ROW = """
    INSERT INTO audit (id, at, actor, on_behalf_of, action, object_type, object_id, reason, detail,
    request_id) VALUES ($1::text::uuid, '2026-03-10T01:30:00.123456Z', $2, $3, 'matter.publish',
    'matter', $4, $5, $6, $7)
"""
SERVICES = ("assessment", "cases", "exchange", "identity", "licenses", "matters", "ratings")


async def test_services(golden: Golden) -> None:
    """Of each service: columns, rows that its migrations write, and what it answers to operators."""
    for service in SERVICES:
        golden.section(service)
        played = await golden.service(service)
        await played.columns()
        await played.forget()
        await played.dump()
        for path in ("/healthz", "/readyz", f"/api/v1/{service}/nothing"):
            _ = await played.call("GET", path)
        _ = await played.call("PUT", "/healthz")
    golden.check()


async def test_dead_letters(golden: Golden) -> None:
    golden.normaliser.random |= {"parked_at", "next_attempt_at", "error"}
    administrator = golden.as_.administrator()
    ratings = await golden.service("ratings")
    broken = inputs.case_event(
        1, "case-closed", state="closed", closed_on="no day", contact="nothing sealed"
    )
    after = inputs.case_event(2, "case-accepted", accepted_on="2026-03-09")
    await ratings.take(broken)
    await ratings.take(after)
    _ = await ratings.get("dead-letters", administrator)
    _ = await ratings.get(f"dead-letters/{fixed(900_001)}", administrator)
    _ = await ratings.get(f"dead-letters/{fixed(900_009)}", administrator)
    _ = await ratings.get("dead-letters", golden.as_.staff("leader", number=104))
    _ = await ratings.post("dead-letters/redrives", administrator, body={"key": fixed(4001)})
    _ = await ratings.post("dead-letters/redrives", administrator, body={})
    reason = {"reason": "来源数据有误, 不再处理"}
    _ = await ratings.post(f"dead-letters/{fixed(900_001)}/discard", administrator, body=reason)
    _ = await ratings.post(f"dead-letters/{fixed(900_001)}/discard", administrator, body=reason)
    _ = await ratings.get("dead-letters", administrator, type="tongban.cases.case-accepted.v1")
    await ratings.dump("audit", "dead_letter")
    golden.check()


async def test_repeated_requests(golden: Golden, tmp_path: Path) -> None:
    """The stored answer of a request that may come again, as its table keeps it."""
    cases = await golden.service("cases", storage_url=str(tmp_path / "uploads"))
    await cases.take(inputs.matter_published(1, TEAHOUSE, text=inputs.document("teahouse")))
    citizen = golden.as_.person(1)
    upload = (await cases.post("uploads", citizen, content=inputs.PDF)).json["id"]
    # The request holds the identifier of the upload, so its hash is another in each run.
    golden.normaliser.random |= {"created_at", "idempotency.request_hash"}
    body = {
        "matter_id": TEAHOUSE,
        "matter_version": 1,
        "answers": RENT,
        "guide_digest": RENT_DIGEST,
        "applicant": PERSON,
        "materials": [{"code": code, "upload_id": upload} for code in ("M1", "M2", "M3", "M4")],
    }
    first = await cases.post("applications", citizen, body=body, key="the-same")
    again = await cases.post("applications", citizen, body=body, key="the-same")
    assert again.content == first.content
    _ = await cases.post(
        "applications", citizen, body={**body, "channel": "mobile"}, key="the-same"
    )
    _ = await cases.post("applications", citizen, body=body)
    _ = await cases.post("applications", citizen, body=body, key="x" * 129)
    await cases.dump("idempotency", "audit")
    golden.check()


async def test_audit_chain(golden: Golden) -> None:
    """Hashes over fixed rows: a chain that was sealed before the refactoring is whole after it."""
    matters = await golden.service("matters")
    for number in range(1, 4):
        await matters.execute(
            AUDIT_ROW,
            fixed(8000 + number),
            fixed(190),
            None if number == 1 else fixed(1),
            TEAHOUSE,
            None if number == 2 else "法规修订",
            '{"version": 1, "名称": "我要开茶馆", "nested": {"b": [1, 2.5], "a": null}}',
            f"golden-{number:04d}",
        )
    await matters.seal_audit()
    await matters.dump("audit")
    golden.check()


@pytest.mark.parametrize("claims", ["expired", "forged", "not_yet"])
async def test_refused_tokens(golden: Golden, claims: str) -> None:
    cases = await golden.service("cases")
    caller = golden.as_.person(1)
    if claims == "forged":
        caller = {"Authorization": caller["Authorization"][:-8] + "AAAAAAAA"}
    else:
        golden.clock.move({"expired": "2100-01-02T00:00", "not_yet": "2024-12-31T00:00"}[claims])
    _ = await cases.get("files", caller)
    _ = await cases.get("files")
    _ = await cases.get("files", {"Authorization": "Basic x"})
    golden.check()
