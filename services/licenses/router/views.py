"""How a license is shown, and to whom unmasked."""

from services.licenses.model.identifiers import check_code
from services.licenses.model.license import public_number
from services.licenses.model.record import parse_record
from services.licenses.model.states import HolderKind, allowed
from services.licenses.model.types import Bilingual, TypeDocument
from services.licenses.queries.licenses import LicenseView, SummaryRow
from services.licenses.router.access import is_holder
from services.licenses.schemas.licenses import LicenseRead, LicenseSummary
from shared.database.acts import Headers
from shared.domain import masking
from shared.http.etags import etag
from shared.security.tokens import Caller


def show_license(view: LicenseView, caller: Caller, *, headers: Headers) -> LicenseRead:
    """The answer, masked unless the reader is the holder; its ETag goes to `headers`."""
    headers["etag"] = etag(view.revision)
    record = parse_record(view.record)
    number = view.number
    holder_name = record.holder.name
    holder_id_number = record.holder.number
    fields = record.fields
    # Whoever has the check code can check the license, so only its holder sees it.
    code: str | None = None
    if is_holder(view, caller):
        code = check_code(view.id)
    else:
        number = public_number(view.number, kind=view.holder_kind, holder=view.holder)
        fields = _without_sensitive(fields, view.definition())
        if view.holder_kind is HolderKind.PERSON:
            holder_name = masking.mask_name(holder_name)
            holder_id_number = masking.mask_id_number(holder_id_number)
    return LicenseRead(
        id=view.id,
        revision=view.revision,
        identifier=view.identifier,
        number=number,
        type_code=view.type_code,
        type_name=Bilingual.model_validate(view.type_name),
        status=view.status,
        trust=view.trust,
        signed=view.signed,
        issued_on=view.issued_on,
        valid_until=view.valid_until,
        version=view.version,
        type_version=view.type_version,
        area_code=view.area_code,
        department_code=view.department_code,
        issuer_code=view.issuer_code,
        issuer_name=record.issuer.name,
        holder_kind=view.holder_kind,
        holder_name=holder_name,
        holder_id_number=holder_id_number,
        fields=fields,
        valid_from=view.valid_from,
        digest=view.digest,
        origin=view.origin,
        case_id=view.case_id,
        case_number=view.case_number,
        matter_name=view.matter_name,
        signature=view.signature,
        check_code=code,
        changed_at=view.changed_at,
        allowed=allowed(view.status),
    )


def _without_sensitive(fields: dict[str, str], definition: TypeDocument) -> dict[str, str]:
    shown = dict(fields)
    for field in definition.fields:
        if field.sensitivity == "sensitive":
            _ = shown.pop(field.name, None)
    return shown


def summarise(row: SummaryRow, *, masked: bool) -> LicenseSummary:
    """An entry of a list; `masked` for readers other than the holder."""
    number = row.number
    if masked:
        number = public_number(row.number, kind=row.holder_kind, holder=row.holder)
    return LicenseSummary(
        id=row.id,
        revision=row.revision,
        identifier=row.identifier,
        number=number,
        type_code=row.type_code,
        type_name=Bilingual.model_validate(row.type_name),
        status=row.status,
        trust=row.trust,
        signed=row.signed,
        issued_on=row.issued_on,
        valid_until=row.valid_until,
    )
