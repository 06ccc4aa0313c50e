"""Outside parties behind interfaces.

The simulators serve development and demonstrations, never production.
"""

from datetime import date
from typing import NamedTuple, Protocol

from shared.domain import codes

REFUSED_NAME = "不符"
"""The name that simulators never confirm."""


class IdCard(NamedTuple):
    """What a person states of the own ID card."""

    name: str
    id_number: str
    valid_until: date


class RealNameProvider(Protocol):
    """Tells whether name, ID number and the card's last day belong together (公安实名核验)."""

    async def verify(self, card: IdCard, today: date) -> bool: ...


class RealNameSimulator:
    """Accepts every sound ID number whose card is valid."""

    async def verify(self, card: IdCard, today: date) -> bool:
        try:
            _ = codes.check_id_number(card.id_number, today)
        except ValueError:
            return False
        return card.valid_until >= today and card.name != REFUSED_NAME


class OrganisationProvider(Protocol):
    """Tells whether the register names this person as legal representative (市场监管法人核验)."""

    async def verify(
        self, uscc: str, *, name: str, representative: str, id_number: str
    ) -> bool: ...


class OrganisationSimulator:
    """Accepts every sound USCC."""

    async def verify(self, uscc: str, *, name: str, representative: str, id_number: str) -> bool:
        try:
            _ = codes.check_uscc(uscc)
        except ValueError:
            return False
        return name != REFUSED_NAME


class MiniProgramIds(NamedTuple):
    """What a mini-program's platform calls its user.

    `openid` is of one app, `unionid` of all apps of the same owner.
    """

    openid: str
    unionid: str | None


class MiniProgramProvider(Protocol):
    """Exchanges the one-time code of a mini-program (小程序登录); None for a wrong code."""

    async def exchange(self, app_id: str, *, code: str) -> MiniProgramIds | None: ...


class MiniProgramSimulator:
    """Reads the user out of the code: `openid` or `openid:unionid`; `invalid` is a wrong code."""

    async def exchange(self, app_id: str, *, code: str) -> MiniProgramIds | None:
        openid, _, unionid = code.partition(":")
        if not openid or code == "invalid":
            return None
        return MiniProgramIds(openid, unionid or None)
