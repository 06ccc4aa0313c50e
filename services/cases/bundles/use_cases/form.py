"""The one form of a bundle (一表申请): which values its fields take."""

import re
from collections.abc import Mapping, Sequence
from datetime import date

from shared.domain import codes
from shared.domain.bundles import FormField
from shared.errors import FieldError, InvalidValueError

NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
YES_NO = frozenset({"yes", "no"})


def check_form(
    asked: Sequence[FormField], filled: Mapping[str, str], *, today: date
) -> list[FieldError]:
    """Every required field is there, no other, and each value is of the field's kind."""
    faults: list[FieldError] = []
    fields = {field.code: field for field in asked}
    for code in sorted(filled.keys() - fields.keys()):
        faults.append(FieldError(f"fields.{code}", "asked", message="the form has no such field"))
    for code, field in fields.items():
        value = filled.get(code)
        fault: FieldError | None = None
        if value is not None:
            fault = _check_value(field, value, today=today)
        elif field.required:
            label = field.label.zh
            fault = FieldError(
                f"fields.{code}", "required", message="{label} is required", label=label
            )
        if fault is not None:
            faults.append(fault)
    return faults


def _check_value(field: FormField, value: str, *, today: date) -> FieldError | None:
    place = f"fields.{field.code}"
    try:
        match field.kind:
            case "date" if not _is_date(value):
                return FieldError(place, "date", message="is no date, as 2026-03-10")
            case "number" if not NUMBER.fullmatch(value):
                return FieldError(place, "number", message="does not read as number")
            case "yes_no" if value not in YES_NO:
                return FieldError(place, "yes_no", message="does not read as yes_no")
            case "phone":
                _ = codes.check_phone(value)
            case "id_number":
                _ = codes.check_id_number(value, today)
            case "uscc":
                _ = codes.check_uscc(value)
            case _:
                pass
    except InvalidValueError as error:
        return FieldError.of(place, rule=field.kind, error=error)
    return None


def _is_date(value: str) -> bool:
    try:
        _ = date.fromisoformat(value)
    except ValueError:
        return False
    return True
