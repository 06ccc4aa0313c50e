"""A simulator of the regional platform (区一体化平台) that also makes mistakes.

It takes the table form, checks it, reconciles and signs. `python -m deploy.simulators.regional
--port 9100 --seed 7 --lose 7 --duplicate 3 --reject 5 --breaks 10`: of a thousand rows so many are
lost after they were acknowledged, doubled, refused by the quality check; of a thousand pushes so
many are broken off, before or after they were taken. Rows appear and receipts come after `--delay`
seconds.

The protocol is JSON over HTTP, compressed when the caller takes it:

- `POST /batches` `{cd_batch, resource, number, previous, fingerprint, tables: {up_pro_accept:
  [row…], …}}` → `{acknowledged}`. A row has the control columns `row_guid, cd_batch, cd_operation
  (I/U/D), cd_time, data_source, version`, the key (`project_no`, of ratings `rating_no`) and the
  table's own columns. `number` has no gaps; a repeat changes nothing.
- `GET /streams/{resource}` → `{acknowledged}`: the last number before which nothing is missing.
- `GET /batches/{cd_batch}` → `{checked}`: whether the quality check has finished.
- `GET /tables/{table}`: rows; of `up_pro_*_unqbak?cd_batch=` those refused: the row with
  `error_msg, recordtime`.
- `POST /recon/{run}/cut` `{resource, stream, first, last, sequence, open: [key…]}` → `{open:
  [key…]}`: both sides leave out the open keys of both. What follows is answered from what was there
  at this moment.
- `POST /recon/{run}/sums` `{level, places}` → `[[day, b1?, b2?, count, Σd1, Σd2]…]`: level 0 all
  windows, 1 the children of `places` `[[day]…]`, 2 those of `[[day, b1]…]`.
- `POST /recon/{run}/leaves` `{places: [[day, b1]… or [day, b1, b2]…]}` → `[[key, version, op, rd,
  loose, day]…]`.
- `POST /recon/{run}/list` → `[[day, digest]…]`: of each window SHA-256 over the `e` of its rows in
  the order of `kh`, of the records as they are now, not of what was summed when they came
  (`shared.domain.recon`).
- `POST /recon/{run}/statement` (compact JWS of the platform) → compact JWS `{run_id,
  statement_sha256, fingerprint, agreed}`, and `list_sha256` where the statement has one.
- `GET /keys`: the JWK set of the signature.

For tests alone: `POST /control/faults` `{lose, duplicate, reject, delay, breaks}`, `POST
/control/plant` `{resource, what, keys}` with `what` one of lose, older, newer, corrupt, lossy,
duplicate, extra, forge (the record changes, its sums stay); `POST /control/load/{resource}`; `GET
/control/truth`.
"""

import base64
import hashlib
from typing import Annotated

import orjson
import typer
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI, Request, Response
from joserfc import jws
from joserfc.jwk import OKPKey
from starlette.middleware.gzip import GZipMiddleware

from deploy.command_line import new_command
from deploy.simulators.region_store import FaultRates, Store
from shared.domain.recon import list_digest

