"""证照编号, 证照标识 and the codes printed with a licence (GB/T 36904; norms §4)."""

import base64
import hashlib
import hmac
import re
import secrets
from datetime import date
from uuid import UUID

from shared.domain import codes, masking
from shared.security.crypto import lookup_hash, pseudonym

ROOT = "1.2.156.3005.2"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O, U, which people misread."""
SERIAL = re.compile(r"[0-9A-Z]{4,32}")
ID_NUMBER = re.compile(r"(?=([1-9][0-9]{16}[0-9Xx]))")
"""Wherever one may begin."""
IDENTIFIER = re.compile(
    r"1\.2\.156\.3005\.2\.([0-9A-Z]{21})\.([0-9A-Z]{18})\.([0-9A-Z]{1,40})\.([0-9]{3})\.([0-9A-Z])"
)
CHARACTERS = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))
"""What a byte is written as."""
CODE_LENGTH = 8
MAC = 12
MAX_VERSION = 999


def identifier(type_code: str, issuer: str, serial: str, version: int) -> str:
    """证照标识: root, type, issuer, serial, version of three digits, check character (MOD 37,36)."""
    payload = f"{type_code}.{issuer}.{serial}.{version:03d}"
    return f"{ROOT}.{payload}.{codes.license_check_character(payload)}"


def check_identifier(text: str) -> str:
    """A 证照标识 whose form and check character hold; raises ValueError naming the broken rule."""
    value = text.strip().upper()
    found = IDENTIFIER.fullmatch(value)
    if found is None:
        raise ValueError(
            f"a licence identifier is {ROOT}.<type 21>.<issuer 18>.<serial>.<version 3>.<check>"
        )
    if codes.license_check_character("".join(found.groups()[:4])) != found[5]:
        raise ValueError("the check character of the licence identifier does not fit")
    return value


def new_number(on: date) -> str:
    """A number for a licence that brings none: the day and twelve random characters, which serve as its serial too."""
    return f"{on:%Y%m%d}" + "".join(secrets.choice(ALPHABET) for _ in range(12))


def serial_of(issuer: str, type_code: str, number: str, person: str | None = None) -> str:
    """流水号: the licence number where it has the form, else 20 characters that always follow from it.

    They follow under the service's key where the number carries the ID number of the holder, who is a `person` (her
    pseudonym): everybody sees identifiers, and whoever guesses a birthday finds the number that a plain digest is of.
    """
    place = f"{issuer}/{type_code}/{number}"
    if masked_number(number, person) != number:
        digest = lookup_hash(place, "license.serial")
    elif SERIAL.fullmatch(number):
        return number
    else:
        digest = hashlib.sha256(place.encode()).digest()
    return digest[:20].translate(CHARACTERS).decode()


def masked_number(number: str, person: str | None) -> str:
    """证照编号 as others than its holder see it: masked where it carries her ID number, of which `person` is the pseudonym."""
    for found in ID_NUMBER.finditer(number):
        if person is not None and pseudonym(found[1]) == person:
            return number.replace(found[1], masking.mask_id_number(found[1]))
    return number


def check_code(license_id: UUID) -> str:
    """校验码, printed with the licence: whoever holds the paper may check it. Derived, so that none is ever stored."""
    mac = lookup_hash(license_id.hex, "license.check_code")
    return mac[:CODE_LENGTH].translate(CHARACTERS).decode()


def _mac(content: bytes) -> bytes:
    return lookup_hash(content.hex(), "license.qr")[:MAC]


def qr_token(license_id: UUID, version: int) -> str:
    """What the QR carries: id and version of the licence and proof that we made it, 40 characters. Derived as well."""
    content = license_id.bytes + version.to_bytes(2, "big")
    return base64.urlsafe_b64encode(content + _mac(content)).decode()


def read_qr_token(token: str) -> tuple[UUID, int] | None:
    """Licence and version of a token that is ours; None for any other."""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except ValueError:
        return None
    if len(raw) != 18 + MAC:
        return None
    content, mac = raw[:18], raw[18:]
    return (
        (UUID(bytes=content[:16]), int.from_bytes(content[16:]))
        if hmac.compare_digest(_mac(content), mac)
        else None
    )
