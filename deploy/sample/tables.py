"""The TOML files of the sample, with the types of their tables (README.md explains the keys)."""

import tomllib
from functools import cache
from pathlib import Path
from typing import NotRequired, TypedDict, cast

FOLDER = Path(__file__).parent

Document = dict[str, object]
"""A body of the REST API, or a part of one."""


class Area(TypedDict):
    """`hall` is the address of the service hall."""

    zh: str
    bo: str
    hall: str


class Bureau(TypedDict):
    """`code` is the pair of digits of the department in a basic code."""

    zh: str
    bo: NotRequired[str]
    code: str
    window: str
    counties: NotRequired[bool]


class Paper(TypedDict):
    """A paper that government issues; each is a licence type."""

    bureau: str
    also: NotRequired[str]
    number: str
    by: str
    who: str
    valid: NotRequired[str]
    has: NotRequired[str]
    bo: str


class LicenseField(TypedDict):
    """A field of licences."""

    zh: str
    bo: str
    kind: NotRequired[str]
    choices: NotRequired[list[str]]
    sensitivity: NotRequired[str]


class LicenseTypes(TypedDict):
    """`license_types.toml`."""

    fields: dict[str, LicenseField]
    types: dict[str, Paper]


# "if" is a keyword, which the class form does not take.
Matter = TypedDict(
    "Matter",
    {
        "name": str,
        "bo": NotRequired[str],
        "aka": NotRequired[str],
        "kind": str,
        "days": list[int],
        "depth": int,
        "visits": NotRequired[int],
        "visit": NotRequired[str],
        "who": str,
        "topic": str,
        "counties": NotRequired[bool],
        "result": NotRequired[str],
        "if": list[str],
        "needs": NotRequired[list[str]],
        "steps": NotRequired[str],
        "items": NotRequired[str],
        "fees": NotRequired[list[str]],
        "law": NotRequired[list[str]],
        "faq": NotRequired[list[str]],
        "tree": NotRequired[list[list[str | list[str]]]],
    },
)


class Bundle(TypedDict):
    """A one-thing bundle (一件事)."""

    name: str
    bo: str
    aka: str
    lead: str
    summary: str
    fields: list[str]
    results: NotRequired[list[str]]
    children: dict[str, str]


def _read(name: str) -> object:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


# Read once each: the documents of every area are made from the same tables.
@cache
def areas() -> dict[str, Area]:
    """Areas by their codes; the first one is the city."""
    return cast("dict[str, Area]", _read("areas"))


@cache
def bureaus() -> dict[str, Bureau]:
    return cast("dict[str, Bureau]", _read("bureaus"))


@cache
def license_types() -> LicenseTypes:
    return cast("LicenseTypes", _read("license_types"))


@cache
def matters(bureau: str) -> dict[str, Matter]:
    """The matters of a bureau by their numbers."""
    return cast("dict[str, Matter]", _read(f"matters/{bureau}"))


@cache
def bundles() -> dict[str, Bundle]:
    return cast("dict[str, Bundle]", _read("bundles"))
