"""公开: what everybody reads, when, and what cannot be reckoned from it (docs/adr/0010)."""

import asyncio
import csv
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from itertools import combinations
from typing import Any

import pytest

from services.ratings.invitations.model.invitation import Invitation
from services.ratings.statistics import use_cases as statistics
from services.ratings.statistics.model.counts import LEAST, figures_of_rating
from services.ratings.statistics.use_cases import CountChange
from services.ratings.timers import publish_ratings
from shared import clock
from tests.builders.matters import CITY, DEPARTMENT
from tests.builders.ratings import (
    BASE,
    CALENDAR,
    CLOSING,
    RATER,
    Bureau,
    a_rating,
    an_invitation,
    at,
)
from tests.conftest import published

OTHER = "11540100MB0Q01905U"
PATH = f"{BASE}/published"


async def listed(bureau: Bureau, **params: Any) -> list[dict[str, Any]]:
    return (await bureau.get("published", **params))["items"]


def later(when: datetime, days: int) -> datetime:
    """Noon of the day so many working days after."""
    return at(f"{CALENDAR.add_working_days(clock.local_date(when), days)}")


async def test_words_are_published_five_working_days_after_the_rating(bureau: Bureau) -> None:
    when = at("2026-06-05")
    rating = await bureau.rate(when, text="窗口很耐心")

    assert await publish_ratings(bureau.client.database, later(when, 4)) == 0
    assert await publish_ratings(bureau.client.database, later(when, 5)) == 1

    [shown] = await listed(bureau)
    assert (shown["id"], shown["name"], shown["text"], shown["grade"]) == (
        str(rating.id),
        "德吉**",
        "窗口很耐心",
        5,
    )
    assert [
        one.data["grade"]
        for one in await published(bureau.client.database)
        if "published" in one.type
    ] == [5]


async def test_bad_rating_is_published_with_its_rectification_after_closing(bureau: Bureau) -> None:
    ticket = await bureau.rectified(await bureau.open())
    far = clock.now() + timedelta(days=60)
    assert await publish_ratings(bureau.client.database, far) == 0
    _ = await bureau.rerate(ticket, 4)

    assert await publish_ratings(bureau.client.database, later(clock.now(), 4)) == 0
    assert await publish_ratings(bureau.client.database, later(clock.now(), 5)) == 1

    [shown] = await listed(bureau)
    done = shown["rectification"]
    assert (done["root_cause"], done["action"], done["in_time"], done["satisfied"]) == (
        "attitude",
        CLOSING["action"],
        True,
        True,
    )


async def test_nothing_public_tells_who_it_was(bureau: Bureau) -> None:
    ticket = await bureau.rectified(await bureau.open())
    rating = await bureau.rate(clock.now(), text="很好", real_name=False)
    _ = await bureau.rerate(ticket, 4)
    await bureau.tick(clock.now() + timedelta(days=30))

    text = (await bureau.client.get(PATH)).text

    assert {one["name"] for one in await listed(bureau)} == {"德吉**", "匿名"}
    for secret in (
        *RATER.values(),
        rating.case_number,
        str(rating.case_id),
        str(rating.account_id),
        CLOSING["words"],
    ):
        assert str(secret) not in text


async def test_silent_good_rating_is_not_listed_but_counted(bureau: Bureau) -> None:
    for _ in range(LEAST):
        _ = await bureau.rate(at("2026-06-05"))
    await bureau.tick(clock.now())

    figures = await bureau.get("published/statistics", first="2026-06", last="2026-06")

    assert await listed(bureau) == []
    assert figures["total"]["rated"] == LEAST


async def test_excluded_rating_is_not_public(bureau: Bureau) -> None:
    appeal = await bureau.appeal(await bureau.open())
    _ = await bureau.review(await bureau.review(appeal))

    await bureau.tick(clock.now() + timedelta(days=60))

    assert await listed(bureau) == []


