"""Outside parties behind interfaces; the simulators serve development and demonstrations, never production."""

from datetime import date
from typing import NamedTuple, Protocol

from shared.domain import codes


class RealNameProvider(Protocol):
    """Tells whether name, ID number and the card's last valid day belong together (公安实名核验)."""

    async def verify(self, name: str, id_number: str, valid_until: date, today: date) -> bool: ...


class RealNameSimulator:
    """Accepts every sound ID number whose card is valid; the name 不符 never fits."""

    async def verify(self, name: str, id_number: str, valid_until: date, today: date) -> bool:
        try:
            _ = codes.check_id_number(id_number, today)
        except ValueError:
            return False
        return valid_until >= today and name != "不符"


class OrganisationProvider(Protocol):
    """Tells whether the register names this person as legal representative of the organisation (市场监管法人核验)."""

    async def verify(self, uscc: str, name: str, representative: str, id_number: str) -> bool: ...


class OrganisationSimulator:
    """Accepts every sound code (USCC); the name 不符 never fits."""

    async def verify(self, uscc: str, name: str, representative: str, id_number: str) -> bool:
        try:
            _ = codes.check_uscc(uscc)
        except ValueError:
            return False
        return name != "不符"


class MiniProgramIds(NamedTuple):
    """What a mini-program's platform calls its user: `openid` within one app, `unionid` across its owner's apps."""

    openid: str
    unionid: str | None


class MiniProgramProvider(Protocol):
    """Changes the one-time code of a mini-program (小程序登录) for its user; None when the code does not hold."""

    async def exchange(self, app_id: str, code: str) -> MiniProgramIds | None: ...


class MiniProgramSimulator:
    """Reads the user out of the code itself: `openid` or `openid:unionid`; the code `invalid` never holds."""

    async def exchange(self, app_id: str, code: str) -> MiniProgramIds | None:
        openid, _, unionid = code.partition(":")
        return MiniProgramIds(openid, unionid or None) if openid and code != "invalid" else None
