"""采集 and 签发: collecting licences by batch, and the job that signs the rest.

Every row gets a verdict, a repeat changes nothing, and a kill anywhere does no harm.
"""

import asyncio
import resource
from collections import Counter
from random import Random
from typing import Any

import pytest

from bench.capture_sql import capture_sql
from services.licenses.timers import sign
from services.licenses.use_cases.jobs import sign_batch
from services.licenses.use_cases.making import CHUNK
from shared import clock
from tests.builders.events import a_record
from tests.builders.matters import CITY, DEPARTMENT
from tests.conftest import once
from tests.licenses.conftest import (
    BASE,
    TYPE,
    WHY,
    Office,
    a_chunk,
    a_decision,
    a_type,
    an_id_number,
    collected,
)
from tests.security.world import ELSEWHERE, NEXT_DOOR


def verdicts(answer: dict[str, Any]) -> list[str]:
    return [verdict["status"] for verdict in answer["verdicts"]]


def rules(verdict: dict[str, Any]) -> set[tuple[str, str]]:
    return {(fault["field"], fault["rule"]) for fault in verdict["faults"]}


async def test_chunk_is_taken_in_with_a_verdict_for_every_row(office: Office) -> None:
    answer = await office.collect([collected(n) for n in range(5)], first_row=101, chunk=3)

    assert [(v["row"], v["key"], v["status"]) for v in answer["verdicts"]] == [
        (101 + n, f"JY15401020{n:06}", "accepted") for n in range(5)
    ]
    assert answer["chunk"] == 3
    issued = [f.data for f in await office.facts() if f.type.endswith("license-issued.v1")]
    assert {(f["origin"], f["signed"], f["trust"], f["status"]) for f in issued} == {
        ("collected", False, "B", "01")
    }
    (row,) = await office.fetch("SELECT * FROM license_version LIMIT 1")
    assert (row["signature"], row["kid"]) == (None, None)


async def test_same_newer_older_and_contradicting_versions(office: Office) -> None:
    _ = await office.collect([collected(1, version=2)])
    moved = {"place": "拉萨市城关区江苏路9号"}

    answers = [
        await office.collect([record])
        for record in (
            collected(1, version=2),
            collected(1, version=1),
            collected(1, version=2, fields=moved),
            collected(1, version=3, fields=moved),
            collected(1, version=3, fields=moved),
        )
    ]

    assert [verdicts(answer)[0] for answer in answers] == [
        "unchanged",
        "unchanged",
        "rejected",
        "accepted",
        "unchanged",
    ]
    assert rules(answers[2]["verdicts"][0]) == {("version", "same_version_different")}
    (licence,) = await office.fetch("SELECT * FROM license")
    chain = await office.get(f"licenses/{licence['id']}/versions")
    assert [(one["version"], one["previous"]) for one in chain] == [
        (2, None),
        (3, chain[0]["identifier"]),
    ]
    assert (licence["revision"], licence["identifier"]) == (2, chain[1]["identifier"])


async def test_versions_within_one_chunk_follow_each_other(office: Office) -> None:
    answer = await office.collect(
        [
            collected(1),
            collected(2),
            collected(1, version=2, status="02"),
            collected(1),
            collected(1, version=5),
        ]
    )

    assert verdicts(answer) == ["accepted", "accepted", "accepted", "unchanged", "accepted"]
    assert Counter(await office.names()) == {
        "license-issued": 2,
        "license-suspended": 1,
        "license-changed": 1,
        "records-judged": 1,
    }


async def test_every_fault_of_a_row_is_told_and_no_value_with_it(office: Office) -> None:
    number = an_id_number(3)
    wrong = number[:-1] + ("1" if number[-1] != "1" else "2")
    rows = [
        collected(0, type_code=f"{DEPARTMENT}099"),
        collected(1, type_code="SPJY", holder_id_number=wrong, issued_on="2024-02-30"),
        collected(2, fields={"scope": "别的"}, valid_until="2029-02-28"),
        collected(3, valid_until="2020-01-01"),
        collected(4, issued_on="2999-01-01", colour="red"),
        {"source_number": "x" * 100},
        "nothing",
        collected(5, version=1000),
    ]

    answer = await office.collect(rows)

    assert set(verdicts(answer)) == {"rejected"}
    found = [rules(verdict) for verdict in answer["verdicts"]]
    assert found[0] == {("type_code", "known_type")}
    assert {field for field, _ in found[1]} == {"type_code", "holder_id_number", "issued_on"}
    assert found[2] == {("fields.place", "required"), ("fields.scope", "choice")}
    assert found[3] == {("record", "value_error")}
    assert {field for field, _ in found[4]} == {"issued_on", "record"}
    assert answer["verdicts"][5]["key"] is None
    assert {field for field, _ in found[7]} == {"version"}
    assert wrong not in str(answer)
    assert await office.fetch("SELECT FROM license") == []


