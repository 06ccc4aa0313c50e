"""Consistency checks of an implementing item (norms §2.4).

Each has a name; all breaches are told at once.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from shared.domain import codes
from shared.domain.guides import HandlingItem, MatterDocument, check_question_tree, online_level
from shared.errors import FieldError
from shared.texts import current_reader

PHONE = re.compile(
    r"0[0-9]{2,3}-[0-9]{7,8}(-[0-9]{1,6})?|1[3-9][0-9]{9}|12345|12333|12366|123[0-9]{2}"
)
"""A landline with its area code, a mobile number, or a hotline."""
IMMEDIATE = "1"
"""项目类型 of an 即办件."""
IN_USE = "1"
"""State of an entry of the basic catalogue (基本目录) that is in use."""
WHOLLY_ONLINE = 4
"""The deepest online level."""
RESULT_TYPES = {"license": "出证", "approval": "审批", "document": "出文"}
"""Kind of a result → its type."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken rule; a `warning` does not stop publication."""

    error: FieldError
    warning: bool = False

    @property
    def rule(self) -> str:
        return self.error.rule

    @property
    def field(self) -> str:
        return self.error.field

    @property
    def message(self) -> str:
        """The text in the language of the request."""
        return self.error.text()


Check = Callable[[MatterDocument], Iterator[FieldError]]
"""Yields every breach of one rule."""


def _code_structure(d: MatterDocument) -> Iterator[FieldError]:
    if d.code is None:
        if d.local_code is None:
            yield FieldError(
                "code",
                "code_structure",
                message="give the implementing code (实施编码) or the local code",
            )
        return
    try:
        basic_code = codes.check_implementing_code(d.code)[19:]
    except ValueError as error:
        yield FieldError.of("code", rule="code_structure", error=error)
        return
    if d.catalog_code and d.catalog_code != basic_code:
        yield FieldError(
            "catalog_code",
            "code_structure",
            message="differs from the basic code inside the implementing code",
        )
    if d.code[21:23] != d.type:
        yield FieldError(
            "type",
            "code_structure",
            message="differs from the matter type inside the implementing code",
        )


def _catalog_entry(d: MatterDocument) -> Iterator[FieldError]:
    entry = d.catalog_entry
    if entry is None:
        return
    try:
        code = codes.check_catalog_code(entry.code)
    except ValueError as error:
        yield FieldError.of("catalog_entry.code", rule="catalog_entry", error=error)
    else:
        yield from _catalog_code(d, code, entry_type=entry.type)
    if entry.type != d.type:
        yield FieldError(
            "catalog_entry.type", "catalog_entry", message="differs from the type of the matter"
        )


def _catalog_code(d: MatterDocument, code: str, *, entry_type: str) -> Iterator[FieldError]:
    if d.catalog_code and code != d.catalog_code:
        yield FieldError(
            "catalog_entry.code",
            "catalog_entry",
            message="differs from the basic code of the matter",
        )
    if d.code is not None and code != d.code[19:]:
        yield FieldError(
            "catalog_entry.code",
            "catalog_entry",
            message="differs from the basic code inside the implementing code",
        )
    if code[2:4] != entry_type:
        yield FieldError(
            "catalog_entry.type",
            "catalog_entry",
            message="differs from the matter type inside the basic code",
        )


def _catalog_entry_in_force(d: MatterDocument) -> Iterator[FieldError]:
    entry = d.catalog_entry
    if entry is None:
        return
    if entry.state != IN_USE:
        yield FieldError(
            "catalog_entry.state",
            "catalog_entry_in_force",
            message="the catalogue does not have it in use",
        )
    if d.level not in entry.use_levels:
        yield FieldError(
            "catalog_entry.use_levels",
            "catalog_entry_in_force",
            message="the catalogue does not let level {level} exercise it",
            level=d.level,
        )


def _handling_item_codes(d: MatterDocument) -> Iterator[FieldError]:
    yield from _doubled("sequence", [item.sequence for item in d.handling_items])
    yield from _doubled("local_code", [item.local_code for item in d.handling_items])
    for item in d.handling_items:
        if item.code is not None:
            yield from _handling_item_code(d, item, code=item.code)


