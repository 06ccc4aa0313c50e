"""Codes by SMS: limited in number, bound to phone and purpose, used once."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.identity import queries, security
from services.identity.model import Account, AccountKind, SmsCode, SmsMessage, SmsPurpose
from services.identity.queries import SentCodes
from services.identity.schemas import AskSmsCode
from services.identity.settings import Settings
from services.identity.use_cases.issuing import refused
from services.identity.use_cases.locks import advisory_lock
from shared.database import audit
from shared.database.session import Database
from shared.errors import TooManyRequestsError
from shared.ids import new_id
from shared.messaging import outbox
from shared.security.crypto import lookup_hash

# Of a million codes: five tries find one with a chance of 1 in 200,000.
MAX_TRIES = 5
CODES_A_DAY = 10
CODES_AN_ADDRESS_AN_HOUR = 60
MINUTE = 60
HOUR = 3600


async def send_sms_code(
    session: AsyncSession, command: AskSmsCode, *, address: str, settings: Settings, now: datetime
) -> int:
    """Send a code; seconds until it expires.

    Limits: one a minute and ten a day per phone, sixty an hour per client address.

    Raises:
        TooManyRequestsError: a limit is used up.
    """
    phone_hash = lookup_hash(command.phone, purpose="phone")
    # So that requests at once cannot all pass the limits.
    await advisory_lock(session, phone_hash)
    await advisory_lock(session, lookup_hash(address, purpose="address"))
    sent = await queries.count_codes(session, phone_hash=phone_hash, address=address, now=now)
    _check_limits(sent)
    code = security.new_sms_code()
    row = SmsCode(
        id=new_id(),
        phone_hash=phone_hash,
        purpose=command.purpose,
        code_hash=security.sms_code_hash(command.phone, purpose=command.purpose, code=code),
        address=address,
        tries=0,
        used=False,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.sms_code_seconds),
    )
    session.add(row)
    # The development sender; an operator's SMS gateway takes this place in production.
    session.add(
        SmsMessage(id=new_id(), phone_hash=phone_hash, text=f"您的验证码是 {code}", sent_at=now)
    )
    return settings.sms_code_seconds


def _check_limits(sent: SentCodes) -> None:
    day_is_full = sent.phone_day >= CODES_A_DAY
    hour_is_full = sent.address_hour >= CODES_AN_ADDRESS_AN_HOUR
    if not sent.phone_minute and not day_is_full and not hour_is_full:
        return
    wait = HOUR
    if sent.phone_minute and not day_is_full:
        wait = MINUTE
    raise TooManyRequestsError(
        "wait before asking for another code", headers={"Retry-After": str(wait)}
    )


async def use_code(
    database: Database, phone: str, *, purpose: SmsPurpose, code: str, now: datetime
) -> None:
    """Use a code up, or count the failed attempt and refuse.

    In a transaction of its own: the refusal would roll the count back.

    Raises:
        UnauthenticatedError: the code is wrong, used, too old, or tried too often.
    """
    is_right = False
    async with database.transaction() as session:
        newest = await queries.lock_newest_code(
            session, lookup_hash(phone, purpose="phone"), purpose=purpose
        )
        if newest is not None and _can_be_tried(newest, now):
            newest.tries += 1
            is_right = newest.code_hash == security.sms_code_hash(phone, purpose=purpose, code=code)
            newest.used = is_right
    if not is_right:
        raise refused()


def _can_be_tried(code: SmsCode, now: datetime) -> bool:
    return not code.used and code.tries < MAX_TRIES and code.expires_at > now


async def account_of_phone(session: AsyncSession, phone: str, *, now: datetime) -> Account:
    """The account of a phone just proved; the first time makes one of level 1."""
    phone_hash = lookup_hash(phone, purpose="phone")
    # So that two first sign-ins at once make one account.
    await advisory_lock(session, phone_hash)
    account = await queries.find_by_phone(session, phone_hash)
    if account is None:
        account = Account.new(AccountKind.PERSON, now)
        account.phone = phone
        account.phone_hash = phone_hash
        session.add(account)
        outbox.add(session, account.registered())
        audit.record(session, "account.register", object_type="account", object_id=account.id)
        # Whoever opens a session next needs the row of the account.
        await session.flush()
    return account