async def test_list_is_filtered_and_paged_newest_first(bureau: Bureau) -> None:
    for window, pf in (("1", "2"), ("2", "2"), ("2", "3")):
        _ = await bureau.rate(at("2026-06-05"), {"window": window}, text="好", pf=pf)
        await bureau.tick(at("2026-07-05"))

    pages = [await bureau.get("published", limit=2)]
    pages.append(await bureau.get("published", limit=2, cursor=pages[0]["next"]))

    assert [len(page["items"]) for page in pages] == [2, 1]
    assert len({item["id"] for page in pages for item in page["items"]}) == 3
    counts = [
        len(await listed(bureau, **asked))
        for asked in (
            {"area": CITY},
            {"department": DEPARTMENT, "area": CITY},
            {"department": DEPARTMENT},
            {"area": CITY, "hall": "H1", "window": "2"},
            {"channel": "3"},
            {"rated": "2026-06"},
            {"rated": "2026-07"},
            {"matter": "unknown"},
        )
    ]
    assert counts == [3, 3, 3, 2, 1, 3, 0, 0]


@pytest.mark.parametrize("path", ["", "/statistics", "/statistics.csv"])
@pytest.mark.parametrize("name", ["area", "department", "matter", "hall", "window"])
async def test_control_characters_are_no_question(bureau: Bureau, path: str, name: str) -> None:
    asked = {"area": CITY, "hall": "H1", name: "\0"}

    answer = await bureau.client.get(PATH + path, params=asked)

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (
        400,
        [name],
    )


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"hall": "H1"}, ["area"]),
        ({"window": "2"}, ["hall", "area"]),
        ({"area": CITY, "window": "2"}, ["hall"]),
        ({"department": DEPARTMENT, "hall": "H1"}, ["area"]),
    ],
)
async def test_halls_and_windows_are_listed_within_their_area(
    bureau: Bureau, asked: dict[str, str], fields: list[str]
) -> None:
    answer = await bureau.client.get(PATH, params=asked)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == fields


async def test_two_workers_publish_once(bureau: Bureau) -> None:
    for _ in range(5):
        _ = await bureau.rate(at("2026-06-05"), text="好")

    numbers = await asyncio.gather(
        *(publish_ratings(bureau.client.database, at("2026-07-05")) for _ in range(4))
    )

    assert sum(numbers) == 5


async def test_moderation_hides_words_and_never_the_grade(bureau: Bureau) -> None:
    rating = await bureau.rate(at("2026-06-05"), text="广告请加群")
    await bureau.tick(at("2026-07-05"))
    before = await bureau.get("statistics", bureau.handler)
    seen = await bureau.get(f"publications/{rating.id}", bureau.handler)
    hide = {"reason": "advertisement", "words": "含有广告内容"}

    hidden = await bureau.act(seen, "publications/{rating_id}/moderation", bureau.handler, hide)

    assert hidden.status_code == 200, hidden.text
    [shown] = await listed(bureau)
    assert (shown["text"], shown["text_withheld"], shown["grade"]) == (None, "advertisement", 5)
    assert await bureau.get("statistics", bureau.handler) == before
    again = await bureau.act(
        hidden.json(), "publications/{rating_id}/moderation", bureau.handler, hide
    )
    assert (again.status_code, again.json()["allowed"]) == (409, ["restored"])
    restore = {"reason": "restored", "words": "复核后恢复显示"}
    auditor = bureau.officer("auditor", department=OTHER)
    restored = await bureau.act(
        hidden.json(), "publications/{rating_id}/moderation", auditor, restore
    )
    assert restored.status_code == 200
    assert [one["text"] for one in await listed(bureau)] == ["广告请加群"]


@pytest.mark.parametrize(
    ("roles", "department", "status"),
    [
        ("rating_handler", OTHER, 404),
        ("window_clerk", DEPARTMENT, 403),
        ("supervisor", DEPARTMENT, 403),
    ],
)
async def test_only_the_departments_handler_and_auditors_moderate(
    bureau: Bureau, roles: str, department: str, status: int
) -> None:
    rating = await bureau.rate(clock.now(), text="好")
    command = {"reason": "insult", "words": "含有辱骂内容"}

    answer = await bureau.act(
        {"rating_id": rating.id, "revision": 1},
        "publications/{rating_id}/moderation",
        bureau.officer(roles, department=department),
        command,
    )

    assert answer.status_code == status


