"""Loading the sample once, over the REST API of a running platform, and greeting its user."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import orjson
from rich.console import Console
from rich.progress import Progress

from deploy.errors import DeployError
from deploy.processes import GATEWAY_PORT
from deploy.run_folder import VAR, RunFolder
from deploy.sample import accounts, bundles, catalogue
from deploy.sample.tables import Document
from shared.database.session import Database

DOCUMENTS_PER_REQUEST = 50


async def load_once(url: str, *, account_file: Path, identity: Database) -> None:
    """Accounts, areas, departments, licence types, the catalogue and bundles, unless all are there.

    Every step may be done again, so that a load that was interrupted goes on at the next start.
    `url` is the platform's, `account_file` gets the accounts with their secrets, `identity` is the
    service's database. Raises: `DeployError`, `httpx.HTTPError`.
    """
    if accounts.are_complete(account_file):
        return
    unfinished = accounts.UnfinishedAccounts(account_file)
    administrator = await accounts.make_administrator(identity, unfinished)
    base = f"{url}/api/v1"
    async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as client:
        headers = await accounts.sign_in(client, administrator)
        body = catalogue.directory()
        answer = await client.put("/matters/directory", json=body, headers=headers)
        _ = answer.raise_for_status()
        await _load_types(client, headers, types=catalogue.license_types())
        await _load_catalogue(client, headers, documents=catalogue.documents())
        _say("One-thing bundles and accounts …")
        await bundles.load(client, headers)
        # Last: other people cannot do anything before there is a catalogue.
        await accounts.make_others(client, headers, unfinished=unfinished)
    unfinished.finish()


def _say(message: str) -> None:
    print(message, flush=True)


def _progress() -> Progress:
    return Progress(console=Console(file=sys.stdout))


async def _load_types(
    client: httpx.AsyncClient, headers: dict[str, str], *, types: Mapping[str, Document]
) -> None:
    with _progress() as progress:
        task = progress.add_task("Licence types", total=len(types))
        for code, document in types.items():
            answer = await client.put(f"/licenses/types/{code}", json=document, headers=headers)
            _ = answer.raise_for_status()
            progress.advance(task)


async def _load_catalogue(
    client: httpx.AsyncClient, headers: dict[str, str], *, documents: Sequence[Document]
) -> None:
    with _progress() as progress:
        task = progress.add_task("Sample catalogue", total=len(documents))
        for start in range(0, len(documents), DOCUMENTS_PER_REQUEST):
            part = documents[start : start + DOCUMENTS_PER_REQUEST]
            body = b"\n".join(orjson.dumps(document) for document in part)
            answer = await client.post(
                "/matters/catalogue-documents", content=body, headers=headers
            )
            report = answer.raise_for_status().json()
            if report["refused"]:
                first = report["errors"][:3]
                raise DeployError(f"the sample does not keep the platform's own rules: {first}")
            progress.advance(task, len(part))


def greeting(folder: RunFolder, seconds: float) -> str:
    """What a user needs first; `seconds` is how long the start took."""
    demo = "make demo"
    token = f".venv/bin/python -m deploy.sample.accounts --port {folder.port}"
    if folder.port != GATEWAY_PORT:
        demo += f" TARGET={folder.url}"
    if folder.path.parent != VAR:
        demo += f" DATA={folder.path.parent}"
        token += f" --data {folder.path.parent}"
    usernames = ", ".join((*accounts.STAFF, *accounts.SYSTEMS))
    return f"""
Tongban runs on {folder.url}  (ready in {seconds:.1f} s; Ctrl-C stops it)

  Try first:
    curl -sG {folder.url}/api/v1/matters/suggestions --data-urlencode q=茶馆
    curl -s '{folder.url}/api/v1/matters/statistics'
    {demo}            # a whole day, step by step, against this platform
    {folder.url}/docs  # every operation, to try in a browser

  Sample accounts ({usernames}): {folder.account_file}
    a token for curl:  {token} clerk
  Data: {folder.path}
"""
