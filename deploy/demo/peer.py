"""A bureau's own system: registered as a peer, it signs batches and reads their receipts."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jws
from joserfc.jwk import OKPKey

from deploy.demo.stage import Difference, Headers, Stage
from deploy.sample import accounts, catalogue
from shared import clock

KID = "demo-1"


@dataclass
class PeerSystem:
    """One bureau's system at the platform's exchange."""

    stage: Stage
    username: str
    code: str
    area: str

    async def headers(self) -> Headers:
        return await self.stage.officer(self.username)

    async def send(
        self, resource: str, name: str, records: list[dict[str, Any]]
    ) -> tuple[str, bytes]:
        """A signed batch of NDJSON; its id at the platform and the receipt of stage 1 as it came."""
        body = b"".join(orjson.dumps(record) + b"\n" for record in records)
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        created, number = clock.now().isoformat(), f"demo-{self.stage.mark}-{name}"
        fields = (
            "tongban-batch/1",
            self.code,
            resource,
            self.area,
            number,
            str(len(records)),
            digest,
            created,
        )
        signature = self._key().sign("".join(f"{field}\n" for field in fields).encode())
        headers = {
            **await self.headers(),
            "Content-Type": "application/x-ndjson",
            "Content-Digest": digest,
            "Batch-Id": number,
            "Batch-Resource": resource,
            "Batch-Area": self.area,
            "Batch-Records": str(len(records)),
            "Batch-Created": created,
            "Batch-Key-Id": KID,
            "Batch-Signature": base64.b64encode(signature).decode(),
        }
        answer = await self.stage.client.post("/exchange/batches", content=body, headers=headers)
        if answer.status_code not in {200, 201}:
            raise Difference(f"the batch was answered {answer.status_code}: {answer.text[:600]}")
        receipt = answer.content
        return str((await self.verified(receipt))["batch_id"]), receipt

    async def final(self, batch_id: str) -> tuple[dict[str, Any], bytes]:
        """The receipt of stage 2, once every record has its verdict: as JSON, and as it came."""

        async def ask() -> Any:
            path = f"/exchange/batches/{batch_id}/receipts/2"
            answer = await self.stage.client.get(path, headers=await self.headers())
            return answer.content if answer.status_code == 200 else None

        receipt: bytes = await self.stage.until("the receipt of stage 2", ask, 120)
        return await self.verified(receipt), receipt

    async def verified(self, receipt: bytes) -> dict[str, Any]:
        """What a receipt says, its signature checked with the platform's published keys."""
        keys = (await self.stage.call("GET", "/exchange/keys"))["keys"]
        header = orjson.loads(base64.urlsafe_b64decode(receipt.split(b".")[0] + b"=="))
        key = next(key for key in keys if key["kid"] == header["kid"])
        found = jws.deserialize_compact(receipt, OKPKey.import_key(key), algorithms=["Ed25519"])
        return orjson.loads(found.payload)

    def _key(self) -> Any:
        account = self.stage.account(self.username)
        return OKPKey.import_key(account["private_key"]).raw_value


async def register(
    stage: Stage, username: str, resources: list[str], types: list[str]
) -> PeerSystem:
    """The peer of a sample system, made or found; what it may is set anew."""
    account, administrator = stage.account(username), await stage.officer("administrator")
    bureau = accounts.SYSTEMS[username][1]
    code = f"demo-{bureau}"
    body = {
        "name": accounts.SYSTEMS[username][0],
        "kind": "bureau",
        "account_id": account["client_id"],
        "area_code": catalogue.CITY,
        "department_code": catalogue.department_code(catalogue.CITY, bureau),
        "event_types": types,
        "resources": resources,
        "area_codes": [catalogue.CITY],
    }
    key = OKPKey.import_key(account["private_key"]).as_dict(private=False)
    _ = await keep_peer(stage, administrator, code, body, {"kid": KID, "x": str(key["x"])})
    return PeerSystem(stage, username, code, catalogue.CITY)


async def keep_peer(
    stage: Stage, administrator: Headers, code: str, body: dict[str, Any], key: dict[str, str]
) -> dict[str, Any]:
    """The peer as the operator wants it, with this key pinned."""
    peers = (await stage.call("GET", "/exchange/peers", administrator, params={"limit": 200}))[
        "items"
    ]
    peer = next((one for one in peers if one["code"] == code), None)
    if peer is None:
        new = {"code": code, **body}
        once = stage.once(f"peer-{code}")
        peer = await stage.call(
            "POST", "/exchange/peers", administrator, status=201, json=new, headers=once
        )
    else:
        versioned = {"If-Match": f'"{peer["revision"]}"'}
        path = f"/exchange/peers/{peer['id']}"
        peer = await stage.call(
            "PUT", path, administrator, json={"active": True, **body}, headers=versioned
        )
    if all(known["kid"] != key["kid"] for known in peer["keys"]):
        versioned = {"If-Match": f'"{peer["revision"]}"', **stage.once(f"key-{code}")}
        path = f"/exchange/peers/{peer['id']}/keys"
        peer = await stage.call(
            "POST", path, administrator, status=201, json=key, headers=versioned
        )
    return peer