async def test_running_month_is_not_published(bureau: Bureau) -> None:
    month = f"{clock.local_date(clock.now()):%Y-%m}"

    answer = await bureau.client.get(f"{PATH}/statistics", params={"last": month})

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["last"]


Atom = tuple[str, str, str, str, str, str, str]
"""Area, department, month, matter, hall, window, channel."""
NAMES = ("area", "department", "month", "matter", "hall", "window", "channel")
PRIME = 2**61 - 1


@dataclass
class SeedData:
    """Ratings with many small cells: how many lie in every atom."""

    atoms: dict[Atom, int]

    @classmethod
    def random(cls, seed: int) -> "SeedData":
        """Some departments are small, some large with small parts, some large in every part."""
        dice, atoms = random.Random(seed), Counter[Atom]()
        for area, department, month in (
            (area, department, month)
            for area in "AB"
            for department in "PQR"
            for month in ("2026-08", "2026-09")
        ):
            kinds = dice.choice([(1, 3), (1, 14), (12, 25), (12, 25)])
            for _ in range(dice.randint(1, 3)):
                hall = dice.choice("xy")
                atom = (
                    area,
                    department,
                    month,
                    dice.choice("mn"),
                    hall,
                    dice.choice("12"),
                    dice.choice("23"),
                )
                atoms[atom] += dice.randint(*kinds)
        return cls(dict(atoms))

    async def store(self, bureau: Bureau) -> None:
        invitations: list[Invitation] = []
        async with bureau.client.database.transaction() as session:
            for (area, department, month, matter, hall, window, pf), number in self.atoms.items():
                when = at(f"{month}-10")
                place = {"area_code": area, "department_code": department, "matter_code": matter}
                for n in range(number):
                    invited = an_invitation(when, **place, hall=hall, window=window)
                    invitations.append(invited)
                    rating = a_rating(invited, when, pf=pf, grade=(n % 3) + 3)
                    session.add_all([invited, rating])
                    counted = CountChange(rating, Counter(), figures_of_rating(rating))
                    await statistics.count_changes(session, [counted])
            await statistics.count_invitations(session, invitations)

    def possible(self) -> list[Atom]:
        """Every atom that could hold a rating, as far as anybody knows who sees the names alone."""
        windows = sorted({atom[4:6] for atom in self.atoms})
        months = sorted({atom[:3] for atom in self.atoms})
        return [
            (*month, matter, *window, pf)
            for month in months
            for matter in "mn"
            for window in windows
            for pf in "23"
        ]

    def holds(self, atoms: Iterable[Atom]) -> int:
        return sum(self.atoms.get(atom, 0) for atom in atoms)

    def sizes(self, *names: str) -> dict[tuple[str, ...], int]:
        found = Counter[tuple[str, ...]]()
        for atom, number in self.atoms.items():
            found[tuple(atom[NAMES.index(name)] for name in names)] += number
        return dict(found)