async def test_record_of_any_number_of_unknown_fields_has_an_answer_of_bounded_size(
    office: Office,
) -> None:
    rows = [collected(n, **{f"column{i}": "x" for i in range(60)}) for n in range(200)]

    answer = await office.collect(rows)

    assert {
        tuple(fault["field"] for fault in verdict["faults"]) for verdict in answer["verdicts"]
    } == {("record",)}


async def test_department_collects_only_what_it_may_issue(office: Office) -> None:
    answer = await office.collect([collected(1)], department_code=NEXT_DOOR)

    assert rules(answer["verdicts"][0]) == {("type_code", "issuer")}


async def test_holder_kind_of_the_type_is_kept(office: Office) -> None:
    _ = await office.publish(a_type(holder_kind="organisation"), **{"If-Match": '"1"'})

    answer = await office.collect([collected(1)])

    assert rules(answer["verdicts"][0]) == {("holder_kind", "holder_kind")}


async def test_number_issued_here_is_not_overwritten(office: Office) -> None:
    _ = await office.issued(number="JY15401020000001")

    answer = await office.collect([collected(1, version=2)])

    assert rules(answer["verdicts"][0]) == {("source_number", "issued_here")}


async def test_same_number_in_another_area_under_the_same_identifier_is_refused(
    office: Office,
) -> None:
    _ = await office.collect([collected(1)])

    answer = await office.collect([collected(1)], area_code=ELSEWHERE)

    assert rules(answer["verdicts"][0]) == {("source_number", "identifier_free")}


async def test_revoked_licence_takes_no_further_version_and_a_holder_stays(office: Office) -> None:
    _ = await office.collect([collected(1, status="03"), collected(2)])

    answer = await office.collect(
        [collected(1, version=2), collected(2, version=2, holder_id_number=an_id_number(9))]
    )

    assert [rules(verdict) for verdict in answer["verdicts"]] == [
        {("status", "irreversible")},
        {("holder_id_number", "same_holder")},
    ]


async def test_licence_whose_term_is_over_comes_in_expired(office: Office) -> None:
    _ = await office.collect([collected(1, issued_on="2019-01-01", valid_until="2023-12-31")])

    (row,) = await office.fetch("SELECT status FROM license")
    assert row["status"] == "05"


async def test_chunk_redelivered_and_sent_again_has_one_effect(office: Office) -> None:
    records = [collected(n) for n in range(50)]
    chunk = a_record(a_chunk(records), 1)
    await asyncio.gather(*(office.inbox.take([chunk]) for _ in range(4)))

    answer = await office.collect(records)

    assert set(verdicts(answer)) == {"unchanged"}
    assert Counter(await office.names()) == {"license-issued": 50, "records-judged": 2}


async def test_two_chunks_of_one_department_at_once_do_not_trip_over_each_other(
    office: Office,
) -> None:
    records = [collected(n) for n in range(60)]
    chunks = [
        a_record(a_chunk(part), n) for n, part in enumerate((records[:40], records[20:], records))
    ]

    await asyncio.gather(*(office.inbox.take([chunk]) for chunk in chunks))

    names = Counter(await office.names())
    assert (names["license-issued"], names["records-judged"]) == (60, 3)


async def test_chunk_that_dies_midway_leaves_nothing_and_comes_again_whole(office: Office) -> None:
    _ = await office.fetch(
        "ALTER TABLE outbox ADD CONSTRAINT planted CHECK (topic <> 'tongban.licenses')"
    )
    await office.take(a_chunk([collected(n) for n in range(20)]))
    left = await office.fetch("SELECT FROM license")
    _ = await office.fetch("ALTER TABLE outbox DROP CONSTRAINT planted")

    retried = await office.inbox.retry_one()

    assert (left, retried) == ([], True)
    assert Counter(await office.names()) == {"license-issued": 20, "records-judged": 1}


