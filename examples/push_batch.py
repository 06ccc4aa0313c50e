"""A push to copy: signs an NDJSON file of finished cases, sends it, verifies both receipts, lists what was rejected.

`python push_batch.py PEER.json CASES.ndjson BATCH-ID AREA`; needs `pip install httpx cryptography`, nothing else.
"""

import base64
import hashlib
import json
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PEER, BODY = json.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]).read_bytes()
JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
HTTP = httpx.Client(base_url=PEER["api"], timeout=60)


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(receipt: str) -> dict:
    """What the platform signed, or InvalidSignature. Keep the receipt as it came: it is evidence."""
    head, payload, signature = receipt.split(".")
    key = next(k for k in HTTP.get("/exchange/keys").json()["keys"] if k["kid"] == json.loads(raw(head))["kid"])
    Ed25519PublicKey.from_public_bytes(raw(key["x"])).verify(raw(signature), f"{head}.{payload}".encode())
    return json.loads(raw(payload))


KEY, now, me = Ed25519PrivateKey.from_private_bytes(raw(PEER["private_key"]["d"])), int(time.time()), PEER["client_id"]
claims = {"iss": me, "sub": me, "aud": PEER["assertion_audience"], "exp": now + 60, "jti": str(uuid.uuid4())}
parts = (json.dumps(part).encode() for part in ({"alg": "Ed25519"}, claims))
said = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
form = {"grant_type": "client_credentials", "client_assertion_type": JWT}
form["client_assertion"] = f"{said.decode()}.{base64.urlsafe_b64encode(KEY.sign(said)).decode().rstrip('=')}"
token = HTTP.post("/identity/oauth/token", data=form).raise_for_status().json()["access_token"]
HTTP.headers["Authorization"] = f"Bearer {token}"
digest = f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"
names = ("Batch-Resource", "Batch-Area", "Batch-Id", "Batch-Records", "Content-Digest", "Batch-Created")
values = ("cases", sys.argv[4], sys.argv[3], str(len(BODY.splitlines())), digest, datetime.now(UTC).isoformat())
line = "".join(f"{field}\n" for field in ("tongban-batch/1", PEER["peer_code"], *values)).encode()
headers = dict(zip(names, values, strict=True)) | {"Content-Type": "application/x-ndjson", "Batch-Key-Id": PEER["kid"]}
headers["Batch-Signature"] = base64.b64encode(KEY.sign(line)).decode()
first = HTTP.post("/exchange/batches", content=BODY, headers=headers)
if first.is_error:
    sys.exit(first.text)  # the whole batch is refused, and its problem names field and rule
print(received := verified(first.text))
assert (received["peer_code"], received["digest"]) == (PEER["peer_code"], digest), "a receipt for something else"
batch = f"/exchange/batches/{received['batch_id']}"
while HTTP.get(batch).raise_for_status().json()["state"] != "finished":
    time.sleep(0.5)
print(judged := verified(HTTP.get(f"{batch}/receipts/2").raise_for_status().text))
for reject in judged["rejects"]:
    print(f"row {reject['row']}:", *(f"{fault['field']}: {fault['message']};" for fault in reject["faults"]))
