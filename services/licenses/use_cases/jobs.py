"""签发 of collected licenses as a job.

Any worker takes the next batch. A batch is one transaction together with the job's progress.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.journal import Journal
from services.licenses.model.license import RECORD, LicenseRow, facts_of
from services.licenses.model.records import SigningJob
from services.licenses.queries import records
from services.licenses.queries.licenses import FIRST
from services.licenses.queries.records import UnsignedRow
from services.licenses.schemas.jobs import SignCollected
from services.licenses.signing import Signer, digest_of
from services.licenses.use_cases.keys import get_signer
from shared.database import direct
from shared.errors import ForbiddenError
from shared.events.licenses import LicenseChanged
from shared.ids import new_id
from shared.security.crypto import decrypt
from shared.security.tokens import Caller

BATCH = 500
STORE_SIGNATURES = direct.command(
    """WITH given AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb))
    AS r (id uuid, version smallint, signature text)
),
versions AS (
    UPDATE license_version v SET kid = :kid, signature = g.signature FROM given g
    WHERE v.license_id = g.id AND v.version = g.version
),
signed AS (
    UPDATE license l SET signed = true, revision = l.revision + 1, changed_at = :now FROM given g
    WHERE l.id = g.id
)
INSERT INTO license_counting (area_code, department_code, type_code, signed)
SELECT l.area_code, l.department_code, l.type_code, count(*)
FROM license l JOIN given g USING (id) GROUP BY 1, 2, 3"""
)


class SignedLicense(NamedTuple):
    license: LicenseRow
    signature: str


async def start_job(
    session: AsyncSession, command: SignCollected, *, caller: Caller, now: datetime
) -> SigningJob:
    """Sign what the department has collected until now.

    Raises:
        ForbiddenError: the caller belongs to no department.
    """
    if not caller.area or not caller.department:
        raise ForbiddenError("you belong to no department")
    total = await records.count_unsigned(
        session, area=caller.area, department=caller.department, type_code=command.type_code
    )
    job = SigningJob(
        id=new_id(),
        area_code=caller.area,
        department_code=caller.department,
        type_code=command.type_code,
        total=total,
        done=0,
        failed=0,
        reached=FIRST,
        created_by=caller.subject,
        created_at=now,
        finished_at=None,
    )
    if total == 0:
        job.finished_at = now
    session.add(job)
    journal = Journal(now)
    journal.append_audit(
        "licenses.sign",
        object_id=job.id,
        object_type="signing_job",
        type=command.type_code,
        total=total,
    )
    await journal.write(session)
    return job


async def sign_batch(session: AsyncSession, now: datetime) -> int | None:
    """Sign the next batch of some job: the number signed; None when no job waits."""
    job = await records.lock_waiting_job(session)
    if job is None:
        return None
    rows = await records.lock_unsigned(session, job, limit=BATCH)
    signer = await get_signer(session, kid=None, now=now)
    signed: list[SignedLicense] = []
    for row in rows:
        signature = _sign(row, signer)
        if signature is not None:
            signed.append(SignedLicense(row.license, signature))
    if signed:
        await _store_signatures(session, job, signed=signed, kid=signer.kid, now=now)
    job.done += len(signed)
    job.failed += len(rows) - len(signed)
    if rows:
        job.reached = rows[-1].license.id
    # A batch that is not full was the last one.
    if len(rows) < BATCH:
        job.finished_at = now
    return len(signed)


def _sign(row: UnsignedRow, signer: Signer) -> str | None:
    """The signature; None for a record that is no longer what was collected."""
    try:
        content = decrypt(row.sealed_record, RECORD).encode()
    except (InvalidTag, ValueError):
        return None
    # A signature says that the record is what was collected; a changed one gets none.
    if digest_of(content) != row.license.digest:
        return None
    return signer.sign(content)


async def _store_signatures(
    session: AsyncSession,
    job: SigningJob,
    *,
    signed: Sequence[SignedLicense],
    kid: str,
    now: datetime,
) -> None:
    given: list[dict[str, object]] = []
    journal = Journal(now)
    for row in signed:
        entry: dict[str, object] = {
            "id": row.license.id,
            "version": row.license.version,
            "signature": row.signature,
        }
        given.append(entry)
        journal.append_events(_signed_event(row.license, now))
    # The driver gives ids in a class of its own, which orjson does not take for a UUID.
    rows = orjson.dumps(given, default=str).decode()
    await STORE_SIGNATURES.execute(session, rows=rows, kid=kid, now=now)
    journal.append_audit(
        "licenses.sign_batch", object_id=job.id, object_type="signing_job", signed=len(signed)
    )
    await journal.write(session)


def _signed_event(license: LicenseRow, now: datetime) -> LicenseChanged:
    # The row was read before the statement that signs it.
    facts = facts_of(license, now)
    facts["signed"] = True
    facts["revision"] = license.revision + 1
    return LicenseChanged(**facts, change="signed")