async def test_records_for_other_services_are_passed_over(office: Office) -> None:
    await office.take(a_chunk([{"a": 1}], resource="ratings"))

    assert await office.names() == []


async def test_verified_person_sees_her_collected_licence_and_a_later_one(office: Office) -> None:
    _ = await office.collect([collected(1)])
    account, holder = await office.verify(an_id_number(1), "次仁旺堆")
    _ = await office.collect([collected(2, holder_id_number=an_id_number(1))])

    mine = (await office.get("licenses", holder))["items"]

    assert [one["number"] for one in mine] == ["JY15401020000001", "JY15401020000002"]
    later = [f.data for f in await office.facts() if f.type.endswith("license-issued.v1")][-1]
    assert later["account_id"] == str(account)


async def test_rows_of_a_chunk_are_stored_many_at_once(office: Office) -> None:
    # The first batch also asks where the partition stands.
    await office.inbox.take([a_record(a_chunk([collected(9000)]), 0)])
    counts: list[int] = []
    for part, rows in enumerate((1, 4 * CHUNK), 1):
        record = a_record(a_chunk([collected(2000 * part + n) for n in range(rows)]), part)
        async with capture_sql(office.client.database) as captured:
            await office.inbox.take([record])
        counts.append(len(captured))

    assert counts[1] - counts[0] == 3, (
        "one statement each stores as many as go at once, and all else is one for all"
    )


