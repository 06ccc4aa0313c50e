"""A bureau's own system: registered as a peer, it signs batches and reads their receipts."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from joserfc import jws
from joserfc.jwk import OKPKey

from deploy.demo.answers import Page, Peer, PublicKey, Receipt
from deploy.demo.context import ALL, DemoContext, ScenarioError, if_match
from deploy.sample import accounts, catalogue
from deploy.sample.accounts import Headers, SystemAccount
from shared import clock

KEY_ID = "demo-1"
Record = dict[str, object]


@dataclass
class PeerSystem:
    """One bureau's system at the platform's exchange."""

    demo: DemoContext
    username: str
    code: str
    area: str

    async def headers(self) -> Headers:
        return await self.demo.sign_in(self.username)

    async def send_batch(
        self, resource: str, *, name: str, records: Sequence[Record]
    ) -> tuple[str, bytes]:
        """Send a signed batch of NDJSON.

        Returns its id at the platform, and the receipt of stage 1 byte for byte.
        """
        body = b"".join(orjson.dumps(record) + b"\n" for record in records)
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        created = clock.now().isoformat()
        number = f"demo-{self.demo.run_id}-{name}"
        count = str(len(records))
        # These lines in this order; exchange builds the same from the headers.
        signed = ("tongban-batch/1", self.code, resource, self.area, number, count, digest, created)
        signature = self._private_key().sign("".join(f"{line}\n" for line in signed).encode())
        headers = {
            **await self.headers(),
            "Content-Type": "application/x-ndjson",
            "Content-Digest": digest,
            "Batch-Id": number,
            "Batch-Resource": resource,
            "Batch-Area": self.area,
            "Batch-Records": count,
            "Batch-Created": created,
            "Batch-Key-Id": KEY_ID,
            "Batch-Signature": base64.b64encode(signature).decode(),
        }
        answer = await self.demo.client.post("/exchange/batches", content=body, headers=headers)
        # 200 answers a batch that was sent before with the receipt that it got then.
        if answer.status_code not in {200, 201}:
            text = answer.text[:600]
            raise ScenarioError(f"the batch was answered {answer.status_code}: {text}")
        receipt = answer.content
        return (await self._verified(receipt))["batch_id"], receipt

    async def final_receipt(self, batch_id: str) -> tuple[Receipt, bytes]:
        """The receipt of stage 2, once every record has its verdict: decoded, and as it came."""
        path = f"/exchange/batches/{batch_id}/receipts/2"

        async def ask() -> bytes | None:
            answer = await self.demo.client.get(path, headers=await self.headers())
            return answer.content if answer.status_code == 200 else None

        receipt = await self.demo.until("the receipt of stage 2", ask, seconds=120)
        return await self._verified(receipt), receipt

    async def _verified(self, receipt: bytes) -> Receipt:
        """What a receipt says, its signature checked with the platform's published keys."""
        keys: list[dict[str, str]] = (await self.demo.get("/exchange/keys")).json()["keys"]
        header = orjson.loads(base64.urlsafe_b64decode(receipt.split(b".")[0] + b"=="))
        # Several keys are published while the platform changes its own.
        key = next(key for key in keys if key["kid"] == header["kid"])
        imported = OKPKey.import_key({**key})
        found = jws.deserialize_compact(receipt, imported, algorithms=["Ed25519"])
        return orjson.loads(found.payload)

    def _private_key(self) -> Any:  # joserfc types it as a key of any of its curves
        account = _system(self.demo, self.username)
        return OKPKey.import_key({**account["private_key"]}).raw_value


def _system(demo: DemoContext, username: str) -> SystemAccount:
    account = demo.account(username)
    if "private_key" not in account:
        raise ScenarioError(f"{username} is not the account of a system")
    return account


async def register(
    demo: DemoContext, username: str, *, resources: list[str], types: list[str]
) -> PeerSystem:
    """Make or find the peer of a sample system, and set anew what it may do."""
    account = _system(demo, username)
    name, bureau = accounts.SYSTEMS[username]
    code = f"demo-{bureau}"
    body: Record = {
        "name": name,
        "kind": "bureau",
        "account_id": account["client_id"],
        "area_code": catalogue.CITY,
        "department_code": catalogue.department_code(catalogue.CITY, bureau=bureau),
        "event_types": types,
        "resources": resources,
        "area_codes": [catalogue.CITY],
    }
    key: PublicKey = {"kid": KEY_ID, "x": account["private_key"]["x"]}
    _ = await upsert_peer(demo, code, body=body, key=key)
    return PeerSystem(demo, username, code, catalogue.CITY)


async def upsert_peer(demo: DemoContext, code: str, *, body: Record, key: PublicKey) -> Peer:
    """Make or change the peer with this code, and pin this key."""
    administrator = await demo.sign_in("administrator")
    answer = await demo.get("/exchange/peers", who=administrator, params=ALL)
    page: Page[Peer] = answer.json()
    known = [peer for peer in page["items"] if peer["code"] == code]
    if known:
        answer = await demo.send(
            "PUT",
            path=f"/exchange/peers/{known[0]['id']}",
            who=administrator,
            headers=if_match(known[0]["revision"]),
            json={"active": True, **body},
        )
    else:
        answer = await demo.post(
            "/exchange/peers",
            who=administrator,
            headers=demo.once(f"peer-{code}"),
            json={"code": code, **body},
            status=201,
        )
    peer: Peer = answer.json()
    if any(pinned["kid"] == key["kid"] for pinned in peer["keys"]):
        return peer
    answer = await demo.post(
        f"/exchange/peers/{peer['id']}/keys",
        who=administrator,
        headers={**if_match(peer["revision"]), **demo.once(f"key-{code}")},
        json=key,
        status=201,
    )
    return answer.json()
