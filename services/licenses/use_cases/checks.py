"""Checking a license without signing in, by what stands on its paper.

A wrong code and an unknown number get the same answer after the same work: one look-up, one
comparison, one decrypted record and one checked signature. So the answer's time tells nothing.
"""

import hmac
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.identifiers import check_code, read_qr_token
from services.licenses.model.record import parse_record
from services.licenses.model.records import CheckTries
from services.licenses.model.states import STATUS_NAMES, HolderKind
from services.licenses.model.types import Bilingual
from services.licenses.queries import licenses
from services.licenses.queries.licenses import FIRST, CheckRow
from services.licenses.schemas.checks import (
    CheckLicense,
    CheckRead,
    IssuerRead,
    SignatureRead,
    SignatureResult,
    StatusRead,
    ValidityRead,
    ValidityResult,
)
from services.licenses.signing import Ed25519Signer, canonical, digest_of, verify
from shared import clock
from shared.database import guess_limits
from shared.database.guess_limits import Guess, GuessLimit
from shared.database.key_ring import new_raw
from shared.domain import masking
from shared.errors import NotFoundError


class SignedText(NamedTuple):
    """A record with the signature over it."""

    public_key: dict[str, Any]
    """A JWK, whose members depend on the algorithm."""
    record: str
    signature: str


def _placeholder() -> SignedText:
    """A signed record of the usual size, checked where there is none: for equal work."""
    private_key, public_key = new_raw("nobody")
    names = (
        "identifier",
        "number",
        "type",
        "issuer",
        "holder",
        "fields",
        "issued_on",
        "valid_from",
    )
    content = canonical(dict.fromkeys(names, "-" * 60))
    signature = Ed25519Signer("nobody", private=private_key).sign(content)
    return SignedText(public_key, content.decode(), signature)


PLACEHOLDER = _placeholder()


async def forget_tries(session: AsyncSession, before: datetime) -> None:
    """Delete attempts of windows that began before."""
    await guess_limits.forget_guesses(session, CheckTries, before=before)


async def check_license(
    session: AsyncSession, command: CheckLicense, *, address: str, budget: GuessLimit, now: datetime
) -> CheckRead:
    """The findings on the license that the paper shows.

    Counts as an attempt of the client address, whatever it finds.

    Raises:
        NotFoundError: no license with this number and code.
        TooManyRequestsError: the limit of attempts is used up.
    """
    attempt = Guess(command.target, address, budget, now)
    rows = await _find(session, command, attempt=attempt)
    found = _with_code(rows, command)
    examined = found
    if examined is None and rows:
        examined = rows[0]
    result = _check_signature(examined)
    if found is None:
        raise NotFoundError("no licence with this number and code")
    return _answer(found, result, now=now)


async def _find(
    session: AsyncSession, command: CheckLicense, *, attempt: Guess
) -> Sequence[CheckRow]:
    if command.qr is not None:
        # The QR's content is an address whose last part is the token, or the token alone.
        token = read_qr_token(command.qr.rpartition("/")[2])
        license_id, version = token or (FIRST, 0)
        return await licenses.check_by_token(
            session, attempt, license_id=license_id, version=version
        )
    if command.identifier is not None:
        return await licenses.check_by_identifier(session, attempt, identifier=command.identifier)
    return await licenses.check_by_number(
        session, attempt, type_code=command.type_code or "", number=command.number or ""
    )


def _with_code(rows: Sequence[CheckRow], command: CheckLicense) -> CheckRow | None:
    """The row whose check code it is: papers of different offices may carry one number.

    A QR needs no code, because its token is proof enough.
    """
    if not rows:
        _ = _code_fits(FIRST, command)
        return None
    found: CheckRow | None = None
    # Every row is compared, also after the right one: the time must not tell which it was.
    for row in rows:
        if _code_fits(row.id, command):
            found = row
    return found


def _code_fits(license_id: UUID, command: CheckLicense) -> bool:
    right = check_code(license_id)
    code = right
    if command.qr is None:
        code = command.code or ""
    return hmac.compare_digest(right.encode(), (code or right).upper().encode())


def _check_signature(row: CheckRow | None) -> SignatureResult:
    """Whether the record is what was digested and signed."""
    signed = PLACEHOLDER
    if row is not None and row.signature is not None and row.public_key is not None:
        signed = SignedText(row.public_key, row.record, row.signature)
    record = PLACEHOLDER.record
    if row is not None:
        record = row.record
    is_signed = verify(signed.public_key, signed.record.encode(), signature=signed.signature)
    digest = digest_of(record.encode())
    if row is None or row.signature is None:
        return "none"
    if is_signed and digest == row.digest and row.public_key is not None:
        return "good"
    return "broken"


def _validity(row: CheckRow, today: date) -> ValidityResult:
    if row.valid_until is not None and row.valid_until < today:
        return "over"
    if today < row.valid_from:
        return "not_yet"
    return "within"


def _answer(row: CheckRow, signature: SignatureResult, *, now: datetime) -> CheckRead:
    record = parse_record(row.record)
    holder_name, holder_number = record.holder.name, record.holder.number
    if record.holder.kind is HolderKind.PERSON:
        holder_name = masking.mask_name(holder_name)
        holder_number = masking.mask_id_number(holder_number)
    return CheckRead(
        as_of=now,
        identifier=row.identifier,
        type_code=row.type_code,
        type_name=Bilingual.model_validate(row.type_name),
        holder_name=holder_name,
        holder_id_number=holder_number,
        issued_on=row.issued_on,
        signature=SignatureRead(result=signature, kid=row.kid),
        issuer=IssuerRead(name=record.issuer.name, code=row.issuer_code, trust=row.trust),
        validity=ValidityRead(
            result=_validity(row, clock.local_date(now)),
            valid_from=row.valid_from,
            valid_until=row.valid_until,
        ),
        status=StatusRead(
            code=row.status,
            name=STATUS_NAMES[row.status],
            superseded=row.version < row.newest_version,
        ),
    )
