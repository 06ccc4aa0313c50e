"""All that an integrator needs, by one command: `make sandbox-peer`.

It works against a running platform of this machine, over its REST API alone: a new key pair, its
system account at identity, its peer at exchange. It prints JSON with what to do next. The private
key lies in a file that only its owner may read. With `--token` it prints an access token of an
existing sandbox peer, valid for ten minutes.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, TypedDict

import httpx
import orjson
import typer
from joserfc.jwk import OKPKey

from deploy.command_line import explained_errors, new_command
from deploy.errors import DeployError
from deploy.processes import GATEWAY_PORT
from deploy.run_folder import VAR, RunFolder, find_platform, write_secret
from deploy.sample import accounts, catalogue

SCOPES = ("exchange:events", "exchange:push")
RESOURCES = ("cases", "licenses", "supervision", "ratings")


class Files(NamedTuple):
    """The private key as PEM, and all that a program needs to act as this peer (`examples/`)."""

    private_key: Path
    program: Path


class Peer(TypedDict):
    """A peer, as exchange answers it."""

    id: str
    code: str
    revision: int


def files(folder: RunFolder, name: str) -> Files:
    return Files(folder.path / f"sandbox-{name}.pem", folder.path / f"sandbox-{name}.json")


class _Administrator:
    """Calls the API as the sample administrator; a key makes each call one intended effect."""

    def __init__(self, client: httpx.AsyncClient, headers: accounts.Headers, *, key: str) -> None:
        self._client = client
        self._headers = headers
        self._key = key

    async def post(
        self, path: str, body: object, *, headers: accounts.Headers | None = None
    ) -> httpx.Response:
        once = {"Idempotency-Key": f"{path}-{self._key}"}
        sent = {**self._headers, **once, **(headers or {})}
        answer = await self._client.post(path, json=body, headers=sent)
        return answer.raise_for_status()


async def make(folder: RunFolder, name: str) -> dict[str, object]:
    """Register the system and the peer. Returns what the integrator needs to know."""
    # Made here: the platform never sees the private key.
    key = OKPKey.generate_key("Ed25519")
    private_key = {part: str(value) for part, value in key.as_dict(private=True).items()}
    url = f"{folder.url}/api/v1"
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        administrator = accounts.read(folder.account_file)["administrator"]
        headers = await accounts.sign_in(client, administrator)
        caller = _Administrator(client, headers, key=private_key["x"])
        client_id = await _register_system(caller, name, private_key=private_key)
        types = await _event_types(client)
        peer = await _register_peer(caller, name, client_id=client_id, types=types)
        # A batch is accepted only under a key that an administrator has pinned.
        pinned = {"kid": f"{name}-1", "x": private_key["x"]}
        versioned = {"If-Match": f'"{peer["revision"]}"'}
        _ = await caller.post(f"/exchange/peers/{peer['id']}/keys", pinned, headers=versioned)
    _write_files(folder, name, key=key, peer=peer, client_id=client_id)
    return _sheet(folder, name, peer=peer, client_id=client_id, types=types)


def _write_files(folder: RunFolder, name: str, *, key: OKPKey, peer: Peer, client_id: str) -> None:
    written = files(folder, name)
    write_secret(written.private_key, key.as_pem(private=True))
    account = {
        "api": f"{folder.url}/api/v1",
        "assertion_audience": accounts.TOKEN_URL,
        "peer_code": peer["code"],
        "client_id": client_id,
        "kid": f"{name}-1",
        "scope": " ".join(SCOPES),
        "private_key": key.as_dict(private=True),
    }
    write_secret(written.program, orjson.dumps(account, option=orjson.OPT_INDENT_2))


def _home() -> dict[str, str]:
    area, department = accounts.BUREAU
    return {"area_code": area, "department_code": department}


async def _register_system(
    caller: _Administrator, name: str, *, private_key: dict[str, str]
) -> str:
    """Register the system at identity; returns its client id."""
    public_key = accounts.public_part(private_key)
    body = {"name": f"沙箱 {name}", "scopes": SCOPES, "public_key": public_key, **_home()}
    return (await caller.post("/identity/systems", body)).json()["client_id"]


async def _register_peer(
    caller: _Administrator, name: str, *, client_id: str, types: list[str]
) -> Peer:
    body = {
        "code": f"sandbox-{name}",
        "name": f"沙箱 {name}",
        "kind": "sandbox",
        "account_id": client_id,
        "event_types": types,
        "resources": RESOURCES,
        "area_codes": sorted(catalogue.AREAS),
        **_home(),
    }
    return (await caller.post("/exchange/peers", body)).json()


async def _event_types(client: httpx.AsyncClient) -> list[str]:
    answer = await client.get("/exchange/schemas")
    return [item["type"] for item in answer.raise_for_status().json()["items"]]


def _sheet(
    folder: RunFolder, name: str, *, peer: Peer, client_id: str, types: list[str]
) -> dict[str, object]:
    api = f"{folder.url}/api/v1"
    written = files(folder, name)
    token = f".venv/bin/python -m deploy.sandbox_peer --target {folder.url} --name {name} --token"
    body = orjson.dumps({"name": name, "mode": "pull", "event_types": types[:1], "after": 0})
    authorized = f'curl -s -H "Authorization: Bearer $({token})"'
    headers = '-H "Idempotency-Key: first" -H "Content-Type: application/json"'
    subscribe = f"{authorized} {headers} -d '{body.decode()}' {api}/exchange/subscriptions"
    return {
        "peer_id": peer["id"],
        "peer_code": peer["code"],
        "client_id": client_id,
        "kid": f"{name}-1",
        "private_key": str(written.private_key),
        "file": str(written.program),
        "scopes": list(SCOPES),
        "token_url": f"{api}/identity/oauth/token",
        "assertion_audience": accounts.TOKEN_URL,
        "schemas": f"{api}/exchange/schemas",
        "event_types": types,
        "try": {
            "token": token,
            "subscribe": subscribe,
            "pull": f"{authorized} '{api}/exchange/events?subscription=ID&after=0'",
        },
    }


def _refuse_existing(folder: RunFolder, name: str) -> None:
    if files(folder, name).program.exists():
        raise DeployError(f"there is already a sandbox peer {name}")


async def _token(folder: RunFolder, name: str) -> str:
    if not files(folder, name).program.exists():
        raise DeployError(f"there is no sandbox peer {name}")
    account: accounts.SystemCredentials = orjson.loads(files(folder, name).program.read_bytes())
    return await accounts.access_token(folder, account)


cli = new_command()


@cli.command()
def main(
    *,
    name: Annotated[str, typer.Option(help="small letters, digits and -")] = "demo",
    target: Annotated[
        str, typer.Option(metavar="URL", help="the platform's address")
    ] = f"http://127.0.0.1:{GATEWAY_PORT}",
    token: Annotated[
        bool, typer.Option("--token", help="print an access token of this sandbox peer")
    ] = False,
    under: Annotated[
        Path,
        typer.Option(
            "--data", "--under", metavar="FOLDER", show_default="var", help="folder of all data"
        ),
    ] = VAR,
) -> None:
    """Make a peer for trying the exchange of a running platform."""
    platform = find_platform(target, under)
    if platform is None:
        typer.echo(
            f"no platform of this machine serves {target}; start one with make run or make stack",
            err=True,
        )
        raise typer.Exit(2)
    with explained_errors(), _explained_refusal():
        if token:
            typer.echo(asyncio.run(_token(platform.folder, name)))
        else:
            _refuse_existing(platform.folder, name)
            sheet = asyncio.run(make(platform.folder, name))
            typer.echo(orjson.dumps(sheet, option=orjson.OPT_INDENT_2).decode())


@contextmanager
def _explained_refusal() -> Generator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise DeployError(f"refused: {error.response.text}") from None


if __name__ == "__main__":
    cli()
