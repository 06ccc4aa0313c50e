"""Differences told one by one."""

from typing import Any


def unequal(what: str, found: object, expected: object) -> list[str]:
    return [] if found == expected else [f"{what}: {found}, expected {expected}"]


def compare(what: str, found: dict[Any, Any], expected: dict[Any, Any]) -> list[str]:
    """One line for each key that differs, is missing or is too many."""
    return [
        line
        for key in {**expected, **found}
        for line in unequal(
            f"{what} {key}", found.get(key, "nothing"), expected.get(key, "nothing")
        )
    ]
