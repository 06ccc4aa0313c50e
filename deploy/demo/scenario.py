"""The scenario, section by section: a catalogue, a citizen, a bureau's officers and its system."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

from deploy.demo.answers import (
    Case,
    CaseStep,
    CatalogueStatistics,
    DailyReport,
    Guide,
    Hit,
    ImportReport,
    Light,
    MatterDocument,
    MatterRead,
    Page,
    Person,
    Problem,
    Tokens,
)
from deploy.demo.context import DemoContext, ScenarioError, if_match
from deploy.demo.peer import PeerSystem, Record
from deploy.sample import catalogue
from deploy.sample.accounts import BUREAU, Headers
from shared import clock
from shared.domain.codes import id_check_character
from shared.domain.workdays import WorkCalendar, seed_calendar

REAL_CATALOGUE = Path(__file__).resolve().parents[3] / "shared/data/matters-511602.csv"
HEADING = ("区划编码", "事项名称", "实施编码", "部门编码", "事项类型", "主项名称", "实施部门")
PDF = b"%PDF-1.7\n%demo\n"
PUSHED_CASES = 1000
FAULTY_ROWS = [10, 500, 999]


@dataclass
class Citizen:
    """Somebody invented for this run; the numbers keep the rules and belong to nobody."""

    name: str
    id_number: str
    phone: str
    headers: Headers


def invent_citizen(demo: DemoContext, name: str, *, number: int) -> Citizen:
    # Another person in every run, because a number may register only once.
    seconds = int(demo.run_id, 16)
    born = date(1960, 1, 1) + timedelta(days=seconds // 300 % 14_000)
    first = f"540102{born:%Y%m%d}{(seconds + number) % 1000:03d}"
    phone = f"139{(seconds * 7 + number) % 10**8:08d}"
    return Citizen(name, first + id_check_character(first), phone, {})


async def import_catalogue(demo: DemoContext) -> None:
    """A file with planted faults, then a real one where it lies beside the project."""
    demo.section("The catalogue: what is published, and a file with three faults")
    statistics: CatalogueStatistics = (await demo.get("/matters/statistics")).json()
    with_questions = statistics["situational"]["numerator"]
    demo.say(f"   {statistics['published']} matters are published, {with_questions} with questions")
    administrator = await demo.sign_in("administrator")
    report = await _import_file(demo, administrator, content=_faulty_file(), name="planted")
    taken = report["accepted"] + report["unchanged"] + report["changed"]
    demo.check("rows taken (new or known)", taken, expected=6)
    for row in report["rows"]:
        error = row["errors"][0]
        demo.say(f"   row {row['row']} came back: {error['field']}: {error['message']}")
    rejected = [row["row"] for row in report["rows"]]
    demo.check("rows that came back", rejected, expected=[4, 7, 9])
    if REAL_CATALOGUE.exists():
        await _import_real_catalogue(demo, administrator)
    else:
        demo.say("   (the real catalogue does not lie beside the project: left out)")


async def _import_real_catalogue(demo: DemoContext, administrator: Headers) -> None:
    area = {"areas": [{"code": "511602000000", "name": {"zh": "广安区"}}]}
    _ = await demo.send("PUT", path="/matters/directory", who=administrator, json=area, status=204)
    content = REAL_CATALOGUE.read_bytes()
    report = await _import_file(demo, administrator, content=content, name="real")
    taken = report["accepted"] + report["unchanged"] + report["changed"]
    demo.check("real items of a district, none lost", taken, expected=1135)


async def _import_file(
    demo: DemoContext, who: Headers, *, content: bytes, name: str
) -> ImportReport:
    headers = {**demo.once(f"import-{name}"), "X-Filename": f"{name}.csv"}
    answer = await demo.send(
        "POST", path="/matters/imports", who=who, headers=headers, content=content, status=201
    )
    return answer.json()


def _faulty_file() -> bytes:
    """A file in GBK, its columns in an order of their own.

    Row 4 repeats a code, the code of row 7 is a character short, the area of row 9 is unknown.
    """
    area, department = BUREAU
    national = f"{department}3000117990000"
    codes = [f"LOCAL-0{n}" for n in (1, 2, 1, 3, 4)]
    codes += [national[:-1], "LOCAL-05", "LOCAL-06", "LOCAL-07"]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADING)
    for number, code in enumerate(codes, start=2):
        row_area = "540199000000" if number == 9 else area
        name = f"示例事项{number}"
        writer.writerow((row_area, name, code, department, "20", "示例", "拉萨市市场监督管理局"))
    # As a spreadsheet program on a Chinese desk saves it.
    return out.getvalue().encode("gbk")


async def register(demo: DemoContext, citizen: Citizen) -> None:
    """She signs in by SMS code, then proves her real name (level 2)."""
    demo.section(f"{citizen.name} registers on her phone")
    phone = citizen.phone
    _ = await demo.post("/identity/sms-codes", json={"phone": phone}, status=202)
    code = await demo.read_sms_code(phone)
    demo.say("   she types the code of the message (the development system shows it to operators)")
    answer = await demo.post("/identity/sessions/sms", json={"phone": phone, "code": code})
    tokens: Tokens = answer.json()
    citizen.headers = _bearer(tokens)
    card = {
        "name": citizen.name,
        "id_number": citizen.id_number,
        "id_valid_until": "2046-01-01",
    }
    answer = await demo.post("/identity/verifications", who=citizen.headers, json=card)
    level = answer.json()["level"]
    demo.check("assurance level after her real name is verified", level, expected=2)
    refresh = {"refresh_token": tokens["refresh_token"]}
    answer = await demo.post("/identity/sessions/refresh", json=refresh)
    citizen.headers = _bearer(answer.json())
    account: Person = (await demo.get("/identity/account", who=citizen.headers)).json()
    shown = f"{account['name']}, {account['id_number']}, {account['phone']}"
    demo.say(f"   her account shows: {shown}")


def _bearer(tokens: Tokens) -> Headers:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def find_guide(demo: DemoContext) -> Guide:
    """Two characters, the question tree, the personal guide with its digest."""
    demo.section("She types 茶馆 and answers the questions")
    query = {"q": "茶馆", "area": catalogue.CITY}
    suggestions = (await demo.get("/matters/suggestions", params=query)).json()
    names = [item["name"] for item in suggestions["items"]]
    demo.say(f"   suggested while typing: {', '.join(names)}")
    hits: Page[Hit] = (await demo.get("/matters/catalogue", params=query)).json()
    first = hits["items"][0]
    demo.check("first hit", first["name"]["zh"], expected="我要开茶馆")
    matter: MatterRead = (await demo.get(f"/matters/catalogue/{first['id']}")).json()
    body = {"matter_id": first["id"], "answers": _answers_of_tenant(matter["document"])}
    guide: Guide = (await demo.post("/matters/personal-guides", json=body)).json()
    for material in guide["materials"]:
        demo.say(f"   to bring: {material['name']['zh']}")
    demo.say(f"   her guide is frozen as {guide['digest'][:23]}…")
    again: Guide = (await demo.post("/matters/personal-guides", json=body)).json()
    demo.confirm("asked again, the same guide", again["digest"] == guide["digest"])
    return guide


def _answers_of_tenant(document: MatterDocument) -> dict[str, str]:
    """Answers along the tree: she rents her rooms, and elsewhere takes the first option."""
    answers: dict[str, str] = {}
    questions = {question["code"]: question for question in document["questions"]}
    code = document["first_question"]
    while code:
        options = {option["code"]: option for option in questions[code]["options"]}
        chosen = options.get("rent") or next(iter(options.values()))
        answers[code] = chosen["code"]
        code = chosen.get("next")
    return answers


async def apply(
    demo: DemoContext,
    guide: Guide,
    *,
    applicant: Citizen,
    who: Headers,
    channel: str,
    licenses: Mapping[str, str] | None = None,
) -> Case:
    """Apply; `licenses` are the ids of those that meet a material, by its code.

    The other materials are uploaded.
    """
    licenses = licenses or {}
    materials: list[dict[str, str]] = []
    for material in guide["materials"]:
        code = material["code"]
        if code in licenses:
            materials.append({"code": code, "kind": "license", "license_id": licenses[code]})
        else:
            materials.append({"code": code, "upload_id": await _upload(demo, who)})
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
    headers = {**who, **demo.once(f"apply-{channel}")}

    async def ask() -> Case | None:
        answer = await demo.client.post("/cases/applications", json=body, headers=headers)
        # The matter travels to cases as an event, which may come later than its publication.
        if answer.status_code in {404, 409}:
            return None
        if answer.status_code != 201:
            text = answer.text[:600]
            raise ScenarioError(f"the application answered {answer.status_code}: {text}")
        return answer.json()

    return await demo.until("the matter in cases", ask)


async def _upload(demo: DemoContext, who: Headers) -> str:
    answer = await demo.send("POST", path="/cases/uploads", who=who, content=PDF, status=201)
    return answer.json()["id"]


async def act(
    demo: DemoContext, case: Case, *, who: Headers, path: str, body: object = None
) -> Case:
    """One act on a case by an officer or the applicant, at the version that was read."""
    answer = await demo.post(
        f"/cases/files/{case['id']}/{path}",
        who=who,
        headers=if_match(case["revision"]),
        json=body,
    )
    return answer.json()


async def try_act(
    demo: DemoContext, case: Case, *, who: Headers, path: str, body: object
) -> Problem:
    """An act that the state of the case does not allow."""
    answer = await demo.post(
        f"/cases/files/{case['id']}/{path}",
        who=who,
        headers=if_match(case["revision"]),
        json=body,
        status=409,
    )
    return answer.json()


async def decide(
    demo: DemoContext, citizen: Citizen, *, guide: Guide, licenses: Mapping[str, str]
) -> Case:
    """Her case from application to delivery; an e-licence meets what needs no upload."""
    demo.section("She applies; the bureau handles her case")
    case = await apply(
        demo,
        guide,
        applicant=citizen,
        who=citizen.headers,
        channel="mobile",
        licenses=licenses,
    )
    used = [material["code"] for material in case["materials"] if material["kind"] == "license"]
    demo.check("materials that an e-licence meets", used, expected=sorted(licenses))
    demo.say(f"   case {case['number']}, the bureau has until {case['due_on']} to accept it")
    await _try_to_deliver(demo, case)
    case = await _correct_and_accept(demo, case, citizen=citizen, guide=guide, licenses=licenses)
    case = await _review_and_decide(demo, case)
    delivery = await demo.sign_in("delivery")
    case = await act(demo, case, who=delivery, path="delivery", body={"method": "window"})
    demo.check("delivered by a third person", case["state"], expected="closed")
    await _follow(demo, case, citizen=citizen)
    return case


async def _try_to_deliver(demo: DemoContext, case: Case) -> None:
    delivery = await demo.sign_in("delivery")
    body = {"method": "window"}
    refused = await try_act(demo, case, who=delivery, path="delivery", body=body)
    allowed = ", ".join(refused["allowed"])
    demo.say(f"   delivering now is refused: {refused['detail']}; allowed: {allowed}")
    demo.confirm("the refusal names what is allowed", "accept" in refused["allowed"])


async def _correct_and_accept(
    demo: DemoContext,
    case: Case,
    *,
    citizen: Citizen,
    guide: Guide,
    licenses: Mapping[str, str],
) -> Case:
    clerk = await demo.sign_in("clerk")
    gap = next(one for one in guide["materials"] if one["code"] not in licenses)
    text = f"{gap['name']['zh']}: 缺少签字"
    body: object = {"items": [{"material_code": gap["code"], "text": text}]}
    case = await act(demo, case, who=clerk, path="correction-requests", body=body)
    demo.say(f"   the clerk asks once for all that is missing: {case['missing'][0]['text']}")
    upload_id = await _upload(demo, citizen.headers)
    body = {"materials": [{"code": gap["code"], "upload_id": upload_id}]}
    case = await act(demo, case, who=citizen.headers, path="corrections", body=body)
    case = await act(demo, case, who=clerk, path="acceptance")
    demo.say(f"   accepted; promised by {case['due_on']}, by law {case['legal_due_on']}")
    return case


async def _review_and_decide(demo: DemoContext, case: Case) -> Case:
    opinion, granted = {"opinion": "agree", "text": "符合条件"}, {"result": "0"}
    first, second = await demo.sign_in("approver1"), await demo.sign_in("approver2")
    leader = await demo.sign_in("leader")
    case = await act(demo, case, who=first, path="reviews", body=opinion)
    early = await try_act(demo, case, who=leader, path="decision", body=granted)
    demo.say(f"   the leader cannot decide yet: {early['detail']}")
    case = await act(demo, case, who=second, path="reviews", body=opinion)
    case = await act(demo, case, who=leader, path="decision", body=granted)
    found = (case["state"], case["result"])
    demo.check("decided (0 = granted)", found, expected=("decided", "0"))
    return case


async def _follow(demo: DemoContext, case: Case, *, citizen: Citizen) -> None:
    body = {"number": case["number"], "phone_last4": citizen.phone[-4:]}
    tracked = (await demo.post("/cases/tracking", json=body)).json()
    demo.check("followed with number and last four digits", tracked["state"], expected="closed")
    path = f"/cases/files/{case['id']}/timeline"
    steps: list[CaseStep] = (await demo.get(path, who=citizen.headers)).json()
    demo.say("   her timeline: " + " → ".join(step["act"] for step in steps))


async def apply_at_window(demo: DemoContext, guide: Guide, *, visitor: Citizen) -> Case:
    """一窗受理: a clerk applies on behalf of somebody who came in person."""
    demo.section("An old man comes to the window; the clerk applies for him")
    clerk = await demo.sign_in("clerk")
    case = await apply(demo, guide, applicant=visitor, who=clerk, channel="window")
    shown = f"{case['applicant_name']}, {case['applicant_id_number']}"
    demo.say(f"   case {case['number']}; the clerk sees {shown}")
    demo.confirm("what the clerk sees is masked", visitor.id_number not in str(case))
    return await act(demo, case, who=clerk, path="acceptance")


async def push(demo: DemoContext, system: PeerSystem) -> None:
    """办件推送: finished cases of the bureau's system as a signed batch, three of them faulty."""
    demo.section("The bureau's own system pushes 1,000 finished cases as a signed batch")
    records = _finished_cases(demo)
    batch, receipt = await system.send_batch("cases", name="push", records=records)
    final, exact = await system.final_receipt(batch)
    right = PUSHED_CASES - len(FAULTY_ROWS)
    demo.check("landed", final["accepted"], expected=right)
    for reject in final["rejects"]:
        for fault in reject["faults"]:
            demo.say(f"   row {reject['row']} came back: {fault['field']}: {fault['message']}")
    rejected = [reject["row"] for reject in final["rejects"]]
    demo.check("rows that came back", rejected, expected=FAULTY_ROWS)
    again, repeated = await system.send_batch("cases", name="push", records=records)
    _, exact_again = await system.final_receipt(again)
    same = (repeated, exact_again) == (receipt, exact)
    demo.confirm("sent again, both receipts byte for byte", same)
    # Under another batch number the platform has to look at every record again.
    anew, _ = await system.send_batch("cases", name="push-anew", records=records)
    final, _ = await system.final_receipt(anew)
    found = (final["accepted"], final["unchanged"])
    demo.check("as a new batch, nothing changes", found, expected=(0, right))