async def test_memory_of_a_collection_does_not_grow_with_it(office: Office) -> None:
    chunks = [[collected(2000 * part + n) for n in range(1000)] for part in range(4)]
    records = [a_record(a_chunk(chunk), number) for number, chunk in enumerate(chunks)]
    await office.inbox.take(records[:1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    for record in records[1:]:
        await office.inbox.take([record])

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert len(await office.fetch("SELECT FROM license")) == 4000
    assert grown < 150_000


async def start(office: Office, **body: Any) -> dict[str, Any]:
    answer = await office.client.post(
        f"{BASE}/signing-jobs", json=body, headers=once(office.officer)
    )
    assert answer.status_code == 202, answer.text
    return answer.json()


async def test_job_signs_what_was_collected_and_tells_how_far_it_is(office: Office) -> None:
    _ = await office.collect([collected(n) for n in range(30)])
    _ = await office.collect([collected(99, status="03")])
    job = await start(office)
    _ = await office.collect([collected(50)])  # after the job began: the next one's
    assert (job["total"], job["done"], job["finished_at"]) == (30, 0, None)

    signed = await sign(office.client.database, clock.now())

    after = await office.get(f"signing-jobs/{job['id']}")
    assert (signed, after["done"], after["failed"], after["finished_at"] is not None) == (
        30,
        30,
        0,
        True,
    )
    changed = [f.data for f in await office.facts() if f.type.endswith("license-changed.v1")]
    assert {(f["change"], f["signed"], f["trust"], f["revision"]) for f in changed} == {
        ("signed", True, "B", 2)
    }
    left = await office.fetch("SELECT number, status FROM license WHERE NOT signed ORDER BY number")
    assert [tuple(row) for row in left] == [("JY15401020000050", "01"), ("JY15401020000099", "03")]


async def test_signed_licence_checks_out(office: Office) -> None:
    _ = await office.collect([collected(1)])
    _, holder = await office.verify(an_id_number(1))
    (mine,) = (await office.get("licenses", holder))["items"]
    seen = await office.get(f"licenses/{mine['id']}", holder)
    asked = {"identifier": seen["identifier"], "code": seen["check_code"]}
    before = (await office.client.post(f"{BASE}/checks", json=asked)).json()
    _ = await start(office, type_code=TYPE)
    _ = await sign(office.client.database, clock.now())

    after = (await office.client.post(f"{BASE}/checks", json=asked)).json()

    assert (before["signature"]["result"], after["signature"]["result"]) == ("none", "good")


async def test_workers_that_sign_at_once_sign_each_licence_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.licenses.use_cases.jobs.BATCH", 10)
    _ = await office.collect([collected(n) for n in range(55)])
    job = await start(office)

    numbers = await asyncio.gather(*(sign(office.client.database, clock.now()) for _ in range(4)))
    _ = await sign(office.client.database, clock.now())

    after = await office.get(f"signing-jobs/{job['id']}")
    assert sum(numbers) <= 55
    assert after["done"] == 55
    assert Counter(await office.names())["license-changed"] == 55


async def test_job_that_dies_amid_a_batch_goes_on_where_it_was(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.licenses.use_cases.jobs.BATCH", 10)
    _ = await office.collect([collected(n) for n in range(25)])
    job = await start(office)

    async def die() -> None:
        async with office.client.database.transaction() as session:
            _ = await sign_batch(session, clock.now())
            raise KeyboardInterrupt

    async with office.client.database.transaction() as session:
        _ = await sign_batch(session, clock.now())
    with pytest.raises(KeyboardInterrupt):
        await die()
    _ = await sign(office.client.database, clock.now())

    assert (await office.get(f"signing-jobs/{job['id']}"))["done"] == 25
    assert Counter(await office.names())["license-changed"] == 25


async def test_record_that_was_tampered_with_is_not_signed(office: Office) -> None:
    _ = await office.collect([collected(n) for n in range(3)])
    _ = await office.fetch(
        "UPDATE license_version SET record = '\\x0102'"
        " WHERE license_id = (SELECT min(id::text)::uuid FROM license)"
    )
    job = await start(office)

    _ = await sign(office.client.database, clock.now())

    after = await office.get(f"signing-jobs/{job['id']}")
    assert (after["total"], after["done"], after["failed"]) == (3, 2, 1)


async def test_job_of_another_department_is_not_there(office: Office) -> None:
    job = await start(office)

    answer = await office.client.get(
        f"{BASE}/signing-jobs/{job['id']}", headers=office.staff("leader", department=NEXT_DOOR)
    )

    assert (answer.status_code, job["total"], job["finished_at"] is not None) == (404, 0, True)


async def test_signed_are_counted_as_they_stand_whatever_versions_come(office: Office) -> None:
    """Licences that were signed and changed at their source.

    And one that was changed before anybody signed it.
    """
    choose = Random(5)
    versions = dict.fromkeys(range(6), 0)
    for _ in range(8):
        changed = choose.sample(sorted(versions), 3)
        versions |= {n: versions[n] + 1 for n in changed}
        status = choose.choice(["01", "01", "02"])
        _ = await office.collect(
            [collected(n, version=versions[n], status=status) for n in changed]
        )
        if choose.random() < 0.6:
            _ = await start(office)
            _ = await sign(office.client.database, clock.now())

        (stand,) = await office.fetch("SELECT count(*) FILTER (WHERE signed) FROM license")
        assert (await office.get("statistics", office.administrator))["signed"] == stand[0]


async def test_change_here_signs_what_was_collected_and_is_counted_once(office: Office) -> None:
    _ = await office.collect([collected(1)])
    (row,) = await office.fetch("SELECT id, revision FROM license")
    licence = {"id": str(row["id"]), "revision": row["revision"]}

    for _ in range(2):
        licence = await office.do(
            licence, "change", {**WHY, "fields": {"place": "拉萨市城关区八廓街2号"}}
        )

    figures = await office.get("statistics", office.administrator)
    assert (figures["collected"], figures["signed"]) == (1, 1)


async def test_figures_count_what_happened_folded_or_not(office: Office) -> None:
    _ = await office.collect([collected(n) for n in range(4)])
    _ = await start(office)
    _ = await sign(office.client.database, clock.now())
    await office.take(a_decision())
    administrator = office.administrator
    before = await office.get("statistics", administrator)
    _ = await office.timers(clock.local_date(clock.now()))

    after = await office.get("statistics", administrator)

    assert before == after
    assert await office.fetch("SELECT FROM license_counting") == []
    figures = {name: after[name] for name in ("types", "collected", "issued", "signed")}
    assert figures == {"types": 1, "collected": 4, "issued": 1, "signed": 5}
    assert after["issue_rate"] == {"numerator": 5, "denominator": 5, "share": 1.0}
    assert after["reuse_rate"] == {"numerator": 0, "denominator": 0, "share": None}
    assert (await office.get("statistics", office.staff("leader", area=ELSEWHERE)))[
        "collected"
    ] == 0
    assert (await office.get("statistics", administrator, area_code=CITY, type_code=TYPE))[
        "issued"
    ] == 1
