"""The sample accounts: staff of one bureau and its system, made once, and signing in as one of them.

`python -m deploy.sample.accounts [--port 8000] USERNAME` prints an access token of ten minutes, for use with curl.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
from joserfc import jwt
from joserfc.jwk import OKPKey

from deploy.place import Place, find_platform, write_secret
from deploy.sample import catalogue
from services.identity import security
from services.identity.schemas import NewStaff, Role
from services.identity.use_cases.accounts import create_staff
from shared import clock
from shared.database.session import Database
from shared.ids import new_id

STAFF = {
    "administrator": ("管理员", "administrator"),
    "clerk": ("窗口人员", "window_clerk"),
    "approver1": ("审查一", "approver"),
    "approver2": ("审查二", "approver"),
    "leader": ("负责人", "leader"),
    "delivery": ("出件人员", "delivery"),
    "supervisor": ("督办人员", "supervisor"),
    "handler": ("好差评专员", "rating_handler"),
    "head": ("部门负责人", "department_head"),
}
"""User name → name and role. All belong to the city's market bureau."""
SYSTEM = "market-system"
SYSTEMS = {SYSTEM: ("市场监管业务系统", "market"), "police-system": ("公安证照系统", "police")}
"""User name → name and bureau of the systems that are linked."""
SCOPES = ("cases:push", "exchange:events", "exchange:push")
TOKEN_URL = "/api/v1/identity/oauth/token"  # noqa: S105 - a path
BUREAU = (catalogue.CITY, catalogue.department_code(catalogue.CITY, "market"))


async def make_administrator(database: Database) -> dict[str, Any]:
    """The first administrator, straight into identity's database: nobody is there yet to allow it."""
    name, role = STAFF["administrator"]
    area, unit = BUREAU
    command = NewStaff(
        username="administrator",
        name=name,
        area_code=area,
        department_code=unit,
        roles=[cast("Role", role)],
    )
    async with database.transaction() as session:
        account = await create_staff(session, command, clock.now())
    return account.model_dump(mode="json")


async def make_others(client: httpx.AsyncClient, headers: dict[str, str]) -> list[dict[str, Any]]:
    """The other staff and the bureau's system, through the REST API."""
    area, unit = BUREAU
    place = {"area_code": area, "department_code": unit}
    made: list[dict[str, Any]] = []
    for username, (name, role) in STAFF.items():
        if username != "administrator":
            body = {"username": username, "name": name, "roles": [role], **place}
            once = {**headers, "Idempotency-Key": f"sample-{username}"}
            made.append(
                (await client.post("/identity/staff", json=body, headers=once))
                .raise_for_status()
                .json()
            )
    return [*made, *[await _make_system(client, headers, name) for name in SYSTEMS]]


async def _make_system(
    client: httpx.AsyncClient, headers: dict[str, str], username: str
) -> dict[str, Any]:
    name, bureau = SYSTEMS[username]
    place = {
        "area_code": catalogue.CITY,
        "department_code": catalogue.department_code(catalogue.CITY, bureau),
    }
    key = OKPKey.generate_key("Ed25519")
    public = {
        name: value
        for name, value in key.as_dict(private=False).items()
        if name in {"kty", "crv", "x"}
    }
    body = {"name": name, "scopes": SCOPES, "public_key": public, **place}
    once = {**headers, "Idempotency-Key": f"sample-{username}"}
    system = (
        (await client.post("/identity/systems", json=body, headers=once)).raise_for_status().json()
    )
    account = {
        "username": username,
        "client_id": system["client_id"],
        "private_key": key.as_dict(private=True),
    }
    return {**account, "scope": " ".join(SCOPES)}


def save(path: Path, accounts: Sequence[dict[str, Any]]) -> None:
    """Written last: its presence says that the sample is complete."""
    content = orjson.dumps(
        {account["username"]: account for account in accounts}, option=orjson.OPT_INDENT_2
    )
    write_secret(path, content)


def read(path: Path) -> dict[str, dict[str, Any]]:
    return orjson.loads(path.read_bytes())


async def sign_in(client: httpx.AsyncClient, account: dict[str, Any]) -> dict[str, str]:
    """Authorization header of a sample account. A TOTP step serves once: a second sign-in waits for the next."""
    if "private_key" in account:
        return await _sign_in_system(client, account)
    words = ""
    for _attempt in range(3):
        step = int(time.time()) // security.TOTP_STEP
        body = {
            "username": account["username"],
            "password": account["initial_password"],
            "totp": security.totp(account["totp_secret"], step),
        }
        answer = await client.post("/identity/sessions/password", json=body)
        if answer.status_code == 200:
            return {"Authorization": f"Bearer {answer.json()['access_token']}"}
        words = answer.text
        await asyncio.sleep((step + 1) * security.TOTP_STEP - time.time() + 0.2)
    raise SystemExit(f"{account['username']} cannot sign in: {words}")


async def _sign_in_system(client: httpx.AsyncClient, account: dict[str, Any]) -> dict[str, str]:
    now, client_id = int(time.time()), account["client_id"]
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": TOKEN_URL,
        "iat": now,
        "exp": now + 60,
        "jti": str(new_id()),
    }
    key = OKPKey.import_key(account["private_key"])
    assertion = jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"])
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
        "scope": account.get("scope", "cases:push"),
    }
    answer = await client.post("/identity/oauth/token", data=form)
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


async def _token(place: Place, username: str) -> str:
    account = read(place.account_file)[username]
    async with httpx.AsyncClient(
        base_url=f"{place.url}/api/v1", timeout=40, trust_env=False
    ) as client:
        return (await sign_in(client, account))["Authorization"].removeprefix("Bearer ")


def main(arguments: list[str]) -> int:
    """`[--port 8000] USERNAME`."""
    port = arguments[1] if arguments[:1] == ["--port"] else "8000"
    found = find_platform(f"http://127.0.0.1:{port}")
    known = (*STAFF, *SYSTEMS)
    if found is None or arguments[-1:] == [] or arguments[-1] not in known:
        _ = sys.stderr.write(
            f"usage: [--port N] one of {', '.join(known)}; a platform must run (make run)\n"
        )
        return 2
    print(asyncio.run(_token(found[0], arguments[-1])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
