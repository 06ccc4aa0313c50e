"""Commands and answers about peers (对端)."""

import ipaddress
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.exchange.peers.model import PeerKind
from shared.errors import InvalidValueError
from shared.events.exchange import Resource
from shared.fields import Line

AreaCode = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
DepartmentCode = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,40}$")]
PeerCode = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
EventType = Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,120}$")]
KeyId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")]


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        # The library's text repeats what was sent.
        raise InvalidValueError("is no network as 10.20.0.0/16") from None
    if network.prefixlen == 0:
        raise InvalidValueError("the whole address space is no network of a peer")
    return str(network)


Network = Annotated[str, Field(max_length=50), AfterValidator(_network)]
"""CIDR, as `10.20.0.0/16`."""


class Strict(BaseModel):
    """A command: unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class ChangePeer(Strict):
    """What a peer is and may; everything at once, so that a right left out is a right taken."""

    name: Line
    # In commands closed lists are literals: the rule of a fault is `literal_error`, by contract.
    kind: Literal["bureau", "regional", "sandbox"]
    account_id: UUID | None = None
    area_code: AreaCode
    department_code: DepartmentCode
    event_types: Annotated[list[EventType], Field(max_length=200)] = []
    resources: Annotated[list[Resource], Field(max_length=20)] = []
    area_codes: Annotated[list[AreaCode], Field(max_length=100)] = []
    networks: Annotated[list[Network], Field(max_length=50)] = []
    active: bool = True


class NewPeer(ChangePeer):
    """`code` never changes: it stands in addresses and events."""

    code: PeerCode


class NewKey(Strict):
    """A public Ed25519 key as JWK; `kid` is new for each key."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    kid: KeyId
    x: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]


class KeyRead(BaseModel):
    """`retired_at` null: it holds."""

    kty: str
    crv: str
    kid: str
    x: str
    added_at: datetime | None = None
    retired_at: datetime | None = None


class PeerRead(BaseModel):
    """A peer, its rights and its keys."""

    id: UUID
    revision: int
    code: str
    name: str
    kind: PeerKind
    account_id: UUID | None
    area_code: str
    department_code: str
    keys: list[KeyRead]
    event_types: list[str]
    resources: list[Resource]
    area_codes: list[str]
    networks: list[str]
    active: bool
    created_at: datetime
