"""The story, scene by scene: a catalogue, a citizen, a bureau's officers, its system, and the day's report."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from deploy.demo.peer import PeerSystem
from deploy.demo.stage import Difference, Headers, Stage
from deploy.sample import catalogue
from deploy.sample.accounts import BUREAU
from shared import clock
from shared.domain.codes import id_check_character
from shared.domain.workdays import seed_calendar

REAL = Path(__file__).resolve().parents[3] / "shared/data/matters-511602.csv"
HEADING = ("区划编码", "事项名称", "实施编码", "部门编码", "事项类型", "主项名称", "实施部门")
PDF = b"%PDF-1.7\n%demo\n"


@dataclass
class Person:
    """Somebody invented for this run; the numbers keep the rules and belong to nobody."""

    name: str
    id_number: str
    phone: str
    headers: Headers


def invent(stage: Stage, name: str, place: int) -> Person:
    seconds = int(stage.mark, 16)
    born = date(1960, 1, 1) + timedelta(days=seconds // 300 % 14_000)
    first = f"540102{born:%Y%m%d}{(seconds + place) % 1000:03d}"
    return Person(
        name, first + id_check_character(first), f"139{(seconds * 7 + place) % 10**8:08d}", {}
    )


async def import_catalogue(stage: Stage) -> None:
    """A file with planted faults, then the real one where it lies beside the project."""
    stage.scene("The catalogue: what is published, and a file with three faults")
    statistics = await stage.call("GET", "/matters/statistics")
    stage.say(
        f"   {statistics['published']} matters are published, {statistics['situational']['numerator']} with questions"
    )
    administrator = await stage.officer("administrator")
    report = await _send_file(stage, administrator, _faulty_file(), "planted")
    stage.check(
        "rows taken (new or known)", report["accepted"] + report["unchanged"] + report["changed"], 6
    )
    for row in report["rows"]:
        fault = row["errors"][0]
        stage.say(f"   row {row['row']} came back: {fault['field']}: {fault['message']}")
    stage.check("rows that came back", [row["row"] for row in report["rows"]], [4, 7, 9])
    if not REAL.exists():
        stage.say("   (the real catalogue does not lie beside the project: left out)")
        return
    area = {"areas": [{"code": "511602000000", "name": {"zh": "广安区"}}]}
    await stage.call("PUT", "/matters/directory", administrator, status=204, json=area)
    real = await _send_file(stage, administrator, REAL.read_bytes(), "real")
    stage.check(
        "real items of a district, none lost",
        sum(real[n] for n in ("accepted", "changed", "unchanged")),
        1135,
    )


async def _send_file(stage: Stage, who: Headers, content: bytes, name: str) -> Any:
    headers = {**stage.once(f"import-{name}"), "X-Filename": f"{name}.csv"}
    return await stage.call(
        "POST", "/matters/imports", who, status=201, content=content, headers=headers
    )


def _faulty_file() -> bytes:
    """GBK, columns in an order of their own; row 4 repeats a code, row 7 has one a character short, row 9 no known area."""
    area, unit = BUREAU
    national = f"{unit}3000117990000"
    codes = [
        "LOCAL-01",
        "LOCAL-02",
        "LOCAL-01",
        "LOCAL-03",
        "LOCAL-04",
        national[:-1],
        "LOCAL-05",
        "LOCAL-06",
        "LOCAL-07",
    ]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADING)
    for number, code in enumerate(codes, start=2):
        place = "540199000000" if number == 9 else area
        writer.writerow(
            (place, f"示例事项{number}", code, unit, "20", "示例", "拉萨市市场监督管理局")
        )
    return out.getvalue().encode("gbk")


async def register(stage: Stage, person: Person) -> None:
    """By SMS code, then the real name (L2)."""
    stage.scene(f"{person.name} registers on her phone")
    await stage.call("POST", "/identity/sms-codes", status=202, json={"phone": person.phone})
    code = await stage.read_sms(person.phone)
    stage.say(
        "   she types the code of the message that came (an operator reads it here in the development sender)"
    )
    tokens = await stage.call(
        "POST", "/identity/sessions/sms", json={"phone": person.phone, "code": code}
    )
    person.headers = _bearer(tokens)
    card = {"name": person.name, "id_number": person.id_number, "id_valid_until": "2046-01-01"}
    verified = await stage.call("POST", "/identity/verifications", person.headers, json=card)
    stage.check("assurance level after her real name is verified", verified["level"], 2)
    refreshed = {"refresh_token": tokens["refresh_token"]}
    person.headers = _bearer(await stage.call("POST", "/identity/sessions/refresh", json=refreshed))
    account = await stage.call("GET", "/identity/account", person.headers)
    stage.say(
        f"   her account shows: {account['name']}, {account['id_number']}, {account['phone']}"
    )


def _bearer(tokens: dict[str, Any]) -> Headers:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def find_guide(stage: Stage) -> dict[str, Any]:
    """Two characters, the question tree, the personal guide with its digest."""
    stage.scene("She types 茶馆 and answers the questions")
    area = catalogue.CITY
    names = await stage.call("GET", "/matters/suggestions", params={"q": "茶馆", "area": area})
    stage.say(f"   suggested while typing: {', '.join(item['name'] for item in names['items'])}")
    found = (await stage.call("GET", "/matters/catalogue", params={"q": "茶馆", "area": area}))[
        "items"
    ]
    stage.check("first hit", found[0]["name"]["zh"], "我要开茶馆")
    matter = await stage.call("GET", f"/matters/catalogue/{found[0]['id']}")
    answers = _rented(matter["document"])
    guide = await stage.call(
        "POST", "/matters/personal-guides", json={"matter_id": found[0]["id"], "answers": answers}
    )
    for material in guide["materials"]:
        stage.say(f"   to bring: {material['name']['zh']}")
    stage.say(f"   her guide is frozen as {guide['digest'][:23]}…")
    again = await stage.call(
        "POST", "/matters/personal-guides", json={"matter_id": found[0]["id"], "answers": answers}
    )
    stage.confirm("asked again, the same guide", again["digest"] == guide["digest"])
    return guide


def _rented(document: dict[str, Any]) -> dict[str, str]:
    """Answers along the tree: she rents her rooms, and else takes the first option."""
    answers: dict[str, str] = {}
    questions = {question["code"]: question for question in document["questions"]}
    following = document["first_question"]
    while following:
        options = {option["code"]: option for option in questions[following]["options"]}
        chosen = options.get("rent") or next(iter(options.values()))
        answers[following] = chosen["code"]
        following = chosen.get("next")
    return answers


async def apply(
    stage: Stage,
    guide: dict[str, Any],
    applicant: Person,
    who: Headers,
    channel: str,
    licences: Mapping[str, str] | None = None,
) -> Any:
    """A licence where one meets the material, else an upload; the matter travels to cases as an event, so wait for it."""
    held = licences or {}
    materials = [
        {"code": code, "kind": "license", "license_id": held[code]}
        if code in held
        else {"code": code, "upload_id": await _upload(stage, who)}
        for code in (material["code"] for material in guide["materials"])
    ]
    body = {
        "matter_id": guide["matter_id"],
        "matter_version": guide["version"],
        "answers": guide["answers"],
        "guide_digest": guide["digest"],
        "applicant": {
            "name": applicant.name,
            "id_number": applicant.id_number,
            "phone": applicant.phone,
        },
        "materials": materials,
        "channel": channel,
    }
    headers = {**who, **stage.once(f"apply-{channel}")}

    async def send() -> Any:
        answer = await stage.client.post("/cases/applications", json=body, headers=headers)
        if answer.status_code in {404, 409}:
            return None
        if answer.status_code != 201:
            raise Difference(f"the application answered {answer.status_code}: {answer.text[:600]}")
        return answer.json()

    return await stage.until("the matter in cases", send)


async def _upload(stage: Stage, who: Headers) -> str:
    return (await stage.call("POST", "/cases/uploads", who, status=201, content=PDF))["id"]


async def act(
    stage: Stage,
    case: Any,
    username: str | Headers,
    path: str,
    body: Any = None,
    *,
    status: int = 200,
) -> Any:
    """One act on a case by an officer or the applicant, at the version that was read."""
    who = await stage.officer(username) if isinstance(username, str) else username
    headers = {"If-Match": f'"{case["revision"]}"'}
    return await stage.call(
        "POST", f"/cases/files/{case['id']}/{path}", who, status=status, json=body, headers=headers
    )


async def decide(
    stage: Stage, citizen: Person, guide: dict[str, Any], licences: Mapping[str, str]
) -> Any:
    """Her case from application to delivery; an e-licence meets what needs no upload."""
    stage.scene("She applies; the bureau handles her case")
    case = await apply(stage, guide, citizen, citizen.headers, "mobile", licences)
    used = [material["code"] for material in case["materials"] if material["kind"] == "license"]
    stage.check("materials that an e-licence meets", used, sorted(licences))
    stage.say(f"   case {case['number']}, the bureau has until {case['due_on']} to accept it")
    refused = await act(stage, case, "delivery", "delivery", {"method": "window"}, status=409)
    stage.say(
        f"   delivering now is refused: {refused['detail']}; allowed: {', '.join(refused['allowed'])}"
    )
    stage.confirm("the refusal names what is allowed", "accept" in refused["allowed"])
    gap = next(material for material in guide["materials"] if material["code"] not in licences)
    items = [{"material_code": gap["code"], "text": f"{gap['name']['zh']}: 缺少签字"}]
    case = await act(stage, case, "clerk", "correction-requests", {"items": items})
    stage.say(f"   the clerk asks once for all that is missing: {case['missing'][0]['text']}")
    new = {"code": gap["code"], "upload_id": await _upload(stage, citizen.headers)}
    case = await act(stage, case, citizen.headers, "corrections", {"materials": [new]})
    case = await act(stage, case, "clerk", "acceptance")
    stage.say(f"   accepted; promised by {case['due_on']}, by law {case['legal_due_on']}")
    opinion = {"opinion": "agree", "text": "符合条件"}
    case = await act(stage, case, "approver1", "reviews", opinion)
    early = await act(stage, case, "leader", "decision", {"result": "0"}, status=409)
    stage.say(f"   the leader cannot decide yet: {early['detail']}")
    case = await act(stage, case, "approver2", "reviews", opinion)
    case = await act(stage, case, "leader", "decision", {"result": "0"})
    stage.check("decided (0 = granted)", (case["state"], case["result"]), ("decided", "0"))
    case = await act(stage, case, "delivery", "delivery", {"method": "window"})
    stage.check("delivered by a third person", case["state"], "closed")
    track = {"number": case["number"], "phone_last4": citizen.phone[-4:]}
    tracked = await stage.call("POST", "/cases/tracking", json=track)
    stage.check("followed with number and last four digits", tracked["state"], "closed")
    steps = await stage.call("GET", f"/cases/files/{case['id']}/timeline", citizen.headers)
    stage.say("   her timeline: " + " → ".join(step["act"] for step in steps))
    return case


async def take_in(stage: Stage, guide: dict[str, Any], old_man: Person) -> Any:
    """一窗受理: a clerk applies on behalf of somebody who came in person."""
    stage.scene("An old man comes to the window; the clerk takes his case in")
    case = await apply(stage, guide, old_man, await stage.officer("clerk"), "window")
    stage.say(
        f"   case {case['number']}; the clerk sees {case['applicant_name']}, {case['applicant_id_number']}"
    )
    stage.confirm("what the clerk sees is masked", old_man.id_number not in str(case))
    return await act(stage, case, "clerk", "acceptance")


async def push(stage: Stage, system: PeerSystem) -> None:
    """办件推送: 1,000 finished cases of the bureau's own system as a signed batch, three of them faulty."""
    stage.scene("The bureau's own system pushes 1,000 finished cases as a signed batch")
    today = clock.local_date(clock.now())
    records = [_finished(stage, number, today) for number in range(1, 1001)]
    records[9] |= {"matter_type": "99"}
    records[499] |= {"result": None}
    records[998] |= {"received_on": (today + timedelta(days=1)).isoformat()}
    batch, receipt = await system.send("cases", "push", records)
    final, exact = await system.final(batch)
    stage.check("landed", final["accepted"], 997)
    for reject in final["rejects"]:
        for fault in reject["faults"]:
            stage.say(f"   row {reject['row']} came back: {fault['field']}: {fault['message']}")
    stage.check(
        "rows that came back", [reject["row"] for reject in final["rejects"]], [10, 500, 999]
    )
    again, repeated = await system.send("cases", "push", records)
    _, exact_again = await system.final(again)
    stage.confirm(
        "sent again, both receipts byte for byte", (repeated, exact_again) == (receipt, exact)
    )
    anew, _ = await system.send("cases", "push-anew", records)
    told, _ = await system.final(anew)
    stage.check("as a new batch, nothing changes", (told["accepted"], told["unchanged"]), (0, 997))


