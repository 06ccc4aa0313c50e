"""电子证照 in the story: old ones are collected, one meets a material, one is issued, checked, and withdrawn."""

from datetime import timedelta
from typing import Any

from deploy.demo import peer, story
from deploy.demo.stage import Stage
from deploy.demo.story import Person
from deploy.sample import catalogue
from shared import clock
from shared.domain.codes import id_check_character

CODES = {document["name"]["zh"]: code for code, document in catalogue.license_types().items()}
CARD, TEAHOUSE = CODES["居民身份证"], CODES["食品经营许可证"]
OLD = 200
HALAL = "清真食品生产经营许可"


async def collect(stage: Stage, citizen: Person) -> None:
    """采集: the police hand over old identity cards as e-licences, hers among them."""
    stage.scene(f"The police hand over {OLD} identity cards as e-licences, by signed batch")
    police = await peer.register(stage, "police-system", ["licenses"], [])
    records = [_card(stage, n, citizen if n == OLD // 2 else None) for n in range(OLD)]
    batch, _ = await police.send("licenses", "cards", records)
    final, _ = await police.final(batch)
    stage.check("cards collected", (final["accepted"], final["rejected"]), (OLD, 0))


def _card(stage: Stage, number: int, holder: Person | None) -> dict[str, Any]:
    issued = clock.local_date(clock.now()) - timedelta(days=400)
    first = f"5401021980{1 + number % 12:02d}{1 + number % 28:02d}{number:03d}"
    invented = first + id_check_character(first)
    return {
        "source_number": f"CARD-{stage.mark}-{number:04d}",
        "version": 1,
        "type_code": CARD,
        "holder_kind": "person",
        "holder_name": holder.name if holder else "旦增罗布",
        "holder_id_number": holder.id_number if holder else invented,
        "issued_on": issued.isoformat(),
        "valid_until": (issued + timedelta(days=3650)).isoformat(),
    }


async def match(stage: Stage, guide: dict[str, Any], citizen: Person) -> dict[str, str]:
    """免提交: which of her licences meet which materials; code of the material → licence."""

    async def ask() -> Any:
        names = ("matter_id", "answers")
        body = {name: guide[name] for name in names}
        body |= {
            "matter_version": guide["version"],
            "guide_digest": guide["digest"],
            "id_number": citizen.id_number,
        }
        answer = await stage.client.post(
            "/cases/license-matches", json=body, headers=citizen.headers
        )
        if answer.status_code in {404, 409}:
            return None  # The matter has not come to cases yet.
        found = answer.raise_for_status().json()
        return {
            one["material_code"]: one["licenses"][0] for one in found if one["licenses"]
        } or None

    matched = await stage.until("her licence in cases", ask)
    for code, licence in matched.items():
        stage.say(f"   {code} needs no upload: {licence['type_name']['zh']} {licence['number']}")
    return {code: licence["license_id"] for code, licence in matched.items()}


async def issued_for(stage: Stage, citizen: Person) -> Any:
    """Her new licence: exactly one, whose QR answers to everybody."""
    stage.scene("The decision issues her licence")

    async def ask() -> Any:
        mine = await stage.call("GET", "/licenses/licenses", citizen.headers, params={"limit": 200})
        return [one for one in mine["items"] if one["type_code"] == TEAHOUSE] or None

    found = await stage.until("her licence", ask)
    stage.check("licences issued for her case", len(found), 1)
    licence = await stage.call("GET", f"/licenses/licenses/{found[0]['id']}", citizen.headers)
    stage.say(f"   {licence['type_name']['zh']} {licence['number']}, {licence['identifier']}")
    pdf = await stage.client.get(f"/licenses/licenses/{licence['id']}/pdf", headers=citizen.headers)
    stage.confirm(
        f"it prints as a PDF ({len(pdf.content) // 1000} kB)", pdf.content.startswith(b"%PDF")
    )
    checked = await _check(stage, licence)
    stage.say(
        f"   checked without signing in, as of {checked['as_of'][:19]}: holder {checked['holder_name']}"
    )
    facts = (
        checked["signature"]["result"],
        checked["validity"]["result"],
        checked["status"]["code"],
    )
    stage.check("signature, validity and status, each apart", facts, ("good", "within", "01"))
    return licence


async def _check(stage: Stage, licence: Any) -> Any:
    body = {"identifier": licence["identifier"], "code": licence["check_code"]}
    return await stage.call("POST", "/licenses/checks", json=body)


async def withdraw(stage: Stage, citizen: Person, licence: Any) -> Any:
    """用证: it meets a material of another case; cancelled, that case learns of it."""
    stage.scene("She uses the new licence in another case, and it is cancelled meanwhile")
    found = await stage.call(
        "GET", "/matters/catalogue", params={"q": HALAL, "area": catalogue.CITY}
    )
    body = {"matter_id": found["items"][0]["id"], "answers": {}}
    guide = await stage.call("POST", "/matters/personal-guides", json=body)

    async def matched() -> Any:
        found = await match(stage, guide, citizen)
        return found if licence["id"] in found.values() else None

    licences = await stage.until("the new licence in cases", matched)
    case = await story.apply(stage, guide, citizen, citizen.headers, "pc", licences)
    stage.say(f"   case {case['number']} rests on {len(licences)} licences")
    uses = await _uses(stage, citizen, licence)
    stage.check("uses of it that she sees", uses, [case["number"]])
    reason = {"kind": "cancel", "reason": "经营者申请注销"}
    who, versioned = await stage.officer("leader"), {"If-Match": f'"{licence["revision"]}"'}
    path = f"/licenses/licenses/{licence['id']}/revocation"
    await stage.call("POST", path, who, json=reason, headers=versioned)

    async def lapsed() -> Any:
        seen = await stage.call("GET", f"/cases/files/{case['id']}", citizen.headers)
        return [m["code"] for m in seen["materials"] if m.get("lapsed")] or None

    gone = await stage.until("the cancelled licence in her open case", lapsed, 60)
    meant = [code for code, one in licences.items() if one == licence["id"]]
    stage.check("materials of her open case that no longer hold", gone, meant)
    checked = await _check(stage, licence)
    stage.check("status that its check shows now", checked["status"]["code"], "04")
    return case


async def _uses(stage: Stage, citizen: Person, licence: Any) -> list[str]:
    async def ask() -> Any:
        page = await stage.call("GET", f"/licenses/licenses/{licence['id']}/uses", citizen.headers)
        return [use["case_number"] for use in page["items"]] or None

    return await stage.until("the use in the licence's log", ask)
