"""Checking a licence without signing in, by what stands on its paper.

A code that is wrong and a number that is not there get the same answer after the same work: one look-up, one comparison, one
record opened, one signature checked.
"""

import hmac
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.identifiers import check_code, read_qr_token
from services.licenses.model.records import CheckTries
from services.licenses.model.states import Status
from services.licenses.queries import licenses
from services.licenses.queries.licenses import FIRST
from services.licenses.schemas.checks import CheckLicense
from services.licenses.signing import Ed25519Signer, canonical, digest_of, verify
from shared import clock
from shared.database import guess_limits
from shared.database.guess_limits import Budget, Try
from shared.domain import masking
from shared.errors import NotFoundError
from shared.security.key_ring import new_raw

NOT_FOUND = "no licence with this number and code"
NAMES = {
    Status.VALID: "有效",
    Status.SUSPENDED: "暂扣",
    Status.REVOKED: "撤销",
    Status.CANCELLED: "注销",
    Status.EXPIRED: "失效",
    Status.TRANSFERRED: "转出",
    Status.WITHDRAWN: "吊销",
    Status.OTHER: "其他",
}


class _Nobody:
    """What is looked at where there is nothing: a record, a key and a signature of the usual size."""

    id = FIRST
    public_key: dict[str, Any]

    def __init__(self) -> None:
        private, self.public_key = new_raw("nobody")
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
        self.record, self.digest = content.decode(), digest_of(content)
        self.signature = Ed25519Signer("nobody", private).sign(content)


NOBODY: Any = _Nobody()


async def forget_tries(session: AsyncSession, before: datetime) -> None:
    """Tries of windows long past."""
    await guess_limits.forget_tries(session, CheckTries, before)


async def check_license(
    session: AsyncSession, command: CheckLicense, address: str, budget: Budget, now: datetime
) -> dict[str, Any]:
    """The four findings, each apart, of the licence that the paper shows; one try of `address`, whatever it finds."""
    one = Try(command.asked, address, budget, now)
    if command.qr is not None:
        # The QR's content is an address whose last part is the token, or the token alone.
        token = read_qr_token(command.qr.rpartition("/")[2])
        return _judge(
            await licenses.find_check(session, one, token=token or (UUID(int=0), 0)), None, now
        )
    number = (command.type_code or "", command.number or "")
    rows = await licenses.find_check(session, one, identifier=command.identifier, number=number)
    return _judge(rows, command.code or "", now)


def _judge(rows: Sequence[Any], code: str | None, now: datetime) -> dict[str, Any]:
    """The row whose code it is; several papers of different offices can carry one number."""
    found = NOBODY
    for row in rows or (NOBODY,):
        right = check_code(row.id)
        if hmac.compare_digest(right.encode(), (code or right).upper().encode()):
            found = row
    examined = found if found is not NOBODY else next(iter(rows), NOBODY)
    signature = _check_signature(examined)
    if found is NOBODY:
        raise NotFoundError(NOT_FOUND)
    return _answer(found, signature, clock.local_date(now), now)


def _check_signature(row: Any) -> str:
    """Whether the record is what was digested and signed."""
    content: bytes = row.record.encode()
    signed = row if row.signature is not None and row.public_key is not None else NOBODY
    holds = (
        verify(signed.public_key, signed.record.encode(), signed.signature)
        and digest_of(content) == row.digest
    )
    if row.signature is None:
        return "none"
    return "good" if holds and row.public_key is not None else "broken"


def _answer(row: Any, signature: str, today: date, now: datetime) -> dict[str, Any]:
    record: dict[str, Any] = orjson.loads(row.record)
    holder, number = record["holder"], record["holder"]["number"]
    validity = "not_yet" if today < row.valid_from else "within"
    if row.valid_until is not None and row.valid_until < today:
        validity = "over"
    is_person = holder["kind"] == "person"
    return {
        "as_of": now,
        "identifier": row.identifier,
        "type_code": row.type_code,
        "type_name": row.type_name,
        "holder_name": masking.mask_name(holder["name"]) if is_person else holder["name"],
        "holder_id_number": masking.mask_id_number(number) if is_person else number,
        "issued_on": row.issued_on,
        "signature": {"result": signature, "kid": row.kid},
        "issuer": {"name": record["issuer"]["name"], "code": row.issuer_code, "trust": row.trust},
        "validity": {
            "result": validity,
            "valid_from": row.valid_from,
            "valid_until": row.valid_until,
        },
        "status": {
            "code": row.status,
            "name": NAMES[Status(row.status)],
            "superseded": row.version < row.newest,
        },
    }
