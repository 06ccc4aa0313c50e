"""A simulator of the regional platform (区一体化平台): takes the table form, checks it, reconciles, signs, and does things wrong.

`python -m deploy.simulators.regional --port 9100 --seed 7 --lose 7 --duplicate 3 --reject 5 --delay 2 --breaks 10`: of a
thousand rows so many are lost after they were acknowledged, doubled, refused by the quality check; rows appear and receipts
come after `delay` seconds; of a thousand pushes so many are broken off, before or after they were taken.

The protocol, JSON over HTTP, compressed when the caller takes it:

- `POST /batches` `{cd_batch, resource, number, previous, fingerprint, tables: {up_pro_accept: [row…], …}}` → `{acknowledged}`.
  A row has the control columns `row_guid, cd_batch, cd_operation (I/U/D), cd_time, data_source, version`, the key
  (`project_no`, of ratings `rating_no`) and the table's own columns. `number` has no gaps; a repeat changes nothing.
- `GET /streams/{resource}` → `{acknowledged}`: the last number before which nothing is missing.
- `GET /batches/{cd_batch}` → `{checked}`: whether the quality check has finished.
- `GET /tables/{table}`: rows; of `up_pro_*_unqbak?cd_batch=` those refused: the row with `error_msg, recordtime`.
- `POST /recon/{run}/cut` `{resource, stream, first, last, sequence, open: [key…]}` → `{open: [key…]}`: both leave out
  the open keys of both; what follows is answered from what was there at this moment.
- `POST /recon/{run}/sums` `{level, places}` → `[[day, b1?, b2?, count, Σd1, Σd2]…]`: level 0 all windows, 1 the children of
  `places` `[[day]…]`, 2 those of `[[day, b1]…]`.
- `POST /recon/{run}/leaves` `{places: [[day, b1]… or [day, b1, b2]…]}` → `[[key, version, op, rd, loose, day]…]`.
- `POST /recon/{run}/list` → `[[day, digest]…]`: of each window SHA-256 over the `e` of its rows in the order of `kh`, of the
  records as they are now, not of what was summed when they came (`shared.domain.recon`).
- `POST /recon/{run}/statement` (compact JWS of the platform) → compact JWS `{run_id, statement_sha256, fingerprint, agreed}`,
  and `list_sha256` where the statement has one.
- `GET /keys`: the JWK set of the signature.

For tests alone: `POST /control/faults` `{lose, duplicate, reject, delay, breaks}`, `POST /control/plant` `{resource, what, keys}`
with `what` one of lose, older, newer, corrupt, lossy, duplicate, extra, forge (the record changes, its sums stay);
`POST /control/load/{resource}`; `GET /control/truth`.
"""

import argparse
import base64
import hashlib
from typing import Any

import orjson
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request, Response
from joserfc import jws
from joserfc.jwk import OKPKey
from starlette.middleware.gzip import GZipMiddleware

from deploy.simulators.region_store import Faults, Store
from shared.domain.recon import list_digest

