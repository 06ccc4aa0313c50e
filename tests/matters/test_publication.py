"""A matter's life: draft, review, publication, next version, suspension, cancellation."""

import asyncio
from collections.abc import Sequence

import pytest

from services.matters.consistency import RULES, find_breaches
from services.matters.model.matter import differences
from shared.database.migrations import drift, run_on
from shared.domain.guides import MatterDocument
from shared.ids import new_id
from tests.builders.matters import CITY, CODE, a_document
from tests.conftest import DatabaseFactory, Headers, ServiceClient, TokenFactory, published
from tests.matters.conftest import BASE, Keeper


def test_builder_document_keeps_every_rule() -> None:
    assert find_breaches(a_document()) == []


def items(*changes: dict[str, object]) -> dict[str, object]:
    """Handling items 01, 02, …, each changed."""
    made = [
        {"sequence": f"{n:02d}", "code": f"{CODE}{n:02d}", "name": {"zh": f"办理项{n}"}}
        for n in (1, 2)
    ]
    return {
        "handling_items": [{**item, **change} for item, change in zip(made, changes, strict=False)]
    }


def entry(**changes: object) -> dict[str, object]:
    made = {
        "code": "000117051000",
        "name": "食品经营许可",
        "type": "01",
        "by_law": "中华人民共和国食品安全法第三十五条",
        "use_levels": ["3", "4"],
    }
    return {"catalog_entry": {**made, **changes}}


LOCAL = {"code": None, "catalog_code": None, "local_code": "L-1"}


@pytest.mark.parametrize(
    "changes",
    [
        {**items({}, {"promised_days": 0, "project_type": "1"}), **entry()},
        items({"code": None}, {"legal_days": 15, "promised_days": 15}),
        {**LOCAL, **items({"code": None, "local_code": "L-1-1"}, {"code": None}), **entry()},
    ],
)
def test_document_with_handling_items_and_catalogue_entry_keeps_every_rule(
    changes: dict[str, object],
) -> None:
    assert find_breaches(a_document(**changes)) == []


BROKEN = [
    ("catalog_entry", entry(code="000117052000")),
    ("catalog_entry", {**entry(code="000117052000"), "catalog_code": None}),
    ("catalog_entry", {**LOCAL, **entry(code="00011705100")}),
    ("catalog_entry", {**LOCAL, **entry(code="000517051000")}),
    ("catalog_entry", {**LOCAL, **entry(code="000517051000", type="05")}),
    ("catalog_entry_in_force", entry(state="3")),
    ("catalog_entry_in_force", entry(use_levels=["1", "2"])),
    ("handling_item_codes", items({"code": CODE})),
    ("handling_item_codes", items({"code": CODE + "02"})),
    ("handling_item_codes", items({"code": CODE[:19] + "00011705200001"})),
    ("handling_item_codes", items({}, {"sequence": "01", "code": None})),
    ("handling_item_codes", items({"local_code": "A"}, {"local_code": "A"})),
    ("handling_item_codes", {**LOCAL, **items({})}),
    ("handling_item_days", items({"promised_days": 6, "legal_days": 5})),
    ("handling_item_days", items({"promised_days": 21, "legal_days": 30})),
    ("handling_item_days", items({"legal_days": 9})),
    ("handling_item_days", items({"project_type": "1"})),
    ("handling_item_days", items({"promised_days": 0})),
    ("code_structure", {"code": CODE[:-1]}),
    ("code_structure", {"code": None}),
    ("code_structure", {"type": "05"}),
    ("immediate_means_zero_days", {"project_type": "1"}),
    ("promise_within_law", {"legal_days": 5}),
    ("promise_within_law", {"promised_days": None}),
    ("steps_within_promise", {"promised_days": 9}),
    ("visits_explained", {"visits_reason": None}),
    ("visits_explained", {"visits": 0}),
    ("visits_explained", {"visits": 0, "visits_reason": None}),
    ("fees_complete", {"charged": True}),
    ("fees_complete", {"pay_online": True}),
    (
        "fees_complete",
        {"charged": True, "fees": [{"code": "F1", "name": "工本费", "standard": "5元"}]},
    ),
    ("result_complete", {"result": {"kind": "approval", "type": "出证", "name": "批复"}}),
    ("phones", {"consult_phone": "6000001"}),
    ("phones", {"complaint_phone": "0891-6000001"}),
    ("phones", {"complaint_phone": None}),
    ("objects_named", {"object_types": []}),
    ("place_precise", {"places": []}),
    ("licensing_has_faq", {"faq": []}),
    ("basis_named", {"basis": []}),
    ("question_tree", {"first_question": "Q9"}),
    ("tibetan_name", {"name": {"zh": "我要开茶馆"}}),
]


