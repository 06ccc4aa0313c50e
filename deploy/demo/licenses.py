"""电子证照 in the scenario: collected, used in place of a material, issued, checked, cancelled."""

from datetime import timedelta

from deploy.demo import peer, scenario
from deploy.demo.answers import (
    Case,
    Guide,
    Hit,
    License,
    LicenseCheck,
    LicenseMatch,
    LicenseUse,
    Page,
)
from deploy.demo.context import ALL, DemoContext, if_match
from deploy.demo.peer import Record
from deploy.demo.scenario import Citizen
from deploy.sample import catalogue
from shared import clock
from shared.domain.codes import id_check_character

CARD = catalogue.license_type_codes()["居民身份证"]
FOOD_LICENSE = catalogue.license_type_codes()["食品经营许可证"]
COLLECTED = 200
HALAL = "清真食品生产经营许可"


async def collect(demo: DemoContext, citizen: Citizen) -> None:
    """采集: the police hand over old identity cards as e-licences, hers among them."""
    demo.section(f"The police hand over {COLLECTED} identity cards as e-licences, by signed batch")
    # A system of its own: who issues identity cards is not who decides her case.
    police = await peer.register(demo, "police-system", resources=["licenses"], types=[])
    records = [_card(demo, number) for number in range(COLLECTED)]
    records[COLLECTED // 2] |= {
        "holder_name": citizen.name,
        "holder_id_number": citizen.id_number,
    }
    batch, _ = await police.send_batch("licenses", name="cards", records=records)
    final, _ = await police.final_receipt(batch)
    found = (final["accepted"], final["rejected"])
    demo.check("cards collected", found, expected=(COLLECTED, 0))


def _card(demo: DemoContext, number: int) -> Record:
    """An identity card of somebody invented."""
    issued = clock.local_date(clock.now()) - timedelta(days=400)
    first = f"5401021980{1 + number % 12:02d}{1 + number % 28:02d}{number:03d}"
    return {
        "source_number": f"CARD-{demo.run_id}-{number:04d}",
        "version": 1,
        "type_code": CARD,
        "holder_kind": "person",
        "holder_name": "旦增罗布",
        "holder_id_number": first + id_check_character(first),
        "issued_on": issued.isoformat(),
        "valid_until": (issued + timedelta(days=3650)).isoformat(),
    }


async def match(demo: DemoContext, guide: Guide, *, citizen: Citizen) -> dict[str, str]:
    """免提交: the ids of her licences that meet materials, by the code of the material."""
    body = {
        "matter_id": guide["matter_id"],
        "matter_version": guide["version"],
        "answers": guide["answers"],
        "guide_digest": guide["digest"],
        "id_number": citizen.id_number,
    }

    async def ask() -> list[LicenseMatch] | None:
        answer = await demo.client.post(
            "/cases/license-matches", json=body, headers=citizen.headers
        )
        # The matter travels to cases as an event, and so does her licence.
        if answer.status_code in {404, 409}:
            return None
        matches: list[LicenseMatch] = answer.raise_for_status().json()
        return [one for one in matches if one["licenses"]] or None

    matched: dict[str, str] = {}
    for one in await demo.until("her licence in cases", ask):
        code, license_ = one["material_code"], one["licenses"][0]
        name = license_["type_name"]["zh"]
        demo.say(f"   {code} needs no upload: {name} {license_['number']}")
        matched[code] = license_["license_id"]
    return matched


async def issued_for(demo: DemoContext, citizen: Citizen) -> License:
    """Her new licence: exactly one, whose QR code everybody can check."""
    demo.section("The decision issues her licence")

    async def ask() -> list[License] | None:
        answer = await demo.get("/licenses/licenses", who=citizen.headers, params=ALL)
        page: Page[License] = answer.json()
        return [one for one in page["items"] if one["type_code"] == FOOD_LICENSE] or None

    found = await demo.until("her licence", ask)
    demo.check("licences issued for her case", len(found), expected=1)
    path = f"/licenses/licenses/{found[0]['id']}"
    license_: License = (await demo.get(path, who=citizen.headers)).json()
    name = license_["type_name"]["zh"]
    demo.say(f"   {name} {license_['number']}, {license_['identifier']}")
    pdf = (await demo.get(f"{path}/pdf", who=citizen.headers)).content
    demo.confirm(f"it prints as a PDF ({len(pdf) // 1000} kB)", pdf.startswith(b"%PDF"))
    await _check_as_anybody(demo, license_)
    return license_


