"""证照编号, 证照标识 and the codes printed with a license (GB/T 36904)."""

import base64
import hashlib
import hmac
import re
import secrets
from datetime import date
from uuid import UUID

from shared.domain import codes, masking
from shared.errors import InvalidValueError
from shared.security.crypto import lookup_hash, pseudonym

ROOT = "1.2.156.3005.2"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Digits and letters without I, L, O and U, which people misread."""
SERIAL = re.compile(r"[0-9A-Z]{4,32}")
# The lookahead finds overlapping candidates: an ID number may begin at any digit.
ID_NUMBER = re.compile(r"(?=([1-9][0-9]{16}[0-9Xx]))")
IDENTIFIER = re.compile(
    r"1\.2\.156\.3005\.2\.([0-9A-Z]{21})\.([0-9A-Z]{18})\.([0-9A-Z]{1,40})\.([0-9]{3})\.([0-9A-Z])"
)
CHARACTERS = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))
"""Translation table: a random byte → a character of `ALPHABET`."""
CODE_LENGTH = 8
MAC_BYTES = 12
TOKEN_CONTENT_BYTES = 18
"""16 bytes of the license's id and 2 of its version."""
MAX_VERSION = 999


def identifier(type_code: str, *, issuer: str, serial: str, version: int) -> str:
    """The identifier of a license (证照标识).

    Root, type, issuer, serial, version of three digits, check character (MOD 37,36).
    """
    payload = f"{type_code}.{issuer}.{serial}.{version:03d}"
    return f"{ROOT}.{payload}.{codes.license_check_character(payload)}"


def check_identifier(text: str) -> str:
    """The 证照标识 in capital letters.

    Raises:
        InvalidValueError: form or check character is wrong.
    """
    value = text.strip().upper()
    found = IDENTIFIER.fullmatch(value)
    if found is None:
        raise InvalidValueError(
            "a licence identifier is {root}.<type 21>.<issuer 18>.<serial>.<version 3>.<check>",
            root=ROOT,
        )
    if codes.license_check_character("".join(found.groups()[:4])) != found[5]:
        raise InvalidValueError("the check character of the licence identifier does not fit")
    return value


def random_code(length: int) -> str:
    """Characters of `ALPHABET` that nobody can guess."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_number(on: date) -> str:
    """A number for a license that brings none: the day and twelve random characters.

    It has the form of a serial, so the identifier contains it unchanged.
    """
    return f"{on:%Y%m%d}" + random_code(12)


def serial_of(
    issuer: str, *, type_code: str, number: str, holder_pseudonym: str | None = None
) -> str:
    """流水号: the license number where it has the form, else 20 characters derived from it.

    `holder_pseudonym` is given for a person. Where the number contains the ID number of this
    person, the serial is derived with the service's key: identifiers are public, and a plain
    digest could be found by trying birthdays.
    """
    source = f"{issuer}/{type_code}/{number}"
    if masked_number(number, person=holder_pseudonym) != number:
        digest = lookup_hash(source, purpose="license.serial")
    elif SERIAL.fullmatch(number):
        return number
    else:
        digest = hashlib.sha256(source.encode()).digest()
    return digest[:20].translate(CHARACTERS).decode()


def masked_number(number: str, *, person: str | None) -> str:
    """证照编号 for readers other than its holder.

    It is masked where it contains the ID number whose pseudonym is `person`.
    """
    for found in ID_NUMBER.finditer(number):
        if person is not None and pseudonym(found[1]) == person:
            return number.replace(found[1], masking.mask_id_number(found[1]))
    return number


def check_code(license_id: UUID) -> str:
    """校验码, printed with the license, so that whoever holds the paper may check it.

    It is derived from the id with the service's key and never stored.
    """
    mac = lookup_hash(license_id.hex, purpose="license.check_code")
    return mac[:CODE_LENGTH].translate(CHARACTERS).decode()


def _mac(content: bytes) -> bytes:
    return lookup_hash(content.hex(), purpose="license.qr")[:MAC_BYTES]


def qr_token(license_id: UUID, version: int) -> str:
    """Content of the QR code, 40 characters: id and version of the license, and a MAC over both."""
    content = license_id.bytes + version.to_bytes(2, "big")
    return base64.urlsafe_b64encode(content + _mac(content)).decode()


def read_qr_token(token: str) -> tuple[UUID, int] | None:
    """License and version of a token that this service made; None for any other text."""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except ValueError:
        return None
    if len(raw) != TOKEN_CONTENT_BYTES + MAC_BYTES:
        return None
    content, mac = raw[:TOKEN_CONTENT_BYTES], raw[TOKEN_CONTENT_BYTES:]
    if not hmac.compare_digest(_mac(content), mac):
        return None
    return UUID(bytes=content[:16]), int.from_bytes(content[16:])
