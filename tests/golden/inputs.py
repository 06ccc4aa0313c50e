"""What the scenarios feed in: documents and events as bytes, with fixed identifiers and digests.

Events are written out by hand here and not made by the code under test. So they also prove that
facts stored by earlier versions can still be read.
"""

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.conftest import DATA_KEY, PLATFORM_KEY
from tests.golden.normalise import fixed
from tests.golden.recorder import CITY, DEPARTMENT
from tests.golden.surface import Sent

FOLDER = Path(__file__).parent / "inputs"

NEXT_DOOR = "11540100MB0Q01905U"
MATTER_CODE = DEPARTMENT + "3000117051000"
TEAHOUSE = fixed(1001)
TRADE = fixed(1002)
BUNDLE = fixed(1010)

PDF = b"%PDF-1.7 synthetic"
PNG = b"\x89PNG\r\n\x1a\n synthetic"

RENT = {"Q1": "rent", "Q2": "yes"}
OWN = {"Q1": "own", "Q2": "no"}
# Digests of the personal guides of TEAHOUSE for these answers; `GAP`: of version 2, M3 promised.
RENT_DIGEST = "sha256:c53f5a4255e2ef6658410d77cb480bc1c8e5b585de81341c5f69246f74b9947f"
OWN_DIGEST = "sha256:d22fdc11974473dbe472d46c473d5c222d62fcd804ea7b7ba68c110120b166de"
GAP_DIGEST = "sha256:61ae16b2bcf1b648c238aa0acbec971a9b9b030f032627953a2137b30d16d99f"
BUNDLE_DIGEST = "sha256:f679654ced6867086b6ed006f401dd109d417756d5a4de327054f5fa1c771d12"

PERSON = {
    "kind": "person",
    "name": "卓玛央金",
    "id_number": "540102199001010011",
    "phone": "13989001234",
}
FIRM = {
    "kind": "organisation",
    "name": "拉萨雪域茶业有限公司",
    "id_number": DEPARTMENT,
    "phone": "13989001234",
}

_NONCE = b"golden nonce"


def document(name: str, /, **changes: Any) -> dict[str, Any]:
    """`teahouse`, `trade`, `bundle` or `bundle_snapshot`, with some members changed."""
    return {**orjson.loads((FOLDER / f"{name}.json").read_bytes()), **changes}


def with_promise(teahouse: dict[str, Any]) -> dict[str, Any]:
    """The teahouse, whose floor plan M3 may come later."""
    for material in teahouse["materials"]:
        if material["code"] == "M3":
            material["necessity"] = "3"
    return teahouse


def stored_events() -> list[Sent]:
    """Facts of every type as the services published them before the refactoring, in their order."""
    lines = (FOLDER / "events.jsonl").read_bytes().strip().split(b"\n")
    documents = [(orjson.loads(line), line) for line in lines]
    return [
        Sent(f"tongban.{one['type'].split('.')[1]}", one["partitionkey"], line)
        for one, line in documents
    ]


def event(number: int, service: str, *, fact: str, key: str, data: dict[str, Any]) -> Sent:
    """A fact as another service would have published it: CloudEvents 1.0, structured."""
    envelope = {
        "specversion": "1.0",
        "id": fixed(900_000 + number),
        "source": f"/tongban/{service}",
        "type": f"tongban.{service}.{fact}.v1",
        "subject": key,
        "time": data["occurred_at"],
        "recordedtime": data["occurred_at"],
        "datacontenttype": "application/json",
        "partitionkey": key,
        "entityversion": str(data["revision"]),
        "correlationid": f"golden-event-{number:04d}",
        "actor": fixed(190),
        "data": data,
    }
    return Sent(f"tongban.{service}", key, orjson.dumps(envelope))


