"""Codes by SMS: sent within budgets, bound to number and purpose, used once."""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Account, SmsCode, SmsMessage
from services.identity.schemas import AskSmsCode, Purpose
from services.identity.settings import Settings
from services.identity.use_cases.issuing import refused
from shared.database import audit
from shared.database.session import Database
from shared.errors import TooManyRequestsError
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash

MAX_TRIES = 5
CODES_A_DAY = 10
CODES_AN_ADDRESS_AN_HOUR = 60
ALONE = text("SELECT pg_advisory_xact_lock(:key)")


async def alone(session: AsyncSession, digest: bytes) -> None:
    """Until the transaction ends, nobody else works on what this hash names."""
    _ = await session.execute(ALONE, {"key": int.from_bytes(digest[:7])})


async def send_sms_code(
    session: AsyncSession, command: AskSmsCode, address: str, settings: Settings, now: datetime
) -> int:
    """Send a code; seconds until it expires. Budgets: one a minute and ten a day per number, sixty an hour per address."""
    phone_hash = lookup_hash(command.phone, "phone")
    await alone(session, phone_hash)
    await alone(session, lookup_hash(address, "address"))
    minute, day, hour = await queries.count_codes(session, phone_hash, address, now)
    if minute or day >= CODES_A_DAY or hour >= CODES_AN_ADDRESS_AN_HOUR:
        wait = 60 if minute and day < CODES_A_DAY else 3600
        raise TooManyRequestsError(
            "wait before asking for another code", headers={"Retry-After": str(wait)}
        )
    code = security.new_sms_code()
    row = SmsCode(
        id=new_id(),
        phone_hash=phone_hash,
        purpose=command.purpose,
        code_hash=security.sms_code_hash(command.phone, command.purpose, code),
        address=address,
        tries=0,
        used=False,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.sms_code_seconds),
    )
    session.add(row)
    # The development sender; an operator's gateway takes this place in production.
    session.add(
        SmsMessage(id=new_id(), phone_hash=phone_hash, text=f"您的验证码是 {code}", sent_at=now)
    )
    return settings.sms_code_seconds


async def use_code(
    database: Database, phone: str, purpose: Purpose, code: str, now: datetime
) -> None:
    """Use a code up, or count the failed try and refuse: in a transaction of its own, because a refusal undoes others."""
    async with database.transaction() as session:
        newest = await queries.find_newest_code(session, lookup_hash(phone, "phone"), purpose)
        if (
            newest is not None
            and not newest.used
            and newest.tries < MAX_TRIES
            and newest.expires_at > now
        ):
            newest.tries += 1
            newest.used = newest.code_hash == security.sms_code_hash(phone, purpose, code)
            good = newest.used
        else:
            good = False
    if not good:
        raise refused()


async def account_of_phone(session: AsyncSession, phone: str, now: datetime) -> Account:
    """The account of a number just proved; the first time makes one of level 1. One at a time per number."""
    phone_hash = lookup_hash(phone, "phone")
    await alone(session, phone_hash)
    account = await queries.find_by_phone(session, phone_hash)
    if account is None:
        account, fact = Account.new("person", now, phone=phone, phone_hash=phone_hash)
        session.add(account)
        outbox.add(session, fact)
        audit.record(session, "account.register", "account", account.id)
        await session.flush()
    return account
