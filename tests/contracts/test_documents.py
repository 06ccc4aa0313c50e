"""The committed contracts: valid, equal to the code, and a drift is found."""

from pathlib import Path

import orjson
import pytest
from openapi_spec_validator import validate

from deploy import docs
from deploy.embedded import SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_openapi_is_valid(service: str) -> None:
    validate(orjson.loads((docs.FOLDER / f"{service}.openapi.json").read_bytes()))


def test_every_fact_is_described() -> None:
    document = orjson.loads((docs.FOLDER / "events.asyncapi.json").read_bytes())

    names = {name for channel in document["channels"].values() for name in channel["messages"]}

    assert {"tongban.cases.case-decided.v1", "tongban.matters.matter-published.v1"} <= names
    assert document["channels"]["cases"]["address"] == "tongban.cases"


def test_drift_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(docs, "FOLDER", tmp_path)

    written, same = docs.main([]), docs.main(["--check"])
    _ = (tmp_path / "cases.openapi.json").write_text("{}")
    drifted = docs.main(["--check"])

    assert (written, same, drifted) == (0, 0, 1)
    assert "cases.openapi.json" in capsys.readouterr().err
