"""Stored facts of every type are still read by each service, and leave the platform unchanged."""

from pathlib import Path
from typing import Any

import orjson

from tests.golden import inputs
from tests.golden.normalise import fixed
from tests.golden.recorder import CITY, DEPARTMENT, Golden

OUTSIDE = "cn.gov.lhasa"


async def test_event_log(golden: Golden) -> None:
    """What exchange makes of them for the outside: the bytes that are pulled or sent."""
    exchange = await golden.service("exchange", development=True)
    # Made from docstrings, which may be reworded.
    golden.normaliser.random |= {"description"}
    schemas = await exchange.get("schemas")
    types = [one["type"] for one in schemas.json["items"]]
    peer = {
        "code": "fangguan",
        "name": "房管系统",
        "kind": "bureau",
        "account_id": fixed(200),
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "event_types": types,
    }
    _ = await exchange.post("peers", golden.as_.administrator(), body=peer, key="log-1")
    system = golden.as_.system("exchange:events")
    wanted = {"name": "全部", "mode": "pull", "event_types": types, "after": 0}
    made = await exchange.post("subscriptions", system, body=wanted, key="log-2")
    await exchange.take(*inputs.stored_events())
    _ = await exchange.get("events", system, subscription=made.json["id"], limit=200)
    await exchange.dump("logged_event", "ledger", "batch", "record_count")
    golden.check()


async def test_consumers(golden: Golden, tmp_path: Path) -> None:
    """What the other services keep of them. A fact that cannot be read would be set aside here."""
    settings: dict[str, dict[str, Any]] = {
        "cases": {"storage_url": str(tmp_path / "uploads")},
        "licenses": {},
        "matters": {},
        "ratings": {},
    }
    kept = {
        "cases": ("matter_copy", "bundle_copy", "license_copy"),
        "licenses": ("license", "license_use", "license_counting", "account_link"),
        "matters": ("supervision_record",),
        "ratings": ("invitation", "calendar_day"),
    }
    golden.draw_in_turn()
    golden.normaliser.random |= {"kid", "token_hash", "identifier", "digest"}
    for service, values in settings.items():
        golden.section(service)
        played = await golden.service(service, **values)
        await played.take(*inputs.stored_events())
        await played.dump(*kept[service])
    golden.check()


def test_every_stored_type_is_there() -> None:
    """The file of stored facts is input: nobody thins it out."""
    types = {orjson.loads(event.payload)["type"] for event in inputs.stored_events()}

    assert len(types) >= 60