def matter_published(
    number: int, matter_id: str, *, text: dict[str, Any], version: int = 1, **changes: Any
) -> Sent:
    data = {
        "revision": version,
        "occurred_at": "2026-03-02T01:00:00+00:00",
        "matter_id": matter_id,
        "code": text["code"],
        "local_code": text["local_code"],
        "area_code": text["area_code"],
        "department_code": text["department_code"],
        "version": version,
        "type": text["type"],
        "level": 3,
        "previous_level": None,
        "situational": bool(text["questions"]),
        "document": text,
        **changes,
    }
    return event(number, "matters", fact="matter-published", key=matter_id, data=data)


def bundle_published(number: int, *, is_open: bool = True, version: int = 1) -> Sent:
    data = {
        "revision": version,
        "occurred_at": "2026-03-02T01:00:00+00:00",
        "bundle_id": BUNDLE,
        "code": "TEAHOUSE",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "version": version,
        "open": is_open,
        "document": document("bundle_snapshot"),
    }
    return event(number, "matters", fact="bundle-published", key=BUNDLE, data=data)


def license_event(number: int, fact: str, *, license_id: str, **changes: Any) -> Sent:
    """About a business licence (营业执照) of `PERSON`."""
    data = {
        "revision": 1,
        "occurred_at": "2026-03-02T01:00:00+00:00",
        "license_id": license_id,
        "identifier": "1.2.156.3005.2.11540100MB0Q01904W001.11540100MB0Q01904W.2021000001.001.A",
        "number": "540100200123456",
        "type_code": "YYZZ",
        "type_name": {"zh": "营业执照"},
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "issuer_code": DEPARTMENT,
        "holder_kind": "person",
        "holder": pseudonym(PERSON["id_number"]),
        "account_id": fixed(1),
        "status": "01",
        "trust": "A",
        "issued_on": "2021-05-20",
        "valid_from": None,
        "valid_until": "2031-05-19",
        "digest": "ab" * 32,
        "origin": "collected",
        "signed": True,
        "case_id": None,
        **changes,
    }
    return event(number, "licenses", fact=fact, key=license_id, data=data)


def case_event(number: int, fact: str, *, case: int = 1, **changes: Any) -> Sent:
    """About one case of the teahouse, by `PERSON`. `changes` are members of the fact."""
    case_id = fixed(4000 + case)
    data = {
        "revision": 1,
        "occurred_at": "2026-03-09T03:00:00+00:00",
        "case_id": case_id,
        "number": f"{MATTER_CODE}20260302{case:04d}",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "matter_id": TEAHOUSE,
        "matter_code": MATTER_CODE,
        "matter_name": "我要开茶馆",
        "matter_type": "01",
        "immediate": False,
        "channel": "pc",
        "applicant_kind": "person",
        "account_id": fixed(1),
        "bundle_case_id": None,
        **changes,
    }
    return event(number, "cases", fact=fact, key=case_id, data=data)


def identity_verified(number: int, account: int, *, name: str, id_number: str) -> Sent:
    data = {
        "revision": 2,
        "occurred_at": "2026-03-09T03:00:00+00:00",
        "account_id": fixed(account),
        "level": 2,
        "method": "simulator",
        "holder": seal_for({"name": name, "id_number": id_number}, "identity.person"),
    }
    return event(number, "identity", fact="identity-verified", key=fixed(account), data=data)


def organisation_linked(number: int, account: int, *, organisation: int, uscc: str) -> Sent:
    data = {
        "revision": 3,
        "occurred_at": "2026-03-09T03:00:00+00:00",
        "account_id": fixed(account),
        "organisation_id": fixed(organisation),
        "uscc": uscc,
    }
    return event(number, "identity", fact="organisation-linked", key=fixed(account), data=data)


