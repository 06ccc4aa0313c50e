"""Consistency checks of an implementing item (norms §2.4), each named, all breaches told at once."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from shared.domain import codes
from shared.domain.guides import MatterDocument, check_question_tree, online_level

PHONE = re.compile(
    r"0[0-9]{2,3}-[0-9]{7,8}(-[0-9]{1,6})?|1[3-9][0-9]{9}|12345|12333|12366|123[0-9]{2}"
)


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken rule; a `warning` does not stop publication."""

    rule: str
    field: str
    message: str
    warning: bool = False


Rule = Callable[[MatterDocument], Iterator[tuple[str, str]]]
"""Yields the field and the message of each breach."""


def _national_code(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.code is None and d.local_code is None:
        yield "code", "give the implementing code (实施编码) or the local code"
    try:
        if d.code is not None and codes.check_implementing_code(d.code)[19:] != (
            d.catalog_code or d.code[19:]
        ):
            yield "catalog_code", "differs from the basic code inside the implementing code"
        if d.code is not None and d.code[21:23] != d.type:
            yield "type", "differs from the matter type inside the implementing code"
    except ValueError as error:
        yield "code", str(error)


def _catalog_entry(d: MatterDocument) -> Iterator[tuple[str, str]]:
    entry = d.catalog_entry
    if entry is None:
        return
    try:
        code = codes.check_catalog_code(entry.code)
    except ValueError as error:
        yield "catalog_entry.code", str(error)
    else:
        if code != (d.catalog_code or code):
            yield "catalog_entry.code", "differs from the basic code of the matter"
        if d.code is not None and code != d.code[19:]:
            yield "catalog_entry.code", "differs from the basic code inside the implementing code"
        if code[2:4] != entry.type:
            yield "catalog_entry.type", "differs from the matter type inside the basic code"
    if entry.type != d.type:
        yield "catalog_entry.type", "differs from the type of the matter"


def _catalog_entry_in_force(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.catalog_entry and d.catalog_entry.state != "1":
        yield "catalog_entry.state", "the catalogue does not have it in use"
    if d.catalog_entry and d.level not in d.catalog_entry.use_levels:
        yield "catalog_entry.use_levels", f"the catalogue does not let level {d.level} exercise it"


def _handling_item_codes(d: MatterDocument) -> Iterator[tuple[str, str]]:
    for field in ("sequence", "local_code"):
        for value, number in Counter(getattr(item, field) for item in d.handling_items).items():
            if value is not None and number > 1:
                yield f"handling_items.{field}", f"{value} stands {number} times"
    for item in d.handling_items:
        if item.code is not None:
            for message in _handling_item_code(d.code, item.code, item.sequence):
                yield f"handling_items.{item.sequence}.code", message


def _handling_item_code(matter: str | None, code: str, sequence: str) -> Iterator[str]:
    if matter is None:
        yield "the matter has only a local code, so its items have no national one"
        return
    try:
        code = codes.check_handling_item_code(code)
    except ValueError as error:
        yield str(error)
        return
    if code[:31] != matter.strip().upper():
        yield "does not begin with the implementing code of the matter"
    if code[31:] != sequence:
        yield "does not end in the sequence of the item"


def _handling_item_days(d: MatterDocument) -> Iterator[tuple[str, str]]:
    for item in d.handling_items:
        place = f"handling_items.{item.sequence}"
        legal = d.legal_days if item.legal_days is None else item.legal_days
        promised = d.promised_days if item.promised_days is None else item.promised_days
        if promised is None:
            continue
        if any(limit is not None and promised > limit for limit in (legal, d.legal_days)):
            yield (
                f"{place}.promised_days",
                "must not be longer than the legal days of the item and of the matter",
            )
        if (promised == 0) != ((item.project_type or d.project_type) == "1"):
            yield f"{place}.promised_days", "即办件 has 0 promised days, 承诺件 more"


def _immediate(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.promised_days is not None and (d.promised_days == 0) != (d.project_type == "1"):
        yield "promised_days", "即办件 has 0 promised days, 承诺件 more"


def _promise(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.legal_days is not None and d.promised_days is not None and d.promised_days > d.legal_days:
        yield "promised_days", "must not be longer than the legal days"
    if d.type != "20" and d.promised_days is None:
        yield "promised_days", "is required for applications"


def _steps(d: MatterDocument) -> Iterator[tuple[str, str]]:
    total = sum(step.days for step in d.steps if not step.conditional)
    if d.promised_days is not None and total > d.promised_days:
        yield "steps", f"the steps take {total} days, {d.promised_days} are promised"


def _visits(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.visits > 0 and not d.visits_reason:
        yield "visits_reason", "say why the applicant must come"
    if d.visits == 0 and d.visits_reason:
        yield "visits_reason", "nobody must come, so there is no reason"
    if d.visits == 0 and online_level(d.stages, 0) < 4 and not d.accepts_post:
        yield "accepts_post", "no visit and not wholly online: applications must be taken by post"


def _fees(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if not d.charged and (d.pay_online or d.fees):
        yield "charged", "no fee is charged, so there is no fee item and no online payment"
    if d.charged and not d.fees:
        yield "fees", "name the fee, its standard and its basis"
    for fee in d.fees:
        if not fee.basis:
            yield f"fees.{fee.code}.basis", "name the legal basis of the fee"


def _result(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.result is None:
        return
    if not d.result.sample:
        yield "result.sample", "show a sample of the result"
    expected = {"license": "出证", "approval": "审批", "document": "出文"}[d.result.kind]
    if d.result.type != expected:
        yield "result.type", f"this kind of result is {expected}"


def _phones(d: MatterDocument) -> Iterator[tuple[str, str]]:
    for field in ("consult_phone", "complaint_phone"):
        phone: str | None = getattr(d, field)
        if phone is None:
            yield field, "is required"
        elif not PHONE.fullmatch(phone):
            yield field, "write it with its area code (Lhasa 0891), as 0891-6000001"
    if d.consult_phone and d.consult_phone == d.complaint_phone:
        yield "complaint_phone", "must differ from the number for advice"


def _objects(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if not d.object_types:
        yield "object_types", "say whom it serves"


def _places(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.visits > 0 and not any(place.window for place in d.places):
        yield "places", "give an address precise to the window"


def _faq(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.type == "01" and not d.faq:
        yield "faq", "a licensing matter has at least one frequent question"


def _basis(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if d.type != "20" and not d.basis:
        yield "basis", "name the legal basis"


def _tree(d: MatterDocument) -> Iterator[tuple[str, str]]:
    for fault in check_question_tree(d):
        yield fault.field, fault.message


def _tibetan(d: MatterDocument) -> Iterator[tuple[str, str]]:
    if not d.name.bo:
        yield "name.bo", "has no Tibetan name"


RULES: dict[str, Rule] = {
    "code_structure": _national_code,
    "catalog_entry": _catalog_entry,
    "catalog_entry_in_force": _catalog_entry_in_force,
    "handling_item_codes": _handling_item_codes,
    "handling_item_days": _handling_item_days,
    "immediate_means_zero_days": _immediate,
    "promise_within_law": _promise,
    "steps_within_promise": _steps,
    "visits_explained": _visits,
    "fees_complete": _fees,
    "result_complete": _result,
    "phones": _phones,
    "objects_named": _objects,
    "place_precise": _places,
    "licensing_has_faq": _faq,
    "basis_named": _basis,
    "question_tree": _tree,
    "tibetan_name": _tibetan,
}
STRUCTURAL = frozenset({"code_structure", "catalog_entry", "handling_item_codes", "question_tree"})
"""What even a thin imported row must keep: everything else only warns there."""


def breaches(
    document: MatterDocument, warnings: frozenset[str] = frozenset(), only: Collection[str] = RULES
) -> list[Breach]:
    """Every breach of every rule (of `only`); those of the rules in `warnings` only warn."""
    return [
        Breach(name, field, message, name in warnings)
        for name, rule in RULES.items()
        if name in only
        for field, message in rule(document)
    ]
