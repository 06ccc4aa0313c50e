"""The licence types of the sample.

They keep the platform's own rules, and every one that a matter names is there.
"""

from deploy.sample import catalogue
from services.licenses.model.types import TypeDocument, check_type_code
from services.licenses.printing import covered
from tests.conftest import ClientFactory, TokenFactory

TYPES = catalogue.license_types()


def test_types_are_valid_bilingual_and_printable() -> None:
    documents = {code: TypeDocument.model_validate(document) for code, document in TYPES.items()}

    assert len(documents) >= 30
    assert all(check_type_code(code) == code for code in documents)
    assert all(document.name.bo for document in documents.values())
    labels = [
        label
        for d in documents.values()
        for label in (d.name, *(field.label for field in d.fields))
    ]
    assert {c for label in labels for c in label.zh + (label.bo or "")} <= covered()


def test_every_type_that_a_matter_names_is_there() -> None:
    documents = catalogue.documents()
    asked = {
        m["license_type_code"]
        for d in documents
        for m in d["materials"]
        if "license_type_code" in m
    }
    given = {d["result"]["license_type_code"] for d in documents if d["result"]} - {None}

    assert asked | given <= set(TYPES)
    assert len(asked) >= 10
    assert len(given) >= 30


def test_what_opens_a_teahouse_shop_restaurant_or_hotel_issues_a_licence_and_spares_uploads() -> (
    None
):
    wanted = {"我要开茶馆", "我要开商店", "我要开餐馆", "我要开旅馆"}
    found = [document for document in catalogue.documents() if document["name"]["zh"] in wanted]

    assert {document["name"]["zh"] for document in found} == wanted
    for document in found:
        issuers = [
            body["code"]
            for body in TYPES[document["result"]["license_type_code"]]["issuing_bodies"]
        ]
        assert document["department_code"] in issuers
        names = {m["name"]["zh"] for m in document["materials"] if "license_type_code" in m}
        assert "居民身份证" in names


def test_department_that_decides_a_matter_may_issue_its_licence() -> None:
    wrong = {
        document["name"]["zh"]
        for document in catalogue.documents()
        if document["result"]
        and (code := document["result"]["license_type_code"])
        and document["department_code"]
        not in {body["code"] for body in TYPES[code]["issuing_bodies"]}
    }

    assert wrong == set()


async def test_types_load_through_the_api(client_of: ClientFactory, token: TokenFactory) -> None:
    client = await client_of("licenses")
    headers = token(kind="staff", roles=["administrator"])

    statuses = {
        (
            await client.put(f"/api/v1/licenses/types/{code}", json=document, headers=headers)
        ).status_code
        for code, document in TYPES.items()
    }

    assert statuses == {200}
