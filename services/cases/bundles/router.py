"""HTTP in and out of one-thing applications (一件事)."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Response

from services.cases.access import FIRST, STAFF, At
from services.cases.applications.dependencies import CaseNumbers, applicant_account
from services.cases.bundles import queries as bundle_queries
from services.cases.bundles.model import BundleCase, Standing, bundle_state, deliver_by, standing
from services.cases.bundles.schemas import ApplyBundle, BundleCaseRead, BundleCaseSummary
from services.cases.bundles.use_cases import apply as apply_bundle
from services.cases.case_file.views import is_own, show_case
from shared import clock
from shared.domain import masking
from shared.domain.workdays import Moment
from shared.errors import NotFoundError
from shared.http.dependencies import ReadSession, Session
from shared.http.idempotency import IdempotentRoute, Once
from shared.pagination import Cursor, Limit, Page, decode_cursor, page_of
from shared.security.auth import CurrentCaller
from shared.security.tokens import Caller

router = APIRouter(route_class=IdempotentRoute)


@router.post(
    "/bundle-applications", response_model=BundleCaseRead, status_code=201, dependencies=[Once]
)
async def apply_for_bundle(
    command: ApplyBundle,
    session: Session,
    caller: CurrentCaller,
    numbers: CaseNumbers,
    response: Response,
) -> Any:
    """Apply for all children of a bundle at once: one form, one set of materials; all of it is taken or nothing."""
    account, clerk = applicant_account(caller, command.channel)
    parent, cases, at = await apply_bundle.apply_for_bundle(
        session, command, numbers, account_id=account, clerk=clerk, caller=caller, now=clock.now()
    )
    response.headers["location"] = f"/api/v1/cases/bundle-files/{parent.id}"
    return _show(parent, cases, caller, at)


@router.get("/bundle-files", response_model=Page[BundleCaseSummary])
async def list_own_bundles(
    session: ReadSession, caller: CurrentCaller, limit: Limit = 50, cursor: Cursor = None
) -> Any:
    """The caller's own one-thing applications."""
    after = decode_cursor(cursor, UUID)[0] if cursor else FIRST
    if caller.kind not in {"person", "organisation"}:
        return {"items": [], "next": None}
    found = await bundle_queries.list_own_bundles(
        session, UUID(caller.subject), caller.matters, after, limit
    )
    rows, following = page_of(found, limit, "id")
    return {"items": [_summary(row) for row in rows], "next": following}


def _summary(row: Any) -> dict[str, Any]:
    ends = [(state, result) for state, result in row.children]
    granted = sum(standing(*end) is Standing.GRANTED for end in ends)
    return {**row._asdict(), "state": bundle_state(ends), "children": len(ends), "granted": granted}


@router.get("/bundle-files/{bundle_case_id}", response_model=BundleCaseRead)
async def get_bundle_file(
    bundle_case_id: UUID, session: ReadSession, caller: CurrentCaller, at: At
) -> Any:
    """One application with its children: whole for the applicant, for officers with their own department's child, for the
    clerk who took it in with the numbers."""
    parent = await bundle_queries.get_bundle_case(session, bundle_case_id)
    return _show(parent, await bundle_queries.list_children(session, bundle_case_id), caller, at)


def _show(parent: BundleCase, cases: Iterable[Any], caller: Caller, at: Moment) -> dict[str, Any]:
    by_id = {str(case.id): case for case in cases}
    children = {entry["code"]: by_id[entry["case_id"]] for entry in parent.plan}
    own = parent.account_id is not None and all(is_own(case, caller) for case in children.values())
    staff = caller.kind == "staff" and bool(set(STAFF) & caller.roles)
    place = (caller.area, caller.department)
    seen = {
        c
        for c, case in children.items()
        if own or (staff and place == (case.area_code, case.department_code))
    }
    intake = parent.intake_by == caller.subject and "window_clerk" in caller.roles
    if not seen and not intake:
        raise NotFoundError("no such application of yours")
    form = {code for entry in parent.plan if entry["code"] in seen for code in entry["fields"]}
    filled: Mapping[str, str] = orjson.loads(parent.fields)
    return {
        **_head(parent, own=own),
        "state": bundle_state((case.state, case.result) for case in children.values()),
        "fields": {code: value for code, value in filled.items() if own or code in form},
        "deliver_by": deliver_by(parent.plan, children, at),
        "children": [
            _child(
                entry,
                children[entry["code"]],
                caller,
                at,
                detail=entry["code"] in seen,
                numbered=intake,
            )
            for entry in parent.plan
        ],
    }


def _head(parent: BundleCase, *, own: bool) -> dict[str, Any]:
    """The parent's own columns, masked unless the reader is the applicant."""
    names = BundleCaseRead.model_fields.keys() - {"state", "fields", "deliver_by", "children"}
    values = {name: getattr(parent, name) for name in names}
    if not own:
        values["applicant_name"] = masking.mask_name(parent.applicant_name)
        values["phone"] = masking.mask_phone(parent.phone)
        if parent.applicant_kind == "person":
            values["applicant_id_number"] = masking.mask_id_number(parent.applicant_id_number)
    return values


def _child(
    entry: Mapping[str, Any], case: Any, caller: Caller, at: Moment, *, detail: bool, numbered: bool
) -> dict[str, Any]:
    return {
        "code": entry["code"],
        "matter_name": case.matter_name,
        "department_code": case.department_code,
        "after": entry["after"],
        "state": case.state,
        "result": case.result,
        "number": case.number if detail or numbered else None,
        "case": show_case(case, caller, at.calendar) if detail else None,
    }