@pytest.mark.parametrize(("rule", "changes"), BROKEN)
def test_each_rule_finds_its_breach(rule: str, changes: dict[str, object]) -> None:
    found = {breach.rule for breach in find_breaches(a_document(**changes))}

    assert rule in found


def test_every_rule_has_a_planted_breach() -> None:
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_documents_without_handling_items_are_written_as_before_there_were_any() -> None:
    assert {"handling_items", "catalog_entry"} & set(a_document().model_dump(mode="json")) == set()


def test_changed_handling_items_are_told_by_code_or_where_they_have_none_as_a_whole() -> None:
    def told(**changes: object) -> Sequence[dict[str, object]]:
        before, after = (a_document(**items({**changes, "promised_days": days})) for days in (5, 3))
        changes = differences(before.model_dump(mode="json"), after=after.model_dump(mode="json"))
        return [change._asdict() for change in changes]

    national, local = told(), told(code=None)

    assert national == [{"path": f"handling_items.{CODE}01.promised_days", "before": 5, "after": 3}]
    assert [difference["path"] for difference in local] == ["handling_items"]


async def test_handling_items_and_catalogue_entry_are_published(
    client: ServiceClient, keeper: Keeper
) -> None:
    document = a_document(**items({}, {"promised_days": 3}), **entry())
    head = await keeper.publish(document)

    public = (await client.get(f"{BASE}/catalogue/{head['id']}")).json()["document"]
    (event,) = await published(client.database)

    assert [item["code"] for item in public["handling_items"]] == [CODE + "01", CODE + "02"]
    assert public["catalog_entry"]["by_law"] == "中华人民共和国食品安全法第三十五条"
    assert MatterDocument.model_validate(event.data["document"]) == document


async def test_draft_with_a_faulty_handling_item_code_is_told_and_not_reviewed(
    keeper: Keeper,
) -> None:
    drafted = (await keeper.draft(a_document(**items({"code": CODE + "00"})))).json()

    refused = await keeper.act(f"drafts/{drafted['id']}/review", drafted["revision"])

    assert refused.status_code == 409
    assert [e["field"] for e in refused.json()["errors"]] == ["handling_items.01.code"]
    assert [b["rule"] for b in drafted["breaches"]] == ["handling_item_codes"]


async def test_published_matter_is_public_with_its_whole_text(
    client: ServiceClient, keeper: Keeper
) -> None:
    head = await keeper.publish(a_document())

    public = (await client.get(f"{BASE}/catalogue/{head['id']}")).json()
    (event,) = await published(client.database)

    assert (public["version"], public["online_level"]) == (1, 3)
    assert MatterDocument.model_validate(public["document"]) == a_document()
    assert (event.type, event.key, event.revision) == (
        "tongban.matters.matter-published.v1",
        head["id"],
        head["revision"],
    )
    assert MatterDocument.model_validate(event.data["document"]) == a_document()


async def test_review_is_refused_with_every_breach_at_once(keeper: Keeper) -> None:
    drafted = (await keeper.draft(a_document(promised_days=30, faq=[], consult_phone="1"))).json()

    refused = await keeper.act(f"drafts/{drafted['id']}/review", drafted["revision"])

    assert refused.status_code == 409
    assert {e["rule"] for e in refused.json()["errors"]} == {
        "promise_within_law",
        "licensing_has_faq",
        "phones",
    }
    assert {b["rule"] for b in drafted["breaches"]} == {
        "promise_within_law",
        "licensing_has_faq",
        "phones",
    }