async def _check_as_anybody(demo: DemoContext, license_: License) -> None:
    checked = await _check(demo, license_)
    as_of, holder = checked["as_of"][:19], checked["holder_name"]
    demo.say(f"   checked without signing in, as of {as_of}: holder {holder}")
    facts = (
        checked["signature"]["result"],
        checked["validity"]["result"],
        checked["status"]["code"],
    )
    expected = ("good", "within", "01")
    demo.check("signature, validity and status, each apart", facts, expected=expected)


async def _check(demo: DemoContext, license_: License) -> LicenseCheck:
    body = {"identifier": license_["identifier"], "code": license_["check_code"]}
    return (await demo.post("/licenses/checks", json=body)).json()


async def use_and_cancel(demo: DemoContext, citizen: Citizen, *, license_: License) -> None:
    """用证: it meets a material of another case, which is told when it is cancelled."""
    demo.section("She uses the new licence in another case, and it is cancelled meanwhile")
    case, licenses = await _apply_with(demo, citizen, license_=license_)
    demo.say(f"   case {case['number']} rests on {len(licenses)} licences")
    uses = await _uses(demo, citizen, license_=license_)
    demo.check("uses of it that she sees", uses, expected=[case["number"]])
    _ = await demo.post(
        f"/licenses/licenses/{license_['id']}/revocation",
        who=await demo.sign_in("leader"),
        headers=if_match(license_["revision"]),
        json={"kind": "cancel", "reason": "经营者申请注销"},
    )

    async def ask() -> list[str] | None:
        seen: Case = (await demo.get(f"/cases/files/{case['id']}", who=citizen.headers)).json()
        return [one["code"] for one in seen["materials"] if one.get("lapsed")] or None

    lapsed = await demo.until("the cancelled licence in her open case", ask)
    # One licence may meet several materials.
    expected = [code for code, used in licenses.items() if used == license_["id"]]
    demo.check("materials of her open case that no longer hold", lapsed, expected=expected)
    checked = await _check(demo, license_)
    demo.check("status that its check shows now", checked["status"]["code"], expected="04")


async def _apply_with(
    demo: DemoContext, citizen: Citizen, *, license_: License
) -> tuple[Case, dict[str, str]]:
    """A case of another matter; also the licences that meet its materials."""
    query = {"q": HALAL, "area": catalogue.CITY}
    hits: Page[Hit] = (await demo.get("/matters/catalogue", params=query)).json()
    body: dict[str, object] = {"matter_id": hits["items"][0]["id"], "answers": {}}
    guide: Guide = (await demo.post("/matters/personal-guides", json=body)).json()

    async def ask() -> dict[str, str] | None:
        matched = await match(demo, guide, citizen=citizen)
        return matched if license_["id"] in matched.values() else None

    licenses = await demo.until("the new licence in cases", ask)
    case = await scenario.apply(
        demo,
        guide,
        applicant=citizen,
        who=citizen.headers,
        channel="pc",
        licenses=licenses,
    )
    return case, licenses


async def _uses(demo: DemoContext, citizen: Citizen, *, license_: License) -> list[str]:
    """The numbers of the cases in which the licence was used."""
    path = f"/licenses/licenses/{license_['id']}/uses"

    async def ask() -> list[str] | None:
        page: Page[LicenseUse] = (await demo.get(path, who=citizen.headers)).json()
        return [use["case_number"] for use in page["items"]] or None

    return await demo.until("the use in the licence's log", ask)
