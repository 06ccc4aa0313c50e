"""The sample accounts: staff of one bureau and two bureaus' systems, made once, and signing in.

`python -m deploy.sample.accounts [--port 8000] USERNAME` prints an access token that is valid for
ten minutes, for use with curl.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated, NotRequired, TypedDict

import httpx
import orjson
import typer
from joserfc import jwt
from joserfc.jwk import OKPKey

from deploy.command_line import GatewayPort, explained_errors, new_command
from deploy.errors import DeployError
from deploy.processes import GATEWAY_PORT
from deploy.run_folder import VAR, RunFolder, find_platform, write_secret
from deploy.sample import catalogue
from services.identity import security
from services.identity.schemas import NewStaff
from services.identity.use_cases.accounts import create_staff
from shared import clock
from shared.database.session import Database
from shared.errors import ConflictError
from shared.ids import new_id

Headers = dict[str, str]


class StaffAccount(TypedDict):
    """A staff member with the secrets that were shown once."""

    id: str
    username: str
    initial_password: str
    totp_secret: str


class SystemCredentials(TypedDict):
    """What a system needs to get a token; `private_key` is a JWK."""

    client_id: str
    private_key: dict[str, str]
    scope: NotRequired[str]


class SystemAccount(SystemCredentials):
    """A bureau's system."""

    username: str


Account = StaffAccount | SystemAccount

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
BUREAU = (catalogue.CITY, catalogue.department_code(catalogue.CITY, bureau="market"))


class UnfinishedAccounts:
    """The accounts made so far, on disk, so that a load that was interrupted can go on.

    `finish` turns the file into the account file, whose presence says that the sample is complete.
    """

    def __init__(self, account_file: Path) -> None:
        self.made: dict[str, Account] = {}
        self._path = account_file.with_suffix(".unfinished.json")
        self._final = account_file
        if self._path.exists():
            self.made = read(self._path)

    def add(self, account: Account) -> None:
        self.made[account["username"]] = account
        written = self._path.with_suffix(".new")
        written.unlink(missing_ok=True)
        write_secret(written, orjson.dumps(self.made, option=orjson.OPT_INDENT_2))
        _ = written.replace(self._path)

    def finish(self) -> None:
        _ = self._path.replace(self._final)


def are_complete(account_file: Path) -> bool:
    """Whether the sample was loaded to its end."""
    return account_file.exists()


def read(path: Path) -> dict[str, Account]:
    """The accounts of an account file by user name."""
    return orjson.loads(path.read_bytes())


async def make_administrator(database: Database, unfinished: UnfinishedAccounts) -> Account:
    """The first administrator, written into identity's database: nobody is there to allow it.

    Raises: `DeployError` where an earlier start made the account and lost its secrets.
    """
    name, role = STAFF["administrator"]
    area, department = BUREAU
    command = NewStaff.model_validate(
        {
            "username": "administrator",
            "name": name,
            "area_code": area,
            "department_code": department,
            "roles": [role],
        }
    )
    try:
        async with database.transaction() as session:
            created = await create_staff(session, command, now=clock.now())
            # Before the commit: the account must not exist with a password that nobody knows.
            unfinished.add(
                {
                    "id": str(created.id),
                    "username": "administrator",
                    "initial_password": created.initial_password,
                    "totp_secret": created.totp_secret,
                }
            )
    except ConflictError:
        if "administrator" not in unfinished.made:
            raise DeployError(
                "the sample was loaded only in part and cannot be completed;"
                " move the data folder away to start anew"
            ) from None
    return unfinished.made["administrator"]


async def make_others(
    client: httpx.AsyncClient, headers: Headers, *, unfinished: UnfinishedAccounts
) -> None:
    """The other staff and the bureaus' systems, over REST."""
    for username in STAFF:
        if username not in unfinished.made:
            unfinished.add(await _make_staff(client, headers, username=username))
    for username in SYSTEMS:
        await _make_system(client, headers, username=username, unfinished=unfinished)


async def _make_staff(client: httpx.AsyncClient, headers: Headers, *, username: str) -> Account:
    name, role = STAFF[username]
    area, department = BUREAU
    body = {
        "username": username,
        "name": name,
        "roles": [role],
        "area_code": area,
        "department_code": department,
    }
    once = {**headers, "Idempotency-Key": f"sample-{username}"}
    answer = await client.post("/identity/staff", json=body, headers=once)
    return answer.raise_for_status().json()


