"""签发 of collected licences as a job: batches claimed by any worker, each batch one transaction with the job's progress."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from sqlalchemy import LargeBinary, bindparam, select, text, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from services.licenses.model.license import RECORD, UNSIGNED, License, LicenseVersion, facts_of
from services.licenses.model.records import SigningJob
from services.licenses.queries import records
from services.licenses.queries.licenses import FIRST
from services.licenses.schemas.jobs import SignCollected
from services.licenses.signing import Signer, digest_of
from services.licenses.use_cases.keys import get_signer
from shared.database import audit
from shared.errors import ForbiddenError
from shared.events.licenses import LicenseChanged
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import decrypt
from shared.security.tokens import Caller

BATCH = 500
LICENSE: Any = License.__table__.c
VERSION: Any = LicenseVersion.__table__.c
SIGN = text(
    "WITH given AS (SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, version smallint, signature text)),"
    " versions AS (UPDATE license_version v SET kid = :kid, signature = g.signature FROM given g"
    "  WHERE v.license_id = g.id AND v.version = g.version),"
    " signed AS (UPDATE license l SET signed = true, revision = l.revision + 1, changed_at = :now FROM given g"
    "  WHERE l.id = g.id)"
    " INSERT INTO license_counting (area_code, department_code, type_code, signed)"
    " SELECT l.area_code, l.department_code, l.type_code, count(*) FROM license l JOIN given g USING (id) GROUP BY 1, 2, 3"
).bindparams(bindparam("kid"), bindparam("now"))


async def start_job(
    session: AsyncSession, command: SignCollected, caller: Caller, now: datetime
) -> SigningJob:
    """Sign what the department has collected until now."""
    if not caller.area or not caller.department:
        raise ForbiddenError("you belong to no department")
    total = await records.count_unsigned(session, caller.area, caller.department, command.type_code)
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
        finished_at=None if total else now,
    )
    session.add(job)
    audit.record(
        session, "licenses.sign", "signing_job", job.id, type=command.type_code, total=total
    )
    return job


async def sign_batch(session: AsyncSession, now: datetime) -> int | None:
    """The next batch of some job: the number signed; None when no job waits."""
    open_ = select(SigningJob).where(text("finished_at IS NULL")).order_by(SigningJob.id).limit(1)
    job = await session.scalar(open_.with_for_update(skip_locked=True))
    if job is None:
        return None
    rows = await _next(session, job)
    signer = await get_signer(session, None, now)
    signed = [(row, signature) for row in rows if (signature := _sign(row, signer)) is not None]
    if signed:
        given = [
            {"id": row.id, "version": row.version, "signature": signature}
            for row, signature in signed
        ]
        values = {"rows": orjson.dumps(given, default=str).decode(), "kid": signer.kid, "now": now}
        _ = await session.execute(SIGN, values)
        await outbox.add_many(session, [_fact(row, now) for row, _ in signed])
        audit.record(session, "licenses.sign_batch", "signing_job", job.id, signed=len(signed))
    job.done += len(signed)
    job.failed += len(rows) - len(signed)
    job.reached = rows[-1].id if rows else job.reached
    if len(rows) < BATCH:
        job.finished_at = now
    return len(signed)


async def _next(session: AsyncSession, job: SigningJob) -> Sequence[Any]:
    """The next licences of the job, locked, each with its sealed record."""
    sealed = type_coerce(VERSION.record, LargeBinary).label("sealed")
    statement = (
        select(*LICENSE, sealed)
        .join(
            LicenseVersion.__table__,
            (VERSION.license_id == LICENSE.id) & (VERSION.version == LICENSE.version),
        )
        .where(
            LICENSE.area_code == job.area_code,
            LICENSE.department_code == job.department_code,
            text(UNSIGNED),
            LICENSE.id > job.reached,
            LICENSE.id < job.id,
        )
    )
    if job.type_code is not None:
        statement = statement.where(LICENSE.type_code == job.type_code)
    statement = statement.order_by(LICENSE.id).limit(BATCH).with_for_update(of=License.__table__)
    return (await session.execute(statement)).all()


def _sign(row: Any, signer: Signer) -> str | None:
    """None for a record that is no longer what was collected: nobody's name goes under that."""
    try:
        content = decrypt(row.sealed, RECORD).encode()
    except (InvalidTag, ValueError):
        return None
    return signer.sign(content) if digest_of(content) == row.digest else None


def _fact(row: Any, now: datetime) -> LicenseChanged:
    facts: dict[str, Any] = facts_of(row, now) | {"signed": True, "revision": row.revision + 1}
    return LicenseChanged(**facts, change="signed")
