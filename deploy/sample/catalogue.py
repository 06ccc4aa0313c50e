"""The sample: areas, departments, and matters with guides, made from the tables beside this file."""

from functools import cache

from deploy.sample import reading, tables
from deploy.sample.tables import Document, Matter, Paper
from shared.domain.codes import uscc_check_character

AREAS = tables.areas()
BUREAUS = tables.bureaus()
CITY = next(iter(AREAS))


def department_code(area: str, *, bureau: str) -> str:
    """A unified social credit code with its check character and a made-up organisation number."""
    number = f"11{area[:6]}MB0Q{list(BUREAUS).index(bureau):02d}{area[4:6]}0"
    return number + uscc_check_character(number)


def bureaus_of(area: str) -> list[str]:
    """The bureaus that an area has; the city has all."""
    if area == CITY:
        return list(BUREAUS)
    return [key for key, bureau in BUREAUS.items() if bureau.get("counties")]


@cache
def license_type_codes() -> dict[str, str]:
    """证照类型代码 by the name of the paper.

    A code is that of the city's bureau that defines the type, and three digits.
    """
    codes: dict[str, str] = {}
    for name, paper in tables.license_types()["types"].items():
        codes[name] = department_code(CITY, bureau=paper["bureau"]) + paper["number"]
    return codes


def license_types() -> dict[str, Document]:
    """Every licence type by its code, as `PUT /licenses/types/{code}` takes it."""
    fields = tables.license_types()["fields"]
    documents: dict[str, Document] = {}
    for name, paper in tables.license_types()["types"].items():
        issuers = _issuers(paper)
        document = reading.license_type(name, paper, fields=fields, issuers=issuers)
        documents[license_type_codes()[name]] = document
    return documents


def _issuers(paper: Paper) -> list[dict[str, str]]:
    """The bureaus that issue a paper, of the city first and of every area that has them."""
    issuers: list[dict[str, str]] = []
    for bureau in (paper["bureau"], *paper.get("also", "").split()):
        for area in AREAS:
            if bureau in bureaus_of(area):
                name = AREAS[area]["zh"] + BUREAUS[bureau]["zh"]
                issuers.append({"name": name, "code": department_code(area, bureau=bureau)})
    return issuers


def directory() -> Document:
    """Areas and departments as `PUT /matters/directory` takes them."""
    areas: list[Document] = []
    departments: list[Document] = []
    for code, area in AREAS.items():
        areas.append({"code": code, "name": {"zh": area["zh"], "bo": area["bo"]}})
        departments += [_department(code, bureau=bureau) for bureau in bureaus_of(code)]
    return {"areas": areas, "departments": departments}


def _department(area: str, *, bureau: str) -> Document:
    tibetan = BUREAUS[bureau].get("bo")
    if tibetan is not None:
        # The name of the area ends with a sign that may stand only at the end of the whole name.
        tibetan = AREAS[area]["bo"].rstrip("།") + tibetan
    name = {"zh": AREAS[area]["zh"] + BUREAUS[bureau]["zh"], "bo": tibetan}
    return {"area_code": area, "code": department_code(area, bureau=bureau), "name": name}


def documents() -> list[Document]:
    """Every matter of every area, as matter documents."""
    found: list[Document] = []
    for area in AREAS:
        for bureau in bureaus_of(area):
            for number, entry in tables.matters(bureau).items():
                if area == CITY or entry.get("counties"):
                    found.append(_document(area, bureau=bureau, number=number, entry=entry))
    return found


def city_document(matter: str) -> Document:
    """The document of one of the city's matters, named as `bureau/number`."""
    bureau, number = matter.split("/")
    return _document(CITY, bureau=bureau, number=number, entry=tables.matters(bureau)[number])


def code_of(matter: str) -> str:
    """The implementing code of one of the city's matters, named as `bureau/number`."""
    bureau, number = matter.split("/")
    entry = tables.matters(bureau)[number]
    return _implementing_code(
        CITY, bureau=bureau, basic=_basic_code(bureau, number=number, entry=entry)
    )


def _basic_code(bureau: str, *, number: str, entry: Matter) -> str:
    """基本编码 of a matter."""
    return f"54{reading.KINDS[entry['kind']]}{BUREAUS[bureau]['code']}{number}000"


def _level(area: str) -> str:
    """行使层级: 3 is a city, 4 a district or county."""
    return "3" if area == CITY else "4"


def _implementing_code(area: str, *, bureau: str, basic: str) -> str:
    """实施编码 of a matter."""
    return department_code(area, bureau=bureau) + _level(area) + basic


def _document(area: str, *, bureau: str, number: str, entry: Matter) -> Document:
    basic = _basic_code(bureau, number=number, entry=entry)
    code = _implementing_code(area, bureau=bureau, basic=basic)
    papers, type_codes = tables.license_types()["types"], license_type_codes()
    phone = list(BUREAUS).index(bureau)
    hall = {
        "name": f"{AREAS[area]['zh']}政务服务中心",
        "address": AREAS[area]["hall"],
        "window": BUREAUS[bureau]["window"],
        "hours": "09:30-13:00, 15:30-18:00",
    }
    return {
        **reading.matter(entry, papers, type_codes=type_codes),
        "code": code,
        "catalog_code": basic,
        "catalog_entry": reading.catalog_entry(basic, entry),
        "handling_items": list(reading.handling_items(entry.get("items", ""), code=code)),
        "area_code": area,
        "department_code": department_code(area, bureau=bureau),
        "level": _level(area),
        "places": [hall],
        "consult_phone": f"0891-6{area[3:6]}{phone:03d}",
        "complaint_phone": "12345",
    }
