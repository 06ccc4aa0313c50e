"""`make run` as its user meets it.

A new directory, the first data, a hard kill, and the same data again.
"""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from deploy.embedded import INTERNAL_PORT_OFFSET, cli
from deploy.postgres import EmbeddedPostgres, free_port
from deploy.sample import accounts, catalogue
from services.identity import security
from services.matters.consistency import find_breaches
from shared import clock
from shared.database import migrations
from shared.database.schema import CONTRACT
from shared.domain import codes
from shared.domain.guides import (
    KINDS,
    MatterDocument,
    PersonalGuide,
    check_question_tree,
    online_level,
    personal_guide,
)


def test_sample_keeps_every_rule() -> None:
    documents = [MatterDocument.model_validate(document) for document in catalogue.documents()]

    broken = [
        b
        for d in documents
        for b in find_breaches(d, warnings=frozenset({"tibetan_name"}))
        if not b.warning
    ]

    assert broken == []
    assert [fault for d in documents for fault in check_question_tree(d)] == []
    assert len({d.code for d in documents}) == len(documents)
    assert {d.area_code for d in documents} == set(catalogue.AREAS)
    assert len({d.department_code for d in documents if d.area_code == catalogue.CITY}) >= 25
    assert len({d.name.zh for d in documents}) >= 200
    assert {d.type for d in documents} == {
        *codes.APPLICATION_TYPES,
        codes.MatterType.PUBLIC_SERVICE,
    }


def test_sample_has_handling_items_and_catalogue_entries() -> None:
    documents = [MatterDocument.model_validate(document) for document in catalogue.documents()]

    items = {
        d.name.zh: [item.name.zh for item in d.handling_items]
        for d in documents
        if d.handling_items
    }

    assert set(items) == {"我要开茶馆", "我要开商店", "我要开旅馆", "我要开餐馆"}
    assert items["我要开茶馆"] == ["首次申请", "变更", "延续", "补发", "注销"]
    assert all(d.catalog_entry for d in documents if d.basis)


def test_sample_depth_is_near_the_report() -> None:
    documents = [MatterDocument.model_validate(document) for document in catalogue.documents()]
    levels = [
        online_level(d.stages, d.visits) for d in documents if d.type in codes.APPLICATION_TYPES
    ]

    assert sum(level >= 3 for level in levels) / len(levels) == pytest.approx(0.88, abs=0.02)
    assert sum(level == 4 for level in levels) / len(levels) == pytest.approx(0.34, abs=0.02)


def test_every_answer_of_a_sample_tree_leads_to_a_guide_and_the_answers_differ() -> None:
    trees = {
        d.name.zh: d
        for d in map(MatterDocument.model_validate, catalogue.documents())
        if d.questions
    }

    guides = {
        name: [guide_of(document, answers) for answers in paths(document)]
        for name, document in trees.items()
    }

    assert len(trees) >= 12
    assert {"我要开茶馆", "我要开商店", "我要开旅馆", "我要开餐馆"} <= set(trees)
    for name, document in trees.items():
        assert 2 <= len(document.questions) <= 4, name
        assert len({content(guide) for guide in guides[name]}) > 1, name
        for kind in KINDS:
            shown = {part.code for guide in guides[name] for part in getattr(guide, kind)}
            assert shown == {part.code for part in getattr(document, kind)}, (name, kind)


def paths(document: MatterDocument, code: str | None = "Q1") -> list[dict[str, str]]:
    """Every way through the questions from `code` on."""
    if code is None:
        return [{}]
    question = next(question for question in document.questions if question.code == code)
    return [{code: o.code, **rest} for o in question.options for rest in paths(document, o.next)]


def guide_of(document: MatterDocument, answers: dict[str, str]) -> PersonalGuide:
    return personal_guide(document, answers, matter_id=UUID(int=1), version=1)


def content(guide: PersonalGuide) -> str:
    return guide.model_dump_json(exclude={"answers", "digest"})


