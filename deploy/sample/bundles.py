"""The sample's one-thing bundles (一件事), made from `bundles.toml` and published through the REST API."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from deploy.sample import catalogue

Entry = dict[str, Any]


def documents(matters: Mapping[str, str], known: Mapping[str, Entry]) -> Iterator[Entry]:
    """Every bundle as a bundle document: `matters` are the ids, `known` the texts of the city's matters by their code."""
    for code, entry in catalogue.table("bundles").items():
        children = {name: _split(text) for name, text in entry["children"].items()}
        fields = [[part.strip() for part in field.split("|")] for field in entry["fields"]]
        texts = {name: known[catalogue.code_of(matter)] for name, (matter, _) in children.items()}
        yield {
            "code": code,
            "name": {"zh": entry["name"], "bo": entry["bo"]},
            "aliases": entry["aka"].split(),
            "summary": entry["summary"],
            "area_code": catalogue.CITY,
            "department_code": catalogue.department_code(catalogue.CITY, entry["lead"]),
            "children": [
                {
                    "code": name,
                    "matter_id": matters[catalogue.code_of(matter)],
                    "after": after,
                    "fields": [
                        f"F{n}"
                        for n, field in enumerate(fields, start=1)
                        if name in field[2].split()
                    ],
                }
                for name, (matter, after) in children.items()
            ],
            "fields": [
                {"code": f"F{n}", "label": {"zh": label}, "kind": kind}
                for n, (label, kind, _) in enumerate(fields, start=1)
            ],
            "results": [_result(text, texts) for text in entry.get("results", [])],
        }


def _split(text: str) -> tuple[str, list[str]]:
    matter, _, after = text.partition("<")
    return matter.strip(), after.split()


def _result(text: str, texts: Mapping[str, Entry]) -> Entry:
    of, _, child, name = text.split()
    code = next(
        material["code"] for material in texts[child]["materials"] if material["name"]["zh"] == name
    )
    return {"of": of, "child": child, "material": code}


async def load(client: httpx.AsyncClient, headers: Mapping[str, str]) -> None:
    """Publish every bundle; the client stands at `/api/v1` of a platform that has the sample's catalogue."""
    known = {
        text["code"]: text for text in catalogue.documents() if text["area_code"] == catalogue.CITY
    }
    wanted = {
        _split(text)[0]
        for entry in catalogue.table("bundles").values()
        for text in entry["children"].values()
    }
    matters = {code: await _find(client, code) for code in sorted(map(catalogue.code_of, wanted))}
    for document in documents(matters, known):
        keyed = {**headers, "Idempotency-Key": f"sample-bundle-{document['code']}"}
        drafted = (
            (await client.post("matters/bundles/drafts", json=document, headers=keyed))
            .raise_for_status()
            .json()
        )
        if drafted["breaches"]:
            raise SystemExit(
                f"the bundle {document['code']} does not keep the rules: {drafted['breaches'][:3]}"
            )
        versioned = {**headers, "If-Match": f'"{drafted["revision"]}"'}
        done = await client.post(
            f"matters/bundles/drafts/{drafted['id']}/publication", headers=versioned
        )
        _ = done.raise_for_status()


async def _find(client: httpx.AsyncClient, code: str) -> str:
    found = (
        (await client.get("matters/catalogue", params={"q": code}))
        .raise_for_status()
        .json()["items"]
    )
    return next(matter["id"] for matter in found if matter["identity"] == code)
