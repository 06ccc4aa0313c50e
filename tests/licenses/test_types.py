"""Licence types: published once, changed only as the next version."""

import asyncio
from collections import Counter

from tests.builders.matters import DEPARTMENT
from tests.licenses.conftest import BASE, TYPE, Office, a_type


async def test_next_version_stands_beside_the_first_which_stays(office: Office) -> None:
    changed = a_type(trust="B")

    answer = await office.publish(changed, **{"If-Match": '"1"'})

    assert (answer.status_code, answer.json()["version"], answer.headers["etag"]) == (200, 2, '"2"')
    first = await office.get(f"types/{TYPE}/versions/1", {})
    assert (
        first["document"]["trust"],
        (await office.get(f"types/{TYPE}", {}))["document"]["trust"],
    ) == ("A", "B")


async def test_same_words_again_change_nothing(office: Office) -> None:
    answer = await office.publish()

    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert len(await office.fetch("SELECT FROM audit WHERE action = 'license-type.publish'")) == 1


async def test_change_needs_the_version_that_was_read(office: Office) -> None:
    missing = await office.publish(a_type(trust="B"))
    stale = await office.publish(a_type(trust="B"), **{"If-Match": '"4"'})
    unknown = await office.publish(code=f"{DEPARTMENT}009", **{"If-Match": '"1"'})

    assert [answer.status_code for answer in (missing, stale, unknown)] == [428, 412, 409]


async def test_first_versions_published_at_once_are_one(office: Office) -> None:
    code = f"{DEPARTMENT}077"
    answers = await asyncio.gather(*(office.publish(a_type(), code) for _ in range(20)))

    assert Counter((answer.status_code, answer.json()["version"]) for answer in answers) == {
        (200, 1): 20
    }
    assert len(await office.fetch("SELECT FROM license_type_version WHERE code = $1", code)) == 1


async def test_only_administrators_publish(office: Office) -> None:
    answers = [
        await office.client.put(f"{BASE}/types/{TYPE}", json=a_type(), headers=headers)
        for headers in (office.officer, office.token(), office.system)
    ]

    assert {answer.status_code for answer in answers} == {403}


async def test_code_must_be_national_and_begin_with_the_defining_body(office: Office) -> None:
    other = {"name": "公安局", "code": "11540100MB0Q01905U"}

    answers = [
        await office.publish(code="SPJY"),
        await office.publish(code=f"{DEPARTMENT[:17]}X001"),
        await office.publish(a_type(defining_body=other), f"{DEPARTMENT}003"),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]


async def test_everybody_reads_the_types_page_by_page(office: Office) -> None:
    for number in range(2, 6):
        _ = await office.publish(code=f"{DEPARTMENT}00{number}")

    first = await office.get("types", {}, limit=3)
    rest = await office.get("types", {}, limit=3, cursor=first["next"])

    assert [one["code"][-3:] for one in (*first["items"], *rest["items"])] == [
        "001",
        "002",
        "003",
        "004",
        "005",
    ]
    assert rest["next"] is None
    assert (await office.client.get(f"{BASE}/types/{DEPARTMENT}099")).status_code == 404


async def test_later_licences_are_made_under_the_newest_version(office: Office) -> None:
    before = await office.issued()
    _ = await office.publish(a_type(trust="B"), **{"If-Match": '"1"'})

    after = await office.issued()

    assert [(one["type_version"], one["trust"]) for one in (before, after)] == [(1, "A"), (2, "B")]