def records_received(number: int, resource: str, *, records: list[Any], **changes: Any) -> Sent:
    """A chunk of a signed batch."""
    data = {
        "revision": 1,
        "occurred_at": "2026-03-10T01:00:00+00:00",
        "batch_id": fixed(3001),
        "chunk": 1,
        "chunks": 1,
        "peer_code": "fangguan",
        "area_code": CITY,
        "department_code": DEPARTMENT,
        "resource": resource,
        "first_row": 1,
        "records": seal_for(records, "exchange.records"),
        **changes,
    }
    return event(
        number, "exchange", fact="record-received", key=f"{data['peer_code']}/{resource}", data=data
    )


def pseudonym(number: str) -> str:
    """The name of a person among the services, as the platform key makes it."""
    derived = hmac.digest(base64.b64decode(PLATFORM_KEY), b"tongban/pseudonym", hashlib.sha256)
    digest = hmac.digest(derived, number.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def seal_for(value: Any, purpose: str) -> str:
    """A value sealed under the platform key, always with the same nonce."""
    derived = hmac.digest(
        base64.b64decode(PLATFORM_KEY), b"tongban/seal/" + purpose.encode(), hashlib.sha256
    )
    sealed = AESGCM(derived).encrypt(_NONCE, orjson.dumps(value), purpose.encode())
    return base64.b64encode(b"\x01" + _NONCE + sealed).decode()


def encrypt(text: str, purpose: str) -> bytes:
    """A value of a column as a service keeps it, always with the same nonce."""
    derived = hmac.digest(
        base64.b64decode(DATA_KEY), b"tongban/encrypt/" + purpose.encode(), hashlib.sha256
    )
    return b"\x01" + _NONCE + AESGCM(derived).encrypt(_NONCE, text.encode(), purpose.encode())


def signing_key(kid: str, seed: int) -> tuple[bytes, str]:
    """A fixed key as its table keeps it: the encrypted private key, and the public JWK in JSON."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    private = _base64url(key.private_bytes_raw())
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": _base64url(key.public_key().public_bytes_raw()),
        "kid": kid,
        "use": "sig",
        "alg": "EdDSA",
    }
    return encrypt(private, "signing_key.private_key"), orjson.dumps(jwk).decode()


def private_jwk(kid: str, seed: int) -> str:
    """A private key that never changes, as JWK in JSON."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    x, d = _base64url(key.public_key().public_bytes_raw()), _base64url(key.private_bytes_raw())
    return orjson.dumps({"crv": "Ed25519", "x": x, "d": d, "kid": kid, "kty": "OKP"}).decode()


def jwk_pair(kid: str, seed: int, *, column: str) -> tuple[bytes, str]:
    """As `signing_key`, where the private key is kept as JWK too, encrypted for this column."""
    private = private_jwk(kid, seed)
    public = {name: value for name, value in orjson.loads(private).items() if name != "d"}
    jwk = {**public, "use": "sig", "alg": "Ed25519"}
    return encrypt(private, column), orjson.dumps(jwk).decode()


class BatchSigner:
    """A bureau's system that signs its batches with a key that never changes."""

    kid = "k1"
    code = "fangguan"

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([21]) * 32)

    @property
    def jwk(self) -> dict[str, str]:
        x = _base64url(self._key.public_key().public_bytes_raw())
        return {"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x}

    def headers(self, body: bytes, number: str, *, records: int, **changes: str) -> dict[str, str]:
        """The headers of a signed batch; `changes` are made after it was signed."""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        fields = {
            "Batch-Resource": "cases",
            "Batch-Area": CITY,
            "Batch-Id": number,
            "Batch-Records": str(records),
            "Content-Digest": f"sha-256=:{digest}:",
            "Batch-Created": "2026-03-10T09:30:00+08:00",
        }
        lines = "".join(f"{field}\n" for field in ("tongban-batch/1", self.code, *fields.values()))
        signature = base64.b64encode(self._key.sign(lines.encode())).decode()
        more = {
            "Batch-Key-Id": self.kid,
            "Batch-Signature": signature,
            "Content-Type": "application/x-ndjson",
        }
        return {**fields, **more, **changes}


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