KEY_ID = "region-1"


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _key(seed: int) -> dict[str, str]:
    """The same for the same seed, so that a restart keeps it."""
    raw = hashlib.sha256(f"regional simulator {seed}".encode()).digest()
    public = Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "kid": KEY_ID, "x": _b64(public), "d": _b64(raw)}


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def build(seed: int, rates: FaultRates) -> FastAPI:
    """The app; its state is `app.state.store`."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(GZipMiddleware, minimum_size=500, compresslevel=4)
    app.state.store = store = Store(seed, rates)
    _add_tables(app, store)
    _add_reconciliation(app, store)
    _add_statement(app, store, key=_key(seed))
    _add_control(app, store)
    return app


def _add_tables(app: FastAPI, store: Store) -> None:
    @app.post("/batches")
    async def receive(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        push = orjson.loads(await request.body())
        broken = store.fails(store.rates.breaks)
        # The sender cannot know whether the push was taken; both must end well.
        if broken and store.fails(500):
            return _json({"error": "broken off before"}, 503)
        last = store.acknowledged[push["resource"]]
        # A simulator that was started again holds nothing and takes the next push whatever its
        # number; reconciliation brings back the rest.
        if last and push["number"] > last + 1:
            return _json({"error": "a push before this one is missing"}, 409)
        await store.receive(push)
        if broken:
            return _json({"error": "broken off after"}, 503)
        return _json({"acknowledged": push["number"]})

    @app.get("/streams/{resource}")
    async def stream(resource: str) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        return _json({"acknowledged": store.acknowledged[resource]})

    @app.get("/batches/{batch_id}")
    async def status(batch_id: str) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        store.check_due_batches()
        batch = store.batches.get(batch_id)
        if batch is None:
            return _json({"error": "unknown"}, 404)
        return _json({"checked": batch.checked})

    @app.get("/tables/{table}")
    async def rows(table: str, cd_batch: str | None = None) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        store.check_due_batches()
        return _json(store.table(table, cd_batch))


def _add_reconciliation(app: FastAPI, store: Store) -> None:
    @app.post("/recon/{run_id}/cut")
    async def cut(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        asked = orjson.loads(await request.body())
        own = store.cut(
            run_id,
            resource=asked["resource"],
            first=asked["first"],
            last=asked["last"],
            without=set(asked["open"]),
        )
        return _json({"open": own})

    @app.post("/recon/{run_id}/sums")
    async def sums(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        asked = orjson.loads(await request.body())
        return _json(store.sums(run_id, asked["level"], nodes=asked["places"]))

    @app.post("/recon/{run_id}/leaves")
    async def leaves(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        asked = orjson.loads(await request.body())
        return _json(store.leaves(run_id, asked["places"]))

    @app.post("/recon/{run_id}/list")
    async def lists(run_id: str) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        found = sorted(store.lists(run_id).items())
        return _json([[day, digest.hex()] for day, digest in found])


def _add_statement(app: FastAPI, store: Store, *, key: dict[str, str]) -> None:
    signer = OKPKey.import_key({**key})
    public = {name: value for name, value in key.items() if name != "d"}

    @app.post("/recon/{run_id}/statement")
    async def sign(run_id: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        statement = await request.body()
        payload = statement.split(b".")[1]
        theirs = orjson.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        own = store.total(run_id).as_list()
        document = {
            "run_id": run_id,
            "statement_sha256": hashlib.sha256(statement).hexdigest(),
            "fingerprint": own,
            "agreed": theirs["fingerprint"] == own,
        }
        if "list_sha256" in theirs:
            document["list_sha256"] = list_digest(store.lists(run_id))
            document["agreed"] &= theirs["list_sha256"] == document["list_sha256"]
        header = {"alg": "Ed25519", "kid": KEY_ID, "typ": "tongban-statement"}
        body = orjson.dumps(document)
        signed = jws.serialize_compact(header, body, signer, algorithms=["Ed25519"])
        return Response(signed, media_type="application/jose")

    @app.get("/keys")
    async def keys() -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        return _json({"keys": [public]})


def _add_control(app: FastAPI, store: Store) -> None:
    @app.post("/control/faults")
    async def change(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        store.rates = FaultRates(**orjson.loads(await request.body()))
        return _json({})

    @app.post("/control/plant")
    async def plant(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        asked = orjson.loads(await request.body())
        store.plant(asked["resource"], asked["what"], keys=asked["keys"])
        return _json({})

    @app.post("/control/load/{resource}")
    async def load(resource: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        return _json({"loaded": store.load(resource, (await request.body()).splitlines())})

    @app.get("/control/truth")
    async def truth() -> Response:  # pyright: ignore[reportUnusedFunction] - a route
        held: dict[str, int] = {}
        for resource, records in store.records.items():
            held[resource] = sum(map(len, records.values()))
        return _json({**store.truth, "held": held})


OfAThousand = Annotated[int, typer.Option(min=0, max=1000, help="of a thousand")]
cli = new_command()


@cli.command()
def main(
    *,
    port: Annotated[int, typer.Option(min=1, max=65_535)],
    host: str = "127.0.0.1",
    seed: int = 1,
    lose: OfAThousand = 0,
    duplicate: OfAThousand = 0,
    reject: OfAThousand = 0,
    breaks: OfAThousand = 0,
    delay: Annotated[float, typer.Option(min=0, help="seconds")] = 0.0,
) -> None:
    """Simulate the regional platform until SIGTERM or SIGINT."""
    rates = FaultRates(lose, duplicate, reject, breaks, delay)
    app = build(seed, rates)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    cli()
