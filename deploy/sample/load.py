"""Loading the sample once, through the REST API of a running platform, and what its user is told then."""

import sys
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
from rich.console import Console
from rich.progress import Progress

from deploy.place import Place
from deploy.processes import GATEWAY_PORT
from deploy.sample import accounts, bundles, catalogue
from shared.database.session import Database

BATCH = 50


async def load_once(place: Place, identity: Database) -> None:
    """Accounts, areas, departments, licence types and the catalogue, unless they are there already."""
    if place.account_file.exists():
        return
    administrator = await accounts.make_administrator(identity)
    async with httpx.AsyncClient(
        base_url=f"{place.url}/api/v1", timeout=60, trust_env=False
    ) as client:
        headers = await accounts.sign_in(client, administrator)
        stored = await client.put("/matters/directory", json=catalogue.directory(), headers=headers)
        _ = stored.raise_for_status()
        await _load_types(client, headers, catalogue.license_types())
        await _load_catalogue(client, headers, catalogue.documents())
        await bundles.load(client, headers)
        others = await accounts.make_others(client, headers)
    accounts.save(place.account_file, [administrator, *others])


async def _load_types(
    client: httpx.AsyncClient, headers: dict[str, str], types: dict[str, dict[str, Any]]
) -> None:
    with Progress(console=Console(file=sys.stdout)) as progress:
        task = progress.add_task("Licence types", total=len(types))
        for code, document in types.items():
            # The first version of a type; the same words again change nothing.
            answer = await client.put(f"/licenses/types/{code}", json=document, headers=headers)
            _ = answer.raise_for_status()
            progress.advance(task)


async def _load_catalogue(
    client: httpx.AsyncClient, headers: dict[str, str], documents: Sequence[dict[str, Any]]
) -> None:
    with Progress(console=Console(file=sys.stdout)) as progress:
        task = progress.add_task("Sample catalogue", total=len(documents))
        for start in range(0, len(documents), BATCH):
            body = b"\n".join(
                orjson.dumps(document) for document in documents[start : start + BATCH]
            )
            answer = await client.post(
                "/matters/catalogue-documents", content=body, headers=headers
            )
            report = answer.raise_for_status().json()
            if report["refused"]:
                raise SystemExit(f"the sample does not keep its own rules: {report['errors'][:3]}")
            progress.advance(task, min(BATCH, len(documents) - start))


def greeting(place: Place, seconds: float) -> str:
    """What a user needs first."""
    demo = "make demo" if place.port == GATEWAY_PORT else f"make demo TARGET={place.url}"
    return f"""
Tongban runs on {place.url}  (ready in {seconds:.1f} s; Ctrl-C stops it)

  Try first:
    curl -sG {place.url}/api/v1/matters/suggestions --data-urlencode q=茶馆
    curl -s '{place.url}/api/v1/matters/statistics'
    {demo}            # the whole story, step by step, against this platform
    {place.url}/docs  # every operation, to try in a browser

  Sample accounts ({", ".join((*accounts.STAFF, *accounts.SYSTEMS))}): {place.account_file}
    a token for curl:  .venv/bin/python -m deploy.sample.accounts --port {place.port} clerk
  Data: {place.data}
"""
