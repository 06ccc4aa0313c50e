"""The sample's one-thing bundles: published through the API without a breach, each with a guide."""

import httpx
import orjson

from deploy.sample import bundles, catalogue
from tests.conftest import ClientFactory, TokenFactory


async def test_sample_bundles_are_published_and_found(
    client_of: ClientFactory, token: TokenFactory
) -> None:
    service = await client_of("matters")
    administrator = token(kind="staff", roles=["administrator"])
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://platform/api/v1", timeout=60
    ) as client:
        stored = await client.put(
            "/matters/directory", json=catalogue.directory(), headers=administrator
        )
        texts = [text for text in catalogue.documents() if text["area_code"] == catalogue.CITY]
        body = b"\n".join(orjson.dumps(text) for text in texts)
        loaded = await client.post(
            "/matters/catalogue-documents", content=body, headers=administrator
        )
        await bundles.load(client, administrator)

        listed = (await client.get("/matters/bundles")).json()["items"]
        found = (await client.get("/matters/bundles", params={"q": "旅馆"})).json()["items"]
        hotel = (await client.get(f"/matters/bundles/{found[0]['id']}")).json()

    assert (stored.status_code, loaded.json()["refused"]) == (204, 0)
    assert len(listed) == 10
    assert all(bundle["open"] for bundle in listed)
    assert {
        "开茶馆一件事",
        "开商店一件事",
        "开旅馆一件事",
        "开餐馆一件事",
        "办准生证一件事",
        "办排污许可证一件事",
    } <= {bundle["name"]["zh"] for bundle in listed}
    assert [bundle["name"]["zh"] for bundle in found] == ["开旅馆一件事"]
    assert "营业执照" not in {material["name"]["zh"] for material in hotel["materials"]}
