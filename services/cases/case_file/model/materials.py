"""Which materials an application must bring, and which it may promise to bring later (容缺受理, norms §3.5)."""

from collections.abc import Sequence
from typing import Any

from shared.errors import FieldError

GAP_RESERVE = 2
"""Working days of the promised time that remain to the organ after the gap is filled."""
GAP_MOST = 20


def gap_days(promised_days: int) -> int:
    """Working days from acceptance within which a promised material must come; below 1 there is no room for a promise."""
    return min(promised_days - GAP_RESERVE, GAP_MOST)


def is_promised(material: dict[str, Any]) -> bool:
    return material.get("kind") == "promise"


def is_file(material: dict[str, Any]) -> bool:
    """Whether a file meets it: an upload, or one of an earlier case."""
    return "media_type" in material


def missing_materials(
    guide: dict[str, Any], given: Sequence[dict[str, Any]], promised_days: int
) -> list[FieldError]:
    """Every material that is not there and must be, every one nobody asked for, every promise that the guide forbids."""
    asked = {material["code"]: material for material in guide["materials"]}
    codes = {material["code"] for material in given}
    faults = [
        FieldError(f"materials.{code}", "required", f"{material['name']['zh']} is required")
        for code, material in asked.items()
        if material["necessity"] in {"1", "3"} and code not in codes
    ]
    unknown = "your personal guide does not ask for this material"
    faults += [
        FieldError(f"materials.{code}", "asked", unknown) for code in sorted(codes - set(asked))
    ]
    for code in (material["code"] for material in given if is_promised(material)):
        if code in asked and asked[code]["necessity"] != "3":
            faults.append(
                FieldError(
                    f"materials.{code}", "promise_allowed", "the guide does not let this come later"
                )
            )
        elif gap_days(promised_days) < 1:
            faults.append(
                FieldError(
                    f"materials.{code}", "promise_time", "the promised time leaves no room for it"
                )
            )
    return faults