@contextlib.asynccontextmanager
async def started(data: Path, port: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    """`make run` in a process group of its own, as a terminal gives it one.

    It is ended with the block.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.embedded",
        "--data",
        str(data),
        "--port",
        str(port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                _ = await process.communicate()


async def said(process: asyncio.subprocess.Process, words: str, seconds: float = 120) -> None:
    """Return when a line with these words came."""
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(seconds):
        while words.encode() not in (line := await process.stdout.readline()):
            assert line, (await process.stderr.read()).decode()


def press_ctrl_c(process: asyncio.subprocess.Process) -> None:
    """The terminal sends SIGINT to every process of the group."""
    os.killpg(process.pid, signal.SIGINT)


@contextlib.asynccontextmanager
async def running(data: Path, port: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    async with started(data, port) as process:
        await said(process, "Tongban runs on", 60)
        yield process


async def administrator(client: httpx.AsyncClient, data: Path) -> dict[str, str]:
    account = accounts.read(data / "embedded/accounts.json")["administrator"]
    code = security.totp(account["totp_secret"], int(time.time()) // 30 + 1)
    body = {"username": account["username"], "password": account["initial_password"], "totp": code}
    answer = await client.post("/identity/sessions/password", json=body)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def report(
    client: httpx.AsyncClient, headers: dict[str, str], published: int
) -> dict[str, Any]:
    """Today's live figures once they hold that many published matters."""
    async with asyncio.timeout(20):
        while True:
            day = clock.local_date(clock.now())
            found = (await client.get(f"/assessment/daily-reports/{day}", headers=headers)).json()
            if found["totals"]["matters_published"] >= published:
                return found
            await asyncio.sleep(0.1)


CASE_MEASURES = (
    "cases_submitted",
    "cases_received",
    "cases_accepted",
    "cases_decided",
    "cases_closed",
    "results_delivered",
)


async def decided_case(
    client: httpx.AsyncClient,
    headers: dict[str, str],
    citizen: dict[str, str],
    refresh: str,
    guide: dict[str, Any],
) -> tuple[dict[str, str], dict[str, Any]]:
    """A case through the gateway.

    She proves her name and applies with uploads, and five officers bring the case to delivery.
    """
    card = {"name": "卓玛央金", "id_number": "540102199001010011", "id_valid_until": "2036-01-01"}
    _ = (
        await client.post("/identity/verifications", json=card, headers=citizen)
    ).raise_for_status()
    tokens = (
        await client.post("/identity/sessions/refresh", json={"refresh_token": refresh})
    ).json()
    citizen = {"Authorization": f"Bearer {tokens['access_token']}"}
    upload = (
        (await client.post("/cases/uploads", content=b"%PDF-1.7", headers=citizen))
        .raise_for_status()
        .json()
    )
    body = {
        "matter_id": guide["matter_id"],
        "matter_version": guide["version"],
        "answers": guide["answers"],
        "guide_digest": guide["digest"],
        "applicant": {"name": "卓玛央金", "id_number": card["id_number"], "phone": "13989001234"},
        "materials": [{"code": m["code"], "upload_id": upload["id"]} for m in guide["materials"]],
        "channel": "mobile",
    }
    keyed = {**citizen, "Idempotency-Key": "first"}
    async with asyncio.timeout(20):
        # The publication travels to cases as an event; until it is there the matter is not found.
        while (
            applied := await client.post("/cases/applications", json=body, headers=keyed)
        ).status_code == 404:
            await asyncio.sleep(0.1)
    assert applied.status_code == 201, applied.text
    case = applied.json()
    for role, path, command in (
        ("window_clerk", "acceptance", None),
        ("approver", "reviews", {"opinion": "agree", "text": "符合条件"}),
        ("approver", "reviews", {"opinion": "agree", "text": "符合条件"}),
        ("leader", "decision", {"result": "0"}),
        ("delivery", "delivery", {"method": "window"}),
    ):
        officer = await an_officer(client, headers, role, case)
        acted = {**officer, "If-Match": f'"{case["revision"]}"'}
        answer = await client.post(f"/cases/files/{case['id']}/{path}", json=command, headers=acted)
        assert answer.status_code == 200, answer.text
        case = answer.json()
    return citizen, case


async def an_officer(
    client: httpx.AsyncClient, headers: dict[str, str], role: str, case: dict[str, Any]
) -> dict[str, str]:
    """A new staff member of the case's department, signed in."""
    place = {"area_code": case["area_code"], "department_code": case["department_code"]}
    body = {"username": f"{role}.{case['revision']}", "name": "某某", "roles": [role], **place}
    once = {**headers, "Idempotency-Key": body["username"]}
    staff = (
        (await client.post("/identity/staff", json=body, headers=once)).raise_for_status().json()
    )
    code = security.totp(staff["totp_secret"], int(time.time()) // 30)
    sign_in = {"username": staff["username"], "password": staff["initial_password"], "totp": code}
    tokens = (
        (await client.post("/identity/sessions/password", json=sign_in)).raise_for_status().json()
    )
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def closed(client: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, int]:
    """Today's totals once the delivered case is counted."""
    async with asyncio.timeout(20):
        while True:
            day = clock.local_date(clock.now())
            totals = (await client.get(f"/assessment/daily-reports/{day}", headers=headers)).json()[
                "totals"
            ]
            if totals["results_delivered"]:
                return totals
            await asyncio.sleep(0.1)


async def test_first_contact_and_a_hard_kill(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1"
    expected = len(catalogue.documents())
    async with (
        running(tmp_path, port) as process,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        headers = await administrator(client, tmp_path)
        found = (
            await client.get("/matters/catalogue", params={"q": "茶馆", "area": catalogue.CITY})
        ).json()["items"]
        answers = {"Q1": "rent", "Q2": "no", "Q3": "no"}
        guide = await client.post(
            "/matters/personal-guides", json={"matter_id": found[0]["id"], "answers": answers}
        )
        sent = await client.post("/identity/sms-codes", json={"phone": "13989001234"})
        messages = await client.get(
            "/identity/development/sms-messages", params={"phone": "13989001234"}, headers=headers
        )
        code = re.findall(r"[0-9]{6}", messages.text)[-1]
        tokens = (
            await client.post("/identity/sessions/sms", json={"phone": "13989001234", "code": code})
        ).json()
        citizen = {"Authorization": f"Bearer {tokens['access_token']}"}
        account = (await client.get("/identity/account", headers=citizen)).json()
        before = await report(client, headers, expected)
        citizen, case = await decided_case(
            client, headers, citizen, tokens["refresh_token"], guide.json()
        )
        counted = await closed(client, headers)
        signed_out = await client.delete("/identity/sessions/current", headers=citizen)
        async with asyncio.timeout(10):
            while (await client.get("/identity/account", headers=citizen)).status_code != 401:
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        _ = await process.wait()

    async with running(tmp_path, port), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        statistics = (await client.get("/matters/statistics")).json()
        day = clock.local_date(clock.now())
        live = await client.get(f"/assessment/daily-reports/{day}")

    assert found[0]["name"]["zh"] == "我要开茶馆"
    assert [m["name"]["zh"] for m in guide.json()["materials"]][-1] == "房屋租赁合同或产权证明"
    assert (sent.status_code, account["phone"], signed_out.status_code) == (202, "139****1234", 204)
    assert (case["state"], case["result"]) == ("closed", "0")
    assert {name: counted[name] for name in CASE_MEASURES} == dict.fromkeys(CASE_MEASURES, 1)
    assert before["totals"]["matters_published"] == statistics["published"] == expected
    assert live.status_code == 404


async def test_taken_port_is_told(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    for taken in (port, port - INTERNAL_PORT_OFFSET):
        result = CliRunner().invoke(cli, ["--data", str(tmp_path), "--port", str(taken)])
        assert result.exit_code == 1
        assert "is taken" in result.stderr
        assert f"Port {port} " in result.stderr
    server.close()

    assert list(tmp_path.iterdir()) == []


def test_data_of_a_newer_version_is_refused_with_words(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "embedded/postgres") as postgres:
        postgres.create_databases(["tongban_identity"])
        url = postgres.dsn("tongban_identity")
        asyncio.run(migrations.run_on(url, migrations.upgrade, "identity"))
        asyncio.run(migrations.run_on(url, _pretend, "identity_9999"))

    command = [
        sys.executable,
        "-m",
        "deploy.embedded",
        "--data",
        str(tmp_path),
        "--port",
        str(free_port()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert "identity is at version identity_9999, which this code does not know" in done.stderr


def _pretend(version: str, connection: sa.Connection) -> None:
    """A later release has migrated the database, and has taken something away."""
    noted = {"revision": version, "oldest_code": version, "unused_since": "9.9.9"}
    with connection.begin():
        _ = connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), noted)
        _ = connection.execute(CONTRACT, noted)


@pytest.mark.timeout(240)
async def test_ready_only_with_the_sample_and_one_run_per_folder_and_a_quick_end(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with started(tmp_path, port) as process:
        watching = asyncio.create_task(readiness(port))
        await said(process, "One-thing bundles")
        await said(process, "Tongban runs on")
        seen = await watching
        refused = [await second_run(tmp_path, other) for other in (port, free_port())]
        still_ready = await ready(port)
        _, half_sent = await asyncio.open_connection("127.0.0.1", port)
        head = (
            b"POST /api/v1/identity/sessions/password HTTP/1.1\r\n"
            b"Host: x\r\nContent-Length: 99\r\n\r\n"
        )
        half_sent.write(head + b"{")
        await half_sent.drain()
        await asyncio.sleep(0.5)

        pressed = time.monotonic()
        press_ctrl_c(process)
        rest, errors = await asyncio.wait_for(process.communicate(), 60)
        seconds = time.monotonic() - pressed
        half_sent.close()

    assert seen == [503, 200]
    for status, words in refused:
        assert status == 1
        assert words.startswith(
            f"数据目录 {tmp_path / 'embedded'} 正由另一个通办进程(进程号 {process.pid})使用"
        )
        assert f"pid {process.pid}" in words
    assert still_ready
    assert (process.returncode, errors) == (0, b"")
    told = rest.decode()
    assert "Stopping …" in told
    assert "waiting for open requests: 1" in told
    assert told.endswith("Stopping PostgreSQL …\nStopped.\n")
    assert seconds < 30


async def readiness(port: int) -> list[int]:
    """The statuses that `/readyz` answered one after the other, until the first 200."""
    seen: list[int] = []
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(120):
        while 200 not in seen:
            with contextlib.suppress(httpx.HTTPError):
                status = (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code
                if seen[-1:] != [status]:
                    seen.append(status)
            await asyncio.sleep(0.05)
    return seen


async def ready(port: int) -> bool:
    """Whether `/readyz` of the gateway and of the database of a service say so."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answers = [await client.get(path) for path in ("/readyz", "/api/v1/matters/statistics")]
    return all(answer.is_success for answer in answers)


async def second_run(data: Path, port: int) -> tuple[int | None, str]:
    """Status and words of a run that has to end at once."""
    async with started(data, port) as process:
        _, words = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, words.decode()


@pytest.mark.timeout(300)
async def test_interrupted_start_stops_cleanly_and_the_next_goes_on(tmp_path: Path) -> None:
    port = free_port()
    for words in ("Starting PostgreSQL", "Licence types"):
        async with started(tmp_path, port) as process:
            await said(process, words)
            press_ctrl_c(process)
            rest, errors = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, errors) == (0, b""), words
        assert rest.decode().endswith("Stopping PostgreSQL …\nStopped.\n")
        assert EmbeddedPostgres(tmp_path / "embedded/postgres").postmaster() is None
    async with started(tmp_path, port) as process:
        await said(process, "One-thing bundles")
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        _ = await process.communicate()

    async with running(tmp_path, port):
        made = accounts.read(tmp_path / "embedded/accounts.json")
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/api/v1", trust_env=False
        ) as client:
            _ = await accounts.sign_in(client, made["administrator"])
            bundles = (await client.get("/matters/bundles")).json()["items"]

    assert set(made) == {*accounts.STAFF, *accounts.SYSTEMS}
    assert len(bundles) == 10