async def test_draft_must_be_reviewed_first(keeper: Keeper) -> None:
    drafted = (await keeper.draft(a_document())).json()

    refused = await keeper.act(f"drafts/{drafted['id']}/publication", drafted["revision"])

    assert refused.status_code == 409


async def test_change_makes_a_new_version_and_leaves_the_published_one(
    client: ServiceClient, keeper: Keeper
) -> None:
    head = await keeper.publish(a_document())
    changed = await keeper.change(
        head["id"], head["revision"], a_document(promised_days=10, aliases=["茶馆"])
    )
    meanwhile = (await client.get(f"{BASE}/catalogue/{head['id']}")).json()
    reviewed = await keeper.act(f"drafts/{head['id']}/review", changed.json()["revision"])
    again = await keeper.act(f"drafts/{head['id']}/publication", reviewed.json()["revision"])
    path = f"{BASE}/catalogue/{head['id']}/versions"

    versions = (await client.get(path, headers=keeper.headers)).json()
    differences = (await client.get(f"{path}/1/differences/2", headers=keeper.headers)).json()

    assert meanwhile["version"] == 1
    assert (await client.get(f"{BASE}/catalogue/{head['id']}")).json()["version"] == 2
    assert [version["version"] for version in versions] == [1, 2]
    assert differences == [
        {"path": "aliases", "before": ["开甜茶馆", "茶馆经营许可"], "after": ["茶馆"]}
    ]
    assert [event.revision for event in await published(client.database)] == [
        head["revision"],
        again.json()["revision"],
    ]


async def test_draft_that_says_what_is_published_already_is_published_too_and_gone(
    keeper: Keeper,
) -> None:
    head = await keeper.publish(a_document())
    draft = (await keeper.change(head["id"], head["revision"], a_document())).json()
    reviewed = (await keeper.act(f"drafts/{head['id']}/review", draft["revision"])).json()

    again = (await keeper.act(f"drafts/{head['id']}/publication", reviewed["revision"])).json()

    assert (again["published_version"], again["draft_version"]) == (2, None)


async def test_stale_etag_and_foreign_department_are_refused(
    client: ServiceClient, keeper: Keeper, token: TokenFactory
) -> None:
    head = await keeper.publish(a_document())
    foreign = Keeper(
        client, token(kind="staff", roles=["department_head"], area=CITY, department="OTHER")
    )

    statuses = [
        (await keeper.change(head["id"], head["revision"] - 1, a_document())).status_code,
        (await foreign.change(head["id"], head["revision"], a_document())).status_code,
        (
            await foreign.act(
                f"catalogue/{head['id']}/suspension", head["revision"], {"reason": "not mine"}
            )
        ).status_code,
        (await foreign.draft(a_document())).status_code,
        (await keeper.draft(a_document())).status_code,
        (
            await keeper.change(head["id"], head["revision"], a_document(code=None, local_code="X"))
        ).status_code,
        (
            await client.get(f"{BASE}/catalogue/{head['id']}/versions", headers=foreign.headers)
        ).status_code,
        (await client.get(f"{BASE}/catalogue/{new_id()}")).status_code,
        (await Keeper(client, token()).draft(a_document())).status_code,
    ]

    assert statuses == [412, 404, 404, 400, 409, 400, 404, 404, 403]


async def test_parallel_publications_have_one_effect(client: ServiceClient, keeper: Keeper) -> None:
    drafted = (await keeper.draft(a_document())).json()
    reviewed = (await keeper.act(f"drafts/{drafted['id']}/review", drafted["revision"])).json()
    path = f"drafts/{drafted['id']}/publication"

    answers = await asyncio.gather(*(keeper.act(path, reviewed["revision"]) for _ in range(30)))

    assert sorted({answer.status_code for answer in answers}) == [200, 412]
    assert [answer.status_code for answer in answers].count(200) == 1
    assert len(await published(client.database)) == 1