def _finished(stage: Stage, number: int, today: date) -> dict[str, Any]:
    return {
        "source_number": f"{stage.mark}-{number:04d}",
        "version": 1,
        "matter_code": "MARKET-0001",
        "matter_name": "食品经营备案",
        "matter_type": "10",
        "immediate": number % 3 == 0,
        "applicant_kind": "organisation",
        "state": "closed",
        "received_on": (today - timedelta(days=number % 5)).isoformat(),
        "closed_on": today.isoformat(),
        "result": "0",
        "overdue": number % 50 == 0,
    }


async def leave_alone(stage: Stage, case: Any) -> None:
    """红黄灯: time passes (injected, not slept) over the old man's case that nobody touches."""
    stage.scene("The old man's case is left alone; the clocks go on")
    calendar, due = seed_calendar(), date.fromisoformat(case["due_on"])
    day_before = next(
        due - timedelta(days=n)
        for n in range(1, 20)
        if calendar.working_days_between(due - timedelta(days=n), due) == 1
    )
    late = calendar.add_working_days(due, 1)
    later = calendar.add_working_days(date.fromisoformat(case["legal_due_on"]), 1)
    for day, level in ((day_before, "yellow"), (late, "red"), (later, "deep_red")):
        as_of = datetime.combine(day, time(10), tzinfo=clock.SHANGHAI).isoformat()
        ran = {"as_of": as_of}
        await stage.call(
            "POST", "/cases/development/timer-runs", await stage.officer("administrator"), json=ran
        )
        stage.confirm(f"as of {day} its light is {level}", level in await _lights(stage, case))
    light = (await _lights(stage, case))["deep_red"]
    answer = {"text": "材料核验延误, 今日办结"}
    headers = {"If-Match": f'"{light["revision"]}"'}
    path = f"/cases/lights/{light['id']}/answer"
    answered = await stage.call(
        "POST", path, await stage.officer("clerk"), json=answer, headers=headers
    )
    stage.confirm(
        "the department answers and the light goes out", answered["cleared_at"] is not None
    )


async def _lights(stage: Stage, case: Any) -> dict[str, Any]:
    """The burning lights of one case by level, as supervision sees them."""
    found: dict[str, Any] = {}
    query: dict[str, Any] = {"open": True, "limit": 200}
    while True:
        page = await stage.call(
            "GET", "/cases/lights", await stage.officer("supervisor"), params=query
        )
        found.update(
            {light["level"]: light for light in page["items"] if light["case_id"] == case["id"]}
        )
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


async def live_figures(stage: Stage, day: date) -> Counter[tuple[str, str, str]]:
    """The live figures of a day by area, department and measure."""
    who, live = await stage.officer("supervisor"), {"live": True}
    report = await stage.call("GET", f"/assessment/daily-reports/{day}", who, params=live)
    return _cells(report)


def _cells(report: Any) -> Counter[tuple[str, str, str]]:
    return Counter(
        {
            (row["area_code"], row["department_code"], measure): number
            for row in report["departments"]
            for measure, number in row["figures"].items()
            if number
        }
    )
