"""What a process tells the operator about itself, at `/internal/status` of its own port.

`tongban status` reads it from every process (`deploy/operate/status.py`). It holds no secret and no
personal data, but is not for the public: the gateway routes nothing below `/internal`.
"""

import asyncio
import platform
import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from shared import clock
from shared.build import VERSION

PATH = "/internal/status"
CERTIFICATES_AGAIN = 3600.0
"""Seconds between two looks at the certificates."""
CERTIFICATE_SECONDS = 3.0
"""How long one look may take."""
PEM_ENDINGS = (".pem", ".crt", ".cer")


class DatabaseState(BaseModel):
    """What is measured in the database of a service."""

    clock_skew_seconds: float
    """The clock of this process less that of the database."""
    outbox_facts: int
    """Facts that are not known to be on the bus."""
    outbox_age_seconds: float
    """Age of the oldest of them; 0 without one."""
    dead_letters: int
    dead_letters_given_up: int
    """Dead letters that wait for a person."""
    refused: str | None
    """Why the relay publishes nothing; None when it does."""


class Lag(BaseModel):
    """What a service has not taken of a topic."""

    topic: str
    facts: int
    seconds: float
    """Age of the oldest of them; 0 without one."""


class Pool(BaseModel):
    """Connections to the database."""

    in_use: int
    limit: int


class Disk(BaseModel):
    """A disk that this process writes files to."""

    name: str
    free_bytes: int
    size_bytes: int
    refused: bool = False
    """A file was refused a short time ago because the disk is full."""


class Certificate(BaseModel):
    """A certificate that a setting names, as a file or as an address."""

    setting: str
    expires_at: datetime


class Status(BaseModel):
    """One process. What could not be read is None."""

    process: str
    service: str
    version: str = VERSION
    python: str = platform.python_version()
    now: datetime
    started_at: datetime
    checks: dict[str, bool]
    """As `/readyz` tells them."""
    keys: dict[str, str] = {}
    """Name of a key → a value by which equal keys are known."""
    database: DatabaseState | None = None
    lag: list[Lag] | None = None
    pool: Pool | None = None
    disks: list[Disk] = []
    certificates: list[Certificate] = []
    circuits: dict[str, str] = {}
    """Of the gateway: service → `closed` or `open`."""
    copies_missing: int | None = None
    """Copies of the service's topic that are missing; None when the process does not look."""
    copies_below_minimum: int | None = None
    """Partitions with fewer copies in step than a write needs."""


class Certificates:
    """The certificates that a process's settings name: files, and addresses with https."""

    def __init__(self, settings: BaseSettings) -> None:
        self._places = dict(_named_places(settings))
        self._found: list[Certificate] = []
        self._read_at = float("-inf")

    async def read(self) -> list[Certificate]:
        """Each with its end; a place that cannot be read now is left out."""
        now = asyncio.get_running_loop().time()
        if self._places and now - self._read_at > CERTIFICATES_AGAIN:
            self._read_at = now
            readings = [asyncio.to_thread(_expiry, place) for place in self._places.values()]
            ends = await asyncio.gather(*readings, return_exceptions=True)
            self._found = []
            for setting, end in zip(self._places, ends, strict=True):
                if isinstance(end, datetime):
                    self._found.append(Certificate(setting=setting, expires_at=end))
                else:
                    # Asked again at the next look: whoever starts first finds nobody.
                    self._read_at = float("-inf")
        return self._found


def _named_places(settings: BaseSettings) -> Iterator[tuple[str, str]]:
    """Setting and value of everything that may have a certificate."""
    prefix = settings.model_config.get("env_prefix", "")
    for name in type(settings).model_fields:
        value: object = getattr(settings, name)
        setting = f"{prefix}{name}".upper()
        if isinstance(value, str) and _may_have_certificate(value):
            yield setting, value
        elif isinstance(value, Mapping):
            for key, entry in cast("Mapping[str, object]", value).items():
                if isinstance(entry, str) and _may_have_certificate(entry):
                    yield f"{setting}.{key}", entry


def _may_have_certificate(value: str) -> bool:
    return value.startswith("https://") or value.endswith(PEM_ENDINGS)


def _expiry(place: str) -> datetime:
    """The end of the certificate at an address, or of the first one in a file."""
    if place.startswith("https://"):
        parts = urlsplit(place)
        # Not verified: an expired one is what we look for.
        pem = ssl.get_server_certificate(
            (parts.hostname or "", parts.port or 443), timeout=CERTIFICATE_SECONDS
        ).encode()
    else:
        pem = Path(place).read_bytes()
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


STARTED_AT = clock.now()
"""When this process started, near enough: this module is imported then."""
