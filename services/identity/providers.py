"""Outside parties behind interfaces: real-name verification. The simulator serves development and demonstrations."""

from datetime import date
from typing import Protocol

from shared import codes


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