def _finished_cases(demo: DemoContext) -> list[Record]:
    """The records of the push; each of the faulty rows breaks another rule."""
    today = clock.local_date(clock.now())
    records = [_finished_case(demo, n, today=today) for n in range(1, PUSHED_CASES + 1)]
    unknown_type, without_result, from_tomorrow = (records[row - 1] for row in FAULTY_ROWS)
    unknown_type["matter_type"] = "99"
    without_result["result"] = None
    from_tomorrow["received_on"] = (today + timedelta(days=1)).isoformat()
    return records


def _finished_case(demo: DemoContext, number: int, *, today: date) -> Record:
    return {
        "source_number": f"{demo.run_id}-{number:04d}",
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


async def let_deadlines_pass(demo: DemoContext, case: Case) -> None:
    """红黄灯: time passes over a case that nobody touches. It is set, not waited for."""
    demo.section("Nobody touches the old man's case; the clocks go on")
    calendar = seed_calendar()
    due, legal_due = date.fromisoformat(case["due_on"]), date.fromisoformat(case["legal_due_on"])
    days = (
        (_working_day_before(due, calendar), "yellow"),
        (calendar.add_working_days(due, 1), "red"),
        (calendar.add_working_days(legal_due, 1), "deep_red"),
    )
    administrator = await demo.sign_in("administrator")
    for day, level in days:
        as_of = datetime.combine(day, time(10), tzinfo=clock.SHANGHAI).isoformat()
        body = {"as_of": as_of}
        _ = await demo.post("/cases/development/timer-runs", who=administrator, json=body)
        lights = await _lights(demo, case)
        demo.confirm(f"as of {day} its light is {level}", level in lights)
    light = (await _lights(demo, case))["deep_red"]
    answer = await demo.post(
        f"/cases/lights/{light['id']}/answer",
        who=await demo.sign_in("clerk"),
        headers=if_match(light["revision"]),
        json={"text": "材料核验延误, 今日办结"},
    )
    answered: Light = answer.json()
    cleared = answered["cleared_at"] is not None
    demo.confirm("the department answers and the light goes out", cleared)


def _working_day_before(day: date, calendar: WorkCalendar) -> date:
    before = day - timedelta(days=1)
    while calendar.working_days_between(before, end=day) < 1:
        before -= timedelta(days=1)
    return before


async def _lights(demo: DemoContext, case: Case) -> dict[str, Light]:
    """The lights of one case that are on, by level, as supervision sees them."""
    supervisor = await demo.sign_in("supervisor")
    found: dict[str, Light] = {}
    query: dict[str, str | int | bool] = {"open": True, "limit": 200}
    while True:
        answer = await demo.get("/cases/lights", who=supervisor, params=query)
        page: Page[Light] = answer.json()
        for light in page["items"]:
            if light["case_id"] == case["id"]:
                found[light["level"]] = light
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


Cell = tuple[str, str, str]
"""Area, department, measure."""


async def live_figures(demo: DemoContext, day: date) -> Counter[Cell]:
    """The live figures of a day."""
    supervisor = await demo.sign_in("supervisor")
    path = f"/assessment/daily-reports/{day}"
    answer = await demo.get(path, who=supervisor, params={"live": True})
    report: DailyReport = answer.json()
    figures: Counter[Cell] = Counter()
    for row in report["departments"]:
        for measure, number in row["figures"].items():
            if number:
                figures[row["area_code"], row["department_code"], measure] = number
    return figures