def _doubled(name: str, values: Sequence[str | None]) -> Iterator[FieldError]:
    for value, number in Counter(values).items():
        if value is not None and number > 1:
            yield FieldError(
                f"handling_items.{name}",
                "handling_item_codes",
                message="{value} is used {number} times",
                value=value,
                number=number,
            )


def _handling_item_code(
    d: MatterDocument, item: HandlingItem, *, code: str
) -> Iterator[FieldError]:
    field = f"handling_items.{item.sequence}.code"
    if d.code is None:
        yield FieldError(
            field,
            "handling_item_codes",
            message="the matter has only a local code, so its items have no national one",
        )
        return
    try:
        code = codes.check_handling_item_code(code)
    except ValueError as error:
        yield FieldError.of(field, rule="handling_item_codes", error=error)
        return
    if code[:31] != d.code.strip().upper():
        yield FieldError(
            field,
            "handling_item_codes",
            message="does not begin with the implementing code of the matter",
        )
    if code[31:] != item.sequence:
        yield FieldError(
            field, "handling_item_codes", message="does not end in the sequence of the item"
        )


def _is_too_long(promised: int, *limits: int | None) -> bool:
    """Whether the promise is longer than any of the limits; None is no limit."""
    return any(limit is not None and promised > limit for limit in limits)


def _handling_item_days(d: MatterDocument) -> Iterator[FieldError]:
    for item in d.handling_items:
        # What an item leaves open is as the matter says.
        legal = d.legal_days if item.legal_days is None else item.legal_days
        promised = d.promised_days if item.promised_days is None else item.promised_days
        if promised is None:
            continue
        field = f"handling_items.{item.sequence}.promised_days"
        if _is_too_long(promised, legal, d.legal_days):
            yield FieldError(
                field,
                "handling_item_days",
                message="must not be longer than the legal days of the item and of the matter",
            )
        is_immediate = (item.project_type or d.project_type) == IMMEDIATE
        if (promised == 0) != is_immediate:
            yield FieldError(
                field, "handling_item_days", message="即办件 has 0 promised days, 承诺件 more"
            )


def _immediate_means_zero_days(d: MatterDocument) -> Iterator[FieldError]:
    if d.promised_days is None:
        return
    is_immediate = d.project_type == IMMEDIATE
    if (d.promised_days == 0) != is_immediate:
        yield FieldError(
            "promised_days",
            "immediate_means_zero_days",
            message="即办件 has 0 promised days, 承诺件 more",
        )


def _promise_within_law(d: MatterDocument) -> Iterator[FieldError]:
    if d.promised_days is None:
        if codes.MatterType(d.type) != codes.MatterType.PUBLIC_SERVICE:
            yield FieldError(
                "promised_days", "promise_within_law", message="is required for applications"
            )
        return
    if d.legal_days is not None and d.promised_days > d.legal_days:
        yield FieldError(
            "promised_days", "promise_within_law", message="must not be longer than the legal days"
        )


def _steps_within_promise(d: MatterDocument) -> Iterator[FieldError]:
    total = sum(step.days for step in d.steps if not step.conditional)
    if d.promised_days is not None and total > d.promised_days:
        yield FieldError(
            "steps",
            "steps_within_promise",
            message="the steps take {total} days, {promised} are promised",
            total=total,
            promised=d.promised_days,
        )


def _visits_explained(d: MatterDocument) -> Iterator[FieldError]:
    if d.visits > 0:
        if not d.visits_reason:
            yield FieldError(
                "visits_reason", "visits_explained", message="say why the applicant must come"
            )
        return
    if d.visits_reason:
        yield FieldError(
            "visits_reason", "visits_explained", message="nobody must come, so there is no reason"
        )
    if online_level(d.stages, 0) < WHOLLY_ONLINE and not d.accepts_post:
        yield FieldError(
            "accepts_post",
            "visits_explained",
            message="no visit and not wholly online: applications must be taken by post",
        )


