"""Nothing of Lhasa stands in the code: another real city runs from its own file alone."""

import subprocess
import sys
from datetime import date, time
from pathlib import Path

import pytest

from deploy.processes import SERVICES
from gateway.main import create_gateway
from gateway.settings import Settings as GatewaySettings
from services.exchange.events.views import city_of
from services.exchange.settings import OutsideSettings
from shared.city import SAMPLE, read_city
from shared.domain.workdays import due_moment
from shared.settings import load
from shared.texts import choose_language
from tests.conftest import ClientFactory, Databases, TokenFactory, once, service_settings

ROOT = Path(__file__).resolve().parents[2]
SHIGATSE = """\
code = "540200000000"
name = "shigatse"
languages = ["zh", "en"]
domains = ["rikaze.gov.cn"]

[names]
zh = "日喀则市"
en = "Shigatse"

[hours]
opens = "10:00"
closes = "19:00"

[calendar]
issuers = ["国务院办公厅", "西藏自治区人民政府办公厅"]
seed = "calendar.csv"
"""


@pytest.fixture
def shigatse(tmp_path: Path) -> Path:
    """日喀则: other code, hours and languages, and a calendar of one day."""
    file = tmp_path / "city.toml"
    _ = file.write_text(SHIGATSE, encoding="utf-8")
    _ = (tmp_path / "calendar.csv").write_text("date,is_working,note\n2026-10-01,0,national\n")
    return file


async def test_report_is_published_by_the_supervisors_of_its_own_city(
    client_of: ClientFactory, token: TokenFactory, shigatse: Path
) -> None:
    client = await client_of("assessment", city_file=shigatse)
    path = "/api/v1/assessment/daily-reports/2026-11-01/publication"

    answers: dict[str, int] = {}
    for area in ("540100000000", "540200000000"):
        supervisor = token(kind="staff", roles=["supervisor"], area=area)
        answers[area] = (await client.post(path, headers=once(supervisor))).status_code

    assert answers == {"540100000000": 403, "540200000000": 201}


async def test_it_answers_in_its_own_languages_alone(
    client_of: ClientFactory, shigatse: Path
) -> None:
    tibetan = {"Accept-Language": "bo"}
    lhasa = await client_of("matters", show_unreviewed_texts=True)
    client = await client_of("matters", city_file=shigatse, show_unreviewed_texts=True)

    there = await lhasa.get("/api/v1/matters/nothing-here", headers=tibetan)
    here = await client.get("/api/v1/matters/nothing-here", headers=tibetan)

    assert there.headers["content-language"] == "bo"
    assert here.headers["content-language"] == "zh"
    assert choose_language("bo, en;q=0.5", read_city(shigatse).languages) == "en"


def test_events_carry_its_name_and_code(shigatse: Path) -> None:
    settings = OutsideSettings(city_file=shigatse, public_url="https://zw.rikaze.gov.cn")

    city = city_of(settings)

    assert (city.code, city.name) == ("540200000000", "shigatse")


def test_day_of_a_deadline_ends_when_its_offices_close(shigatse: Path) -> None:
    hours = read_city(shigatse).hours

    assert due_moment(date(2026, 3, 2), hours.closes).isoformat() == "2026-03-02T19:00:00+08:00"
    assert read_city(SAMPLE).hours.closes == time(18, 30)


async def test_new_database_begins_with_its_calendar(databases: Databases, shigatse: Path) -> None:
    import asyncpg

    name, url = await databases.empty()
    environment = {"CASES_DATABASE_URL": url, "CASES_CITY_FILE": str(shigatse)}
    command = [sys.executable, "-m", "shared.database.migrations", "upgrade", "cases"]

    def migrate(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=environment, cwd=ROOT, check=False, capture_output=True, text=True
        )

    nameless = migrate({"CASES_DATABASE_URL": url})
    done = migrate(environment)
    connection = await asyncpg.connect(url)
    days = await connection.fetch("SELECT day, is_working FROM calendar_day")
    await connection.close()
    await databases.drop(name)

    assert nameless.returncode != 0
    assert "CITY_FILE" in nameless.stderr
    assert done.returncode == 0, done.stderr
    assert [tuple(row) for row in days] == [(date(2026, 10, 1), False)]


async def test_gateway_tells_which_city_it_is(shigatse: Path) -> None:
    import httpx

    settings = GatewaySettings(
        jwks_url="http://127.0.0.1:1/",
        revocations_url="http://127.0.0.1:1/",
        city_file=shigatse,
        public_url="https://rikaze.gov.cn",
    )
    transport = httpx.ASGITransport(app=create_gateway(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        told = (await client.get("/city.json")).json()

    assert told["code"] == "540200000000"
    assert told["hours"] == {"opens": "10:00:00", "closes": "19:00:00"}
    assert told["languages"] == ["zh", "en"]
    assert told["calendar"] == {"issuers": ["国务院办公厅", "西藏自治区人民政府办公厅"]}


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        (('"540200000000"', '"5402"'), "code"),
        (('closes = "19:00"', 'closes = "09:00"'), "opens must be before closes"),
        (('"zh", "en"', '"en"'), "Chinese"),
        (('"zh", "en"', '"zh", "fr"'), "languages"),
        (("domains", "domain"), "domain"),
        (("calendar.csv", "nothing.csv"), "there is no file"),
        (('code = "', "code = "), "city.toml"),
    ],
)
def test_faults_of_the_file_are_named_at_start(
    shigatse: Path,
    changed: tuple[str, str],
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _ = shigatse.write_text(SHIGATSE.replace(*changed), encoding="utf-8")
    monkeypatch.setenv("EXCHANGE_CITY_FILE", str(shigatse))
    monkeypatch.setenv("EXCHANGE_PUBLIC_URL", "https://rikaze.gov.cn")

    with pytest.raises(SystemExit):
        _ = load(OutsideSettings)

    assert word in capsys.readouterr().err


@pytest.mark.parametrize("service", SERVICES)
def test_city_is_required_outside_development(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"{service.upper()}_CITY_FILE")

    with pytest.raises(ValueError, match="city_file is required outside development"):
        _ = service_settings(service, "postgresql://x/y")

    assert service_settings(service, "postgresql://x/y", development=True).city.name == "lhasa"


def test_public_address_is_of_the_citys_domains(shigatse: Path) -> None:
    for url in ("https://rikaze.gov.cn", "https://zw.rikaze.gov.cn:8443/x"):
        assert OutsideSettings(city_file=shigatse, public_url=url).public_url == url
    for url in ("https://lhasa.gov.cn", "https://evilrikaze.gov.cn"):
        with pytest.raises(ValueError, match="none of the domains"):
            _ = OutsideSettings(city_file=shigatse, public_url=url)


def test_no_code_knows_a_city() -> None:
    """A new place where a city is written into the code would be noticed here."""
    found: list[str] = []
    for folder in ("services", "shared", "gateway"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations/versions" in path.as_posix():
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if any(word in line for word in ("540100", "18:30", "Lhasa", "0891", "lhasa.gov")):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")

    assert [line for line in found if "Nothing of Lhasa" not in line] == []