async def test_suspended_matter_is_gone_until_published_again_and_cancelled_for_good(
    client: ServiceClient, keeper: Keeper
) -> None:
    head = await keeper.publish(a_document())
    path = f"catalogue/{head['id']}"
    suspended = (
        await keeper.act(f"{path}/suspension", head["revision"], {"reason": "law changes"})
    ).json()
    hidden = await client.get(f"{BASE}/{path}")
    again = await keeper.act(f"{path}/suspension", suspended["revision"], {"reason": "law changes"})
    cancelled = (
        await keeper.act(f"{path}/cancellation", suspended["revision"], {"reason": "law changed"})
    ).json()
    never = await keeper.change(head["id"], cancelled["revision"], a_document())

    assert (suspended["state"], cancelled["state"]) == ("suspended", "cancelled")
    assert (hidden.status_code, again.status_code, never.status_code) == (404, 409, 409)
    assert [event.type.split(".")[2] for event in await published(client.database)] == [
        "matter-published",
        "matter-suspended",
        "matter-cancelled",
    ]


async def test_work_list_holds_the_departments_drafts(
    client: ServiceClient, keeper: Keeper, administrator: Headers
) -> None:
    drafted = (await keeper.draft(a_document())).json()

    mine = (await client.get(f"{BASE}/work-list", headers=keeper.headers)).json()["items"]
    everyone = (await client.get(f"{BASE}/work-list", headers=administrator)).json()["items"]

    assert [row["id"] for row in mine] == [row["id"] for row in everyone] == [drafted["id"]]


async def test_personal_guide_is_deterministic_and_names_faults(
    client: ServiceClient, keeper: Keeper
) -> None:
    head = await keeper.publish(a_document())

    async def ask(answers: dict[str, str], **more: object) -> tuple[int, dict[str, object]]:
        body = {"matter_id": head["id"], "answers": answers, **more}
        answer = await client.post(f"{BASE}/personal-guides", json=body)
        return answer.status_code, answer.json()

    first, second = (
        await ask({"Q1": "rent", "Q2": "yes"}),
        await ask({"Q2": "yes", "Q1": "rent"}, version=1),
    )
    wrong, missing = await ask({"Q1": "rent", "Q7": "x"}), await ask({}, version=9)

    assert first == second
    assert (first[0], str(first[1]["digest"])[:7]) == (200, "sha256:")
    assert (wrong[0], missing[0]) == (400, 404)


async def test_statistics_have_numerator_and_denominator(
    client: ServiceClient, keeper: Keeper
) -> None:
    _ = await keeper.publish(a_document())
    public = a_document(
        code=None,
        catalog_code=None,
        local_code="P-1",
        type="20",
        visits=0,
        visits_reason=None,
        stages=["5"],
        questions=[],
        first_question=None,
    )
    _ = await keeper.publish(public)

    figures = (await client.get(f"{BASE}/statistics", params={"area": CITY})).json()

    assert figures["published"] == 2
    assert figures["situational"] == {"numerator": 1, "denominator": 2}
    assert figures["application_level_3"] == {"numerator": 1, "denominator": 1}
    assert figures["public_service_level_4"] == {"numerator": 1, "denominator": 1}
    assert (figures["at_most_one_visit"], figures["wholly_online"]) == (2, 1)


async def test_directory_is_public_and_refuses_departments_of_unknown_areas(
    client: ServiceClient, administrator: Headers
) -> None:
    areas, departments = (
        await client.get(f"{BASE}/areas"),
        await client.get(f"{BASE}/departments", params={"area": CITY}),
    )
    refused = await client.put(
        f"{BASE}/directory",
        json={"departments": [{"area_code": "110000000000", "code": "D", "name": {"zh": "局"}}]},
        headers=administrator,
    )

    assert areas.json()[0]["name"]["zh"] == "拉萨市"
    assert departments.json()[0]["name"]["zh"] == "市场监督管理局"
    assert refused.status_code == 400


async def test_models_equal_the_migrations(database_of: DatabaseFactory) -> None:
    database = await database_of("matters")

    assert await run_on(database.dsn, drift, "matters") == []
