"""The sample: areas, departments, and matters with guides, made from the tables beside this file (see README.md)."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from deploy.sample import reading
from shared.domain.codes import uscc_check_character

HERE = Path(__file__).parent
Table = dict[str, dict[str, Any]]


@cache
def table(name: str) -> Table:
    """One of the TOML files."""
    return tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))


AREAS = table("areas")
BUREAUS = table("bureaus")
CITY = next(iter(AREAS))


def department_code(area: str, bureau: str) -> str:
    """A unified social credit code with the right check character and a made-up organisation number."""
    number = f"11{area[:6]}MB0Q{list(BUREAUS).index(bureau):02d}{area[4:6]}0"
    return number + uscc_check_character(number)


def bureaus_of(area: str) -> list[str]:
    """The bureaus that an area has."""
    return [key for key, bureau in BUREAUS.items() if area == CITY or bureau.get("counties")]


def type_code(paper: dict[str, Any]) -> str:
    """证照类型代码 of a paper: the code of the city's bureau that defines it, and three digits."""
    return department_code(CITY, paper["bureau"]) + paper["number"]


@cache
def papers() -> Table:
    """Papers that government issues by their names, each with the `code` of its licence type."""
    return {
        name: {**paper, "code": type_code(paper)}
        for name, paper in table("license_types")["types"].items()
    }


def license_types() -> dict[str, dict[str, Any]]:
    """Every licence type by its code, as `PUT /licenses/types/{code}` takes it."""
    fields = table("license_types")["fields"]
    return {
        paper["code"]: reading.license_type(name, paper, fields, _issuers(paper))
        for name, paper in papers().items()
    }


def _issuers(paper: dict[str, Any]) -> list[dict[str, str]]:
    """The bureau of the city, and those of the districts and counties that have one; so too of the other bureaus."""
    return [
        {"name": AREAS[area]["zh"] + BUREAUS[bureau]["zh"], "code": department_code(area, bureau)}
        for bureau in (paper["bureau"], *paper.get("also", "").split())
        for area in AREAS
        if bureau in bureaus_of(area)
    ]


def directory() -> dict[str, Any]:
    """Areas and departments as `PUT /matters/directory` takes them."""
    areas = [
        {"code": code, "name": {"zh": area["zh"], "bo": area["bo"]}} for code, area in AREAS.items()
    ]
    departments = [_department(area, bureau) for area in AREAS for bureau in bureaus_of(area)]
    return {"areas": areas, "departments": departments}


def _department(area: str, bureau: str) -> dict[str, Any]:
    zh, bo = (AREAS[area]["zh"] + BUREAUS[bureau]["zh"], BUREAUS[bureau].get("bo"))
    tibetan = AREAS[area]["bo"].rstrip("།") + bo if bo else None
    return {
        "area_code": area,
        "code": department_code(area, bureau),
        "name": {"zh": zh, "bo": tibetan},
    }


def documents() -> list[dict[str, Any]]:
    """Every matter of every area, as matter documents."""
    return [
        _document(area, bureau, number, entry)
        for area in AREAS
        for bureau in bureaus_of(area)
        for number, entry in table(f"matters/{bureau}").items()
        if area == CITY or entry.get("counties")
    ]


def code_of(matter: str) -> str:
    """The implementing code of one of the city's matters, named as `bureau/number`."""
    bureau, number = matter.split("/")
    return _codes(CITY, bureau, number, table(f"matters/{bureau}")[number])[1]


def _codes(area: str, bureau: str, number: str, entry: dict[str, Any]) -> tuple[str, str]:
    """Basic code and implementing code of a matter."""
    basic = f"54{reading.KINDS[entry['kind']]}{BUREAUS[bureau]['code']}{number}000"
    return basic, department_code(area, bureau) + ("3" if area == CITY else "4") + basic


def _document(area: str, bureau: str, number: str, entry: dict[str, Any]) -> dict[str, Any]:
    unit, level = department_code(area, bureau), "3" if area == CITY else "4"
    text = reading.matter(entry, papers())
    basic, code = _codes(area, bureau, number, entry)
    place, phone = AREAS[area], list(BUREAUS).index(bureau)
    return {
        **text,
        "code": code,
        "catalog_code": basic,
        "catalog_entry": reading.catalog_entry(basic, text, counties=entry.get("counties", False)),
        "handling_items": list(reading.handling_items(entry.get("items", ""), code)),
        "area_code": area,
        "department_code": unit,
        "level": level,
        "places": [
            {
                "name": f"{place['zh']}政务服务中心",
                "address": place["hall"],
                "window": BUREAUS[bureau]["window"],
                "hours": "09:30-13:00, 15:30-18:00",
            }
        ],
        "consult_phone": f"0891-6{area[3:6]}{phone:03d}",
        "complaint_phone": "12345",
    }