def _new_system(username: str) -> SystemAccount:
    """A system with a key of its own that identity does not know yet."""
    key = OKPKey.generate_key("Ed25519").as_dict(private=True)
    private_key = {name: str(value) for name, value in key.items()}
    return SystemAccount(
        username=username, client_id="", private_key=private_key, scope=" ".join(SCOPES)
    )


async def _make_system(
    client: httpx.AsyncClient,
    headers: Headers,
    *,
    username: str,
    unfinished: UnfinishedAccounts,
) -> None:
    account = unfinished.made.get(username)
    if account is None:
        account = _new_system(username)
        # Kept before it is sent: sent again, the request must name the same key.
        unfinished.add(account)
    if "private_key" not in account or account["client_id"]:
        return
    name, bureau = SYSTEMS[username]
    body = {
        "name": name,
        "scopes": SCOPES,
        "public_key": public_part(account["private_key"]),
        "area_code": catalogue.CITY,
        "department_code": catalogue.department_code(catalogue.CITY, bureau=bureau),
    }
    once = {**headers, "Idempotency-Key": f"sample-{username}"}
    answer = await client.post("/identity/systems", json=body, headers=once)
    account["client_id"] = answer.raise_for_status().json()["client_id"]
    unfinished.add(account)


def public_part(key: dict[str, str]) -> dict[str, str]:
    """The public half of an Ed25519 JWK, as identity takes it."""
    return {name: key[name] for name in ("kty", "crv", "x")}


async def sign_in(client: httpx.AsyncClient, account: Account | SystemCredentials) -> Headers:
    """Sign in and return the Authorization header. Raises: `DeployError`, `httpx.HTTPError`."""
    if "private_key" in account:
        return await _sign_in_system(client, account)
    first_step = int(time.time()) // security.TOTP_STEP
    answer: httpx.Response | None = None
    # Identity takes each code once, and the code of the next step already now. So only the third
    # sign-in within a step has to wait, and the first one after that succeeds.
    for step in (first_step, first_step + 1, first_step + 2):
        await _wait_for_step(step - 1)
        body = {
            "username": account["username"],
            "password": account["initial_password"],
            "totp": security.totp(account["totp_secret"], step),
        }
        answer = await client.post("/identity/sessions/password", json=body)
        if answer.status_code == 200:
            return {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert answer is not None
    raise DeployError(f"{account['username']} cannot sign in: {answer.text}")


async def _wait_for_step(step: int) -> None:
    seconds = step * security.TOTP_STEP - time.time() + 0.2
    if seconds > 0.2:
        print(f"waiting {seconds:.0f} s for the next TOTP code …", file=sys.stderr, flush=True)
        await asyncio.sleep(seconds)


async def _sign_in_system(client: httpx.AsyncClient, account: SystemCredentials) -> Headers:
    now, client_id = int(time.time()), account["client_id"]
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": TOKEN_URL,
        "iat": now,
        "exp": now + 60,
        "jti": str(new_id()),
    }
    key = OKPKey.import_key({**account["private_key"]})
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"]),
        "scope": account.get("scope", "cases:push"),
    }
    answer = await client.post("/identity/oauth/token", data=form)
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


async def access_token(folder: RunFolder, account: Account | SystemCredentials) -> str:
    """An access token of an account of the platform in `folder`, for a command line."""
    url = f"{folder.url}/api/v1"
    async with httpx.AsyncClient(base_url=url, timeout=40, trust_env=False) as client:
        headers = await sign_in(client, account)
    return headers["Authorization"].removeprefix("Bearer ")


cli = new_command()


def _known_username(value: str) -> str:
    known = (*STAFF, *SYSTEMS)
    if value in known:
        return value
    raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}")


@cli.command()
def main(
    *,
    username: Annotated[
        str, typer.Argument(parser=_known_username, metavar="USERNAME", help="a sample account")
    ],
    port: GatewayPort = GATEWAY_PORT,
    under: Annotated[
        Path,
        typer.Option("--data", metavar="FOLDER", show_default="var", help="folder of all data"),
    ] = VAR,
) -> None:
    """Print an access token of a sample account; it is valid for ten minutes."""
    url = f"http://127.0.0.1:{port}"
    platform = find_platform(url, under)
    if platform is None:
        typer.echo(f"no platform of this machine serves {url}: make run", err=True)
        raise typer.Exit(2)
    account = read(platform.folder.account_file)[username]
    with explained_errors():
        typer.echo(asyncio.run(access_token(platform.folder, account)))


if __name__ == "__main__":
    cli()