def _fees_complete(d: MatterDocument) -> Iterator[FieldError]:
    if d.charged:
        if not d.fees:
            yield FieldError(
                "fees", "fees_complete", message="name the fee, its standard and its basis"
            )
    elif d.pay_online or d.fees:
        yield FieldError(
            "charged",
            "fees_complete",
            message="no fee is charged, so there is no fee item and no online payment",
        )
    for fee in d.fees:
        if not fee.basis:
            yield FieldError(
                f"fees.{fee.code}.basis", "fees_complete", message="name the legal basis of the fee"
            )


def _result_complete(d: MatterDocument) -> Iterator[FieldError]:
    if d.result is None:
        return
    if not d.result.sample:
        yield FieldError("result.sample", "result_complete", message="show a sample of the result")
    expected = RESULT_TYPES[d.result.kind]
    if d.result.type != expected:
        yield FieldError(
            "result.type",
            "result_complete",
            message="this kind of result is {expected}",
            expected=expected,
        )


def _phones(d: MatterDocument) -> Iterator[FieldError]:
    numbers = {"consult_phone": d.consult_phone, "complaint_phone": d.complaint_phone}
    for field, phone in numbers.items():
        if phone is None:
            yield FieldError(field, "phones", message="is required")
        elif not PHONE.fullmatch(phone):
            yield FieldError(field, "phones", message="write it as area code, hyphen and number")
    if d.consult_phone and d.consult_phone == d.complaint_phone:
        yield FieldError(
            "complaint_phone", "phones", message="must differ from the number for advice"
        )


def _objects_named(d: MatterDocument) -> Iterator[FieldError]:
    if not d.object_types:
        yield FieldError("object_types", "objects_named", message="say whom it serves")


def _place_precise(d: MatterDocument) -> Iterator[FieldError]:
    if d.visits > 0 and not any(place.window for place in d.places):
        yield FieldError("places", "place_precise", message="give an address precise to the window")


def _licensing_has_faq(d: MatterDocument) -> Iterator[FieldError]:
    if codes.MatterType(d.type) == codes.MatterType.LICENSING and not d.faq:
        yield FieldError(
            "faq",
            "licensing_has_faq",
            message="a licensing matter has at least one frequent question",
        )


def _basis_named(d: MatterDocument) -> Iterator[FieldError]:
    if codes.MatterType(d.type) != codes.MatterType.PUBLIC_SERVICE and not d.basis:
        yield FieldError("basis", "basis_named", message="name the legal basis")


def _question_tree(d: MatterDocument) -> Iterator[FieldError]:
    for error in check_question_tree(d):
        yield error.as_rule("question_tree")


def _tibetan_name(d: MatterDocument) -> Iterator[FieldError]:
    if not d.name.bo and "bo" in current_reader().languages:
        yield FieldError("name.bo", "tibetan_name", message="has no Tibetan name")


RULES: dict[str, Check] = {
    "code_structure": _code_structure,
    "catalog_entry": _catalog_entry,
    "catalog_entry_in_force": _catalog_entry_in_force,
    "handling_item_codes": _handling_item_codes,
    "handling_item_days": _handling_item_days,
    "immediate_means_zero_days": _immediate_means_zero_days,
    "promise_within_law": _promise_within_law,
    "steps_within_promise": _steps_within_promise,
    "visits_explained": _visits_explained,
    "fees_complete": _fees_complete,
    "result_complete": _result_complete,
    "phones": _phones,
    "objects_named": _objects_named,
    "place_precise": _place_precise,
    "licensing_has_faq": _licensing_has_faq,
    "basis_named": _basis_named,
    "question_tree": _question_tree,
    "tibetan_name": _tibetan_name,
}
STRUCTURAL = frozenset({"code_structure", "catalog_entry", "handling_item_codes", "question_tree"})
"""What even a thin imported row must keep: every other rule only warns there."""


def find_breaches(
    document: MatterDocument,
    *,
    warnings: frozenset[str] = frozenset(),
    only: Collection[str] = RULES,
) -> list[Breach]:
    """Every breach of every rule (of `only`); those of the rules in `warnings` only warn."""
    found: list[Breach] = []
    for name, check in RULES.items():
        if name in only:
            for error in check(document):
                found.append(Breach(error, warning=name in warnings))
    return found