def tables() -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Every grouping of at most two dimensions with every filter that is worth trying."""
    for month in ({}, {"first": "2026-08", "last": "2026-08"}):
        for area in ({}, {"area": "A"}):
            for department in ({}, {"department": "P"}, {"department": "Q"}):
                for part in (
                    {},
                    {"channel": "2"},
                    {"matter": "m"},
                    {"hall": "x"},
                    {"hall": "x", "window": "1"},
                ):
                    for size in range(3):
                        for names in combinations(NAMES, size):
                            yield names, {**month, **area, **department, **part}


@dataclass(frozen=True)
class Published:
    """One published number: what it is about, and how many ratings."""

    about: Mapping[str, str]
    breakdown: str
    rated: int


async def gather(bureau: Bureau) -> list[Published]:
    """Every figure that anybody can fetch, groups and totals, each asked for once."""
    found: list[Published] = []
    for names, only in tables():
        answer = await bureau.client.get(
            f"{PATH}/statistics", params={"group_by": list(names), "limit": 200, **only}
        )
        if answer.status_code == 400:
            continue
        document = answer.json()
        about = {name: value for name, value in only.items() if name in NAMES}
        if only.get("first"):
            about["month"] = only["first"]
        breakdown = broken_down({*names, *about})
        found.append(Published(about, breakdown, document["total"]["rated"]))
        found += [
            Published({**about, **group["group"]}, breakdown, group["figures"]["rated"])
            for group in document["groups"]
            if group["figures"] is not None
        ]
    return found


def broken_down(names: set[str]) -> str:
    return next((name for name in ("window", "hall", "matter", "channel") if name in names), "")


PARTS = {
    "": (),
    "channel": ("channel",),
    "matter": ("matter",),
    "hall": ("hall",),
    "window": ("hall", "window"),
}


def within(atoms: Iterable[Atom], group: Mapping[Any, str]) -> list[Atom]:
    """Those of the atoms that a group covers."""
    places = [(NAMES.index(name), value) for name, value in group.items()]
    return [atom for atom in atoms if all(atom[place] == value for place, value in places)]


def shown_cells(data: SeedData) -> dict[str, set[tuple[str, ...]]]:
    """What the rule shows, reckoned here from the ratings: breakdown → departments' months."""
    base, shown = data.sizes("area", "department", "month"), dict[str, set[tuple[str, ...]]]()
    for breakdown, parts in PARTS.items():
        sizes = data.sizes("area", "department", "month", *parts)
        small = {key[:3] for key, number in sizes.items() if number < LEAST}
        shown[breakdown] = {key for key, number in base.items() if number >= LEAST} - small
    return shown


class Solver:
    """Which sums of atoms follow from the published ones.

    It is a basis of their equations, modulo a large prime.
    """

    def __init__(self) -> None:
        self.rows: dict[int, dict[int, int]] = {}

    def reduce(self, row: dict[int, int]) -> dict[int, int]:
        row = dict(row)
        for place in sorted(row):
            if row.get(place) and place in self.rows:
                factor = row[place]
                for key, value in self.rows[place].items():
                    row[key] = (row.get(key, 0) - factor * value) % PRIME
        row = {key: value for key, value in row.items() if value}
        return self.reduce(row) if any(place in self.rows for place in row) else row

    def add(self, row: dict[int, int]) -> None:
        left = self.reduce(row)
        if left:
            first = min(left)
            inverse = pow(left[first], -1, PRIME)
            self.rows[first] = {key: value * inverse % PRIME for key, value in left.items()}

    def determines(self, row: dict[int, int]) -> bool:
        return not self.reduce(row)


@pytest.mark.parametrize("seed", range(2))
async def test_no_suppressed_figure_follows_from_all_the_published_ones(
    bureau: Bureau, seed: int
) -> None:
    data = SeedData.random(seed)
    await data.store(bureau)
    shown, unknown = shown_cells(data), data.possible()
    places = {atom: n for n, atom in enumerate(unknown)}
    solver, seen = Solver(), 0

    for figure in await gather(bureau):
        atoms = [
            atom for atom in within(unknown, figure.about) if atom[:3] in shown[figure.breakdown]
        ]
        # The rule is known to everybody: each figure is the sum of just what it shows, no more and
        # no less.
        assert figure.rated == data.holds(atoms), figure
        assert figure.rated == 0 or figure.rated >= LEAST
        solver.add({places[atom]: 1 for atom in atoms})
        seen += 1

    assert seen > 300
    for size in range(1, 8):
        for names in combinations(NAMES, size):
            for values, number in data.sizes(*names).items():
                if number < LEAST:
                    group = dict(zip(names, values, strict=True))
                    assert not solver.determines(
                        {places[atom]: 1 for atom in within(unknown, group)}
                    ), group