KID = "region-1"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _key(seed: int) -> dict[str, str]:
    """The same for the same seed, so that a restart keeps it."""
    raw = hashlib.sha256(f"regional simulator {seed}".encode()).digest()
    public = Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "kid": KID, "x": _b64(public), "d": _b64(raw)}


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def build(seed: int, faults: Faults) -> FastAPI:
    """The app; its state is `app.state.store`."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(GZipMiddleware, minimum_size=500, compresslevel=4)
    app.state.store = store = Store(seed, faults)
    _add_tables(app, store)
    _add_recon(app, store, _key(seed))
    _add_control(app, store)
    return app


def _add_tables(app: FastAPI, store: Store) -> None:
    @app.post("/batches")
    async def take(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        batch = orjson.loads(await request.body())
        broken = store.hits(store.faults.breaks)
        if broken and store.hits(500):
            return _json({"error": "broken off before"}, 503)
        last = store.acknowledged[batch["resource"]]
        # Started anew it holds nothing and takes the next push whatever its number; reconciliation brings back the rest.
        if last and batch["number"] > last + 1:
            return _json({"error": "a push before this one is missing"}, 409)
        await store.take(batch["cd_batch"], batch)
        return (
            _json({"error": "broken off after"}, 503)
            if broken
            else _json({"acknowledged": batch["number"]})
        )

    @app.get("/streams/{resource}")
    async def stream(resource: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return _json({"acknowledged": store.acknowledged[resource]})

    @app.get("/batches/{batch_id}")
    async def status(batch_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        store.ripen()
        batch = store.batches.get(batch_id)
        return (
            _json({"error": "unknown"}, 404) if batch is None else _json({"checked": batch.checked})
        )

    @app.get("/tables/{table}")
    async def rows(table: str, cd_batch: str | None = None) -> Response:  # pyright: ignore[reportUnusedFunction]
        store.ripen()
        return _json(store.table(table, cd_batch))


def _add_recon(app: FastAPI, store: Store, key: dict[str, str]) -> None:
    signer = OKPKey.import_key({**key})

    @app.post("/recon/{run_id}/cut")
    async def cut(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        asked = orjson.loads(await request.body())
        own = store.cut(
            run_id, asked["resource"], asked["first"], asked["last"], set(asked["open"])
        )
        return _json({"open": own})

    @app.post("/recon/{run_id}/sums")
    async def sums(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        asked = orjson.loads(await request.body())
        return _json(store.sums(run_id, asked["level"], asked["places"]))

    @app.post("/recon/{run_id}/leaves")
    async def leaves(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        asked = orjson.loads(await request.body())
        return _json(store.leaves(run_id, asked["places"]))

    @app.post("/recon/{run_id}/list")
    async def lists(run_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return _json([[day, one.hex()] for day, one in sorted(store.lists(run_id).items())])

    @app.post("/recon/{run_id}/statement")
    async def sign(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        statement = await request.body()
        payload = statement.split(b".")[1]
        told = orjson.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        own = store.total(run_id).as_list()
        document = {
            "run_id": run_id,
            "statement_sha256": hashlib.sha256(statement).hexdigest(),
            "fingerprint": own,
            "agreed": told["fingerprint"] == own,
        }
        if "list_sha256" in told:
            document["list_sha256"] = list_digest(store.lists(run_id))
            document["agreed"] &= told["list_sha256"] == document["list_sha256"]
        header = {"alg": "Ed25519", "kid": KID, "typ": "tongban-statement"}
        signed = jws.serialize_compact(
            header, orjson.dumps(document), signer, algorithms=["Ed25519"]
        )
        return Response(signed, media_type="application/jose")

    @app.get("/keys")
    async def keys() -> Response:  # pyright: ignore[reportUnusedFunction]
        return _json({"keys": [{name: value for name, value in key.items() if name != "d"}]})


def _add_control(app: FastAPI, store: Store) -> None:
    @app.post("/control/faults")
    async def change(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        store.faults = Faults(**orjson.loads(await request.body()))
        return _json({})

    @app.post("/control/plant")
    async def plant(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        asked = orjson.loads(await request.body())
        store.plant(asked["resource"], asked["what"], asked["keys"])
        return _json({})

    @app.post("/control/load/{resource}")
    async def load(resource: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return _json({"loaded": store.load(resource, (await request.body()).splitlines())})

    @app.get("/control/truth")
    async def truth() -> Response:  # pyright: ignore[reportUnusedFunction]
        held = {resource: sum(map(len, rows.values())) for resource, rows in store.held.items()}
        return _json({**store.truth, "held": held})


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="a simulator of the regional platform")
    _ = parser.add_argument("--port", type=int, required=True)
    _ = parser.add_argument("--host", default="127.0.0.1")
    _ = parser.add_argument("--seed", type=int, default=1)
    for name in ("lose", "duplicate", "reject", "breaks"):
        _ = parser.add_argument(f"--{name}", type=int, default=0, help="of a thousand")
    _ = parser.add_argument("--delay", type=float, default=0.0, help="seconds")
    told = parser.parse_args()
    faults = Faults(told.lose, told.duplicate, told.reject, told.breaks, told.delay)
    uvicorn.run(
        build(told.seed, faults),
        host=told.host,
        port=told.port,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
