"""The sample's one-thing bundles (一件事), made from `bundles.toml` and published over REST."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import httpx

from deploy.errors import DeployError
from deploy.sample import catalogue, tables
from deploy.sample.tables import Bundle, Document
from shared.domain.guides import MatterDocument


class _Child(NamedTuple):
    """A matter of a bundle: its own name in the bundle, `bureau/number`, and whom it waits for."""

    name: str
    matter: str
    after: list[str]


def _children(entry: Bundle) -> list[_Child]:
    children: list[_Child] = []
    for name, text in entry["children"].items():
        matter, _, after = text.partition("<")
        children.append(_Child(name, matter.strip(), after.split()))
    return children


def documents(matters: Mapping[str, str]) -> Iterator[Document]:
    """Every bundle as a bundle document; `matters` are the ids of the city's matters by code."""
    for code, entry in tables.bundles().items():
        children = _children(entry)
        columns = [_columns(text) for text in entry["fields"]]
        yield {
            "code": code,
            "name": {"zh": entry["name"], "bo": entry["bo"]},
            "aliases": entry["aka"].split(),
            "summary": entry["summary"],
            "area_code": catalogue.CITY,
            "department_code": catalogue.department_code(catalogue.CITY, bureau=entry["lead"]),
            "children": [_child_document(child, columns, matters=matters) for child in children],
            "fields": [_field(number, column) for number, column in enumerate(columns, start=1)],
            "results": [_result(text, children) for text in entry.get("results", [])],
        }


def _columns(text: str) -> list[str]:
    """Label, kind, and the children that use a field."""
    return [column.strip() for column in text.split("|")]


def _child_document(
    child: _Child, fields: list[list[str]], *, matters: Mapping[str, str]
) -> Document:
    used = [f"F{n}" for n, field in enumerate(fields, start=1) if child.name in field[2].split()]
    matter_id = matters[catalogue.code_of(child.matter)]
    return {"code": child.name, "matter_id": matter_id, "after": child.after, "fields": used}


def _field(number: int, columns: list[str]) -> Document:
    label, kind, _ = columns
    return {"code": f"F{number}", "label": {"zh": label}, "kind": kind}


def _result(text: str, children: list[_Child]) -> Document:
    """`trade > licence 营业执照`: the result of one child is this material of another."""
    source, _, target, name = text.split()
    matter = next(child.matter for child in children if child.name == target)
    document = MatterDocument.model_validate(catalogue.city_document(matter))
    code = next(material.code for material in document.materials if material.name.zh == name)
    return {"of": source, "child": target, "material": code}


async def load(client: httpx.AsyncClient, headers: Mapping[str, str]) -> None:
    """Publish every bundle that is not yet there; the catalogue has to be.

    The client's base URL is `/api/v1` of a platform. Raises: `DeployError`.
    """
    # A start that was interrupted has published some of them.
    published = await _published(client)
    for document in documents(await _matter_ids(client)):
        if document["code"] not in published:
            await _publish(client, headers, document=document)


async def _published(client: httpx.AsyncClient) -> set[str]:
    query = {"area": catalogue.CITY, "limit": 200}
    answer = await client.get("matters/bundles", params=query)
    return {bundle["code"] for bundle in answer.raise_for_status().json()["items"]}


async def _matter_ids(client: httpx.AsyncClient) -> dict[str, str]:
    """The ids of the matters that are in bundles, by their codes."""
    codes: set[str] = set()
    for entry in tables.bundles().values():
        codes.update(catalogue.code_of(child.matter) for child in _children(entry))
    return {code: await _find_matter(client, code) for code in sorted(codes)}


async def _find_matter(client: httpx.AsyncClient, code: str) -> str:
    answer = await client.get("matters/catalogue", params={"q": code})
    found = answer.raise_for_status().json()["items"]
    return next(matter["id"] for matter in found if matter["identity"] == code)


async def _publish(
    client: httpx.AsyncClient, headers: Mapping[str, str], *, document: Document
) -> None:
    once = {**headers, "Idempotency-Key": f"sample-bundle-{document['code']}"}
    answer = await client.post("matters/bundles/drafts", json=document, headers=once)
    draft = answer.raise_for_status().json()
    if draft["breaches"]:
        first = draft["breaches"][:3]
        raise DeployError(f"the bundle {document['code']} does not keep the rules: {first}")
    versioned = {**headers, "If-Match": f'"{draft["revision"]}"'}
    url = f"matters/bundles/drafts/{draft['id']}/publication"
    answer = await client.post(url, headers=versioned)
    _ = answer.raise_for_status()