def test_attack_succeeds_against_complete_totals() -> None:
    """The attack works.

    With true totals beside what is shown it finds hidden figures.
    """
    data = SeedData.random(0)
    unknown = data.possible()
    solver, places = Solver(), {atom: n for n, atom in enumerate(unknown)}
    for size in range(4):
        for names in combinations(NAMES, size):
            for values, number in data.sizes(*names).items():
                if number >= LEAST:
                    solver.add(
                        {
                            places[a]: 1
                            for a in within(unknown, dict(zip(names, values, strict=True)))
                        }
                    )

    base = data.sizes("area", "department", "month")
    hidden = [
        dict(zip(NAMES, values, strict=False)) for values, number in base.items() if number < LEAST
    ]
    assert any(
        solver.determines({places[atom]: 1 for atom in within(unknown, group)}) for group in hidden
    )


async def test_hidden_cell_can_change_without_changing_anything_published(bureau: Bureau) -> None:
    big = {"area_code": CITY, "department_code": "BIG"}
    for n in range(24):
        _ = await bureau.rate(at("2026-09-10"), big, pf="2" if n < 20 else "3")
    _ = await bureau.rate(at("2026-09-10"), {"department_code": "SMALL"})

    async def everything() -> list[Any]:
        answers = [
            await bureau.client.get(
                f"{PATH}/statistics{suffix}", params={"group_by": list(names), "last": "2026-09"}
            )
            for size in range(3)
            for names in combinations(("area", "department", "month", "channel"), size)
            for suffix in ("", ".csv")
        ]
        return [answer.text for answer in answers]

    before = await everything()
    for _ in range(8):
        rating = a_rating(
            an_invitation(at("2026-09-10"), department_code="SMALL"), at("2026-09-10")
        )
        async with bureau.client.database.transaction() as session:
            counted = CountChange(rating, Counter(), figures_of_rating(rating))
            await statistics.count_changes(session, [counted])

    assert await everything() == before
    found = await bureau.get("published/statistics", group_by="department", last="2026-09")
    assert {
        group["group"]["department"]: group["figures"] is None for group in found["groups"]
    } == {
        "BIG": False,
        "SMALL": True,
    }
    assert (found["complete"], found["total"]["rated"]) == (False, 24)


async def test_withheld_breakdown_tells_not_even_which_parts_there_are(bureau: Bureau) -> None:
    for n in range(12):
        _ = await bureau.rate(at("2026-09-10"), pf="2" if n < 9 else "3")

    answers = [
        await bureau.get("published/statistics", last="2026-09", **asked)
        for asked in ({"channel": "2"}, {"channel": "3"}, {"channel": "7"}, {"group_by": "channel"})
    ]

    assert [(one["complete"], one["total"]["rated"], one["groups"]) for one in answers] == [
        (False, 0, [])
    ] * 4
    whole = await bureau.get("published/statistics", last="2026-09")
    assert (whole["complete"], whole["total"]["rated"]) == (True, 12)


async def test_export_says_what_the_answer_says(bureau: Bureau) -> None:
    data = SeedData.random(1)
    await data.store(bureau)
    for names in ([], ["area"], ["department", "month"], ["channel"], ["month", "channel"]):
        asked = {"group_by": names, "last": "2026-09"}
        answer = (await bureau.client.get(f"{PATH}/statistics", params=asked)).json()
        export = await bureau.client.get(f"{PATH}/statistics.csv", params=asked)
        rows = list(csv.DictReader(StringIO(export.text.removeprefix("\ufeff"))))

        told = {
            tuple(g["group"].values()): g["figures"] and g["figures"]["rated"]
            for g in answer["groups"]
        }
        assert {
            tuple(row[n] for n in names): int(row["rated"]) if row["rated"] else None
            for row in rows
        } == told
        assert export.headers["content-type"].startswith("text/csv")


async def test_public_ranking_and_bounds(bureau: Bureau) -> None:
    for department, number in (("A", 30), ("B", 12)):
        for n in range(number):
            _ = await bureau.rate(
                at("2026-09-10"), {"department_code": department}, grade=4 if n else 2
            )

    found = await bureau.get("published/statistics", group_by="department", last="2026-09")

    assert {one["group"]["department"]: one["rank"] for one in found["groups"]} == {
        "A": 1,
        "B": None,
    }
    assert found["groups"][0]["figures"]["good_bounds"]["low"] > 0.8
