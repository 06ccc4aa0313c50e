"""All that an integrator needs, by one command: `make sandbox-peer`, or `python -m deploy.sandbox_peer [--name N] [--target U]`.

Against a running platform of this machine, through its REST API alone: a new key pair, its system account at identity, its
peer at exchange. Prints JSON with what to do next; the private key lies in a file that only its owner may read. With
`--token` it prints an access token of an existing sandbox peer (ten minutes).
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
import typer
from joserfc.jwk import OKPKey

from deploy.place import VAR, Place, find_platform, write_secret
from deploy.sample import accounts, catalogue

SCOPES = ("exchange:events", "exchange:push")
RESOURCES = ("cases", "licenses", "supervision", "ratings")
cli = typer.Typer(add_completion=False)


def files(place: Place, name: str) -> tuple[Path, Path]:
    """The private key as PEM, and all that a program needs to act as this peer (`examples/`) as JSON."""
    return place.data / f"sandbox-{name}.pem", place.data / f"sandbox-{name}.json"


async def make(place: Place, name: str) -> dict[str, Any]:
    """Register the system and the peer; the integrator's sheet."""
    pem, note = files(place, name)
    key = OKPKey.generate_key("Ed25519")
    public = {
        part: value
        for part, value in key.as_dict(private=False).items()
        if part in {"kty", "crv", "x"}
    }
    area, department = accounts.BUREAU
    home = {"area_code": area, "department_code": department}
    async with httpx.AsyncClient(
        base_url=f"{place.url}/api/v1", timeout=60, trust_env=False
    ) as client:
        headers = await accounts.sign_in(client, accounts.read(place.account_file)["administrator"])

        async def post(path: str, body: dict[str, Any], **more: str) -> dict[str, Any]:
            once = {**headers, **more, "Idempotency-Key": f"{path}-{public['x']}"}
            return (await client.post(path, json=body, headers=once)).raise_for_status().json()

        system = {"name": f"沙箱 {name}", "scopes": SCOPES, "public_key": public, **home}
        client_id = (await post("/identity/systems", system))["client_id"]
        types = [
            item["type"]
            for item in (await client.get("/exchange/schemas")).raise_for_status().json()["items"]
        ]
        peer = {
            "code": f"sandbox-{name}",
            "name": f"沙箱 {name}",
            "kind": "sandbox",
            "account_id": client_id,
            "event_types": types,
            "resources": RESOURCES,
            "area_codes": sorted(catalogue.AREAS),
            **home,
        }
        made = await post("/exchange/peers", peer)
        pinned = {"kid": f"{name}-1", "x": public["x"]}
        _ = await post(
            f"/exchange/peers/{made['id']}/keys", pinned, **{"If-Match": f'"{made["revision"]}"'}
        )
    write_secret(pem, key.as_pem(private=True))
    account = {
        "api": f"{place.url}/api/v1",
        "assertion_audience": accounts.TOKEN_URL,
        "peer_code": made["code"],
        "client_id": client_id,
        "kid": pinned["kid"],
        "scope": " ".join(SCOPES),
        "private_key": key.as_dict(private=True),
    }
    write_secret(note, orjson.dumps(account, option=orjson.OPT_INDENT_2))
    return _sheet(place, name, made, client_id, types)


def _sheet(
    place: Place, name: str, peer: dict[str, Any], client_id: str, types: list[str]
) -> dict[str, Any]:
    api = f"{place.url}/api/v1"
    token = f"$(.venv/bin/python -m deploy.sandbox_peer --target {place.url} --name {name} --token)"
    body = orjson.dumps(
        {"name": name, "mode": "pull", "event_types": types[:1], "after": 0}
    ).decode()
    authorized = f'curl -s -H "Authorization: Bearer {token}"'
    return {
        "peer_id": peer["id"],
        "peer_code": peer["code"],
        "client_id": client_id,
        "kid": f"{name}-1",
        "private_key": str(files(place, name)[0]),
        "file": str(files(place, name)[1]),
        "scopes": list(SCOPES),
        "token_url": f"{api}/identity/oauth/token",
        "assertion_audience": accounts.TOKEN_URL,
        "schemas": f"{api}/exchange/schemas",
        "event_types": types,
        "try": {
            "token": token[2:-1],
            "subscribe": f'{authorized} -H "Idempotency-Key: first" -H "Content-Type: application/json"'
            f" -d '{body}' {api}/exchange/subscriptions",
            "pull": f"{authorized} '{api}/exchange/events?subscription=ID&after=0'",
        },
    }


async def _token(place: Place, name: str) -> str:
    account = orjson.loads(files(place, name)[1].read_bytes())
    async with httpx.AsyncClient(
        base_url=f"{place.url}/api/v1", timeout=40, trust_env=False
    ) as client:
        return (await accounts.sign_in(client, account))["Authorization"].removeprefix("Bearer ")


@cli.command()
def main(
    name: Annotated[str, typer.Option(help="small letters, digits and -")] = "demo",
    target: Annotated[str, typer.Option(help="the platform's address")] = "http://127.0.0.1:8000",
    token: Annotated[
        bool, typer.Option("--token", help="print an access token of this sandbox peer")
    ] = False,
    under: Annotated[Path, typer.Option(hidden=True)] = VAR,
) -> None:
    """A peer for trying the exchange, with one command."""
    found = find_platform(target, under)
    if found is None:
        typer.echo(
            f"no platform of this machine serves {target}; start one with make run or make stack",
            err=True,
        )
        raise typer.Exit(2)
    exists = files(found[0], name)[1].exists()
    if exists != token:
        typer.echo(f"there is {'already a' if exists else 'no'} sandbox peer {name}", err=True)
        raise typer.Exit(1)
    if token:
        typer.echo(asyncio.run(_token(found[0], name)))
        return
    try:
        sheet = asyncio.run(make(found[0], name))
    except httpx.HTTPStatusError as error:
        typer.echo(f"refused: {error.response.text}", err=True)
        raise typer.Exit(1) from None
    typer.echo(orjson.dumps(sheet, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    sys.exit(cli())
