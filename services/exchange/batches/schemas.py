"""What a batch says of itself in its headers, and how it is shown."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.exchange.batches.model import BatchState
from shared.events.exchange import Resource

MAX_RECORDS = 50_000
MAX_BYTES = 32 * 1024 * 1024
"""Of the body as sent, and again of what a compressed one unpacks to."""


@dataclass(frozen=True, slots=True)
class BatchClaim:
    """The headers of a batch as sent; `line` is what the peer signs."""

    number: str
    resource: Resource
    area_code: str
    records: int
    digest: bytes
    created: str
    key_id: str
    signature: bytes

    def line(self, peer_code: str) -> bytes:
        """What is signed: eight fields in UTF-8, each ended by a line feed.

        `tongban-batch/1`, peer code, resource, area code, batch id, number of records,
        `Content-Digest` and created time, each exactly as in its header. Neither method nor address
        nor encoding of the body is signed.
        """
        fields = (
            "tongban-batch/1",
            peer_code,
            self.resource,
            self.area_code,
            self.number,
            str(self.records),
            digest_field(self.digest),
            self.created,
        )
        return "".join(f"{field}\n" for field in fields).encode()


def digest_field(digest: bytes) -> str:
    """`Content-Digest` (RFC 9530) of a SHA-256."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def read_digest(field: str) -> bytes:
    """The SHA-256 in a `Content-Digest` that holds nothing else.

    Raises `ValueError` for anything else.
    """
    text = field.removeprefix("sha-256=:").removesuffix(":")
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if digest_field(digest) != field or len(digest) != 32:
        raise ValueError("not a SHA-256 digest")
    return digest


class BatchRead(BaseModel):
    """A batch and how far it has come.

    `waiting_seconds` is how long it has waited for missing verdicts, `overdue` whether too long.
    """

    id: UUID
    number: str
    peer_code: str
    resource: Resource
    area_code: str
    state: BatchState
    records: int
    chunks: int
    chunks_judged: int
    accepted: int
    unchanged: int
    rejected: int
    received_at: datetime
    finished_at: datetime | None
    waiting_seconds: int
    overdue: bool


class ReceiptKeySet(BaseModel):
    """A JWK set: the Ed25519 keys that sign receipts and statements, and all that ever did."""

    keys: list[dict[str, str]]


class BatchFigures(BaseModel):
    """Running figures of one peer and resource.

    `in_judgement` have no verdict yet; `oldest_waiting_seconds` is the lag.
    """

    peer_code: str
    resource: str
    received: int
    accepted: int
    unchanged: int
    rejected: int
    rejected_by_rule: dict[str, int]
    in_judgement: int
    oldest_waiting_seconds: int
    pushed: int
    push_rejected: int
    push_rejected_by_code: dict[str, int]
