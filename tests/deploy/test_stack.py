"""Replicas of processes: what is typed, and what the gateway is told."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from deploy import stack
from deploy.errors import DeployError
from deploy.run_folder import RunFolder
from deploy.stack import Stack, parse_replicas


def test_replicas_are_read() -> None:
    assert parse_replicas("cases-api=2,gateway=3") == {"cases-api": 2, "gateway": 3}
    assert parse_replicas("") == {}


@pytest.mark.parametrize(
    "text",
    ["3", "cases-api", "cases-api=", "cases-api=0", "cases-api=x", "case=2", "cases-api=999"],
)
def test_wrong_replicas_are_explained(text: str) -> None:
    with pytest.raises(DeployError, match=r"(?s)进程名=数量.*is not of the form PROCESS=NUMBER"):
        _ = parse_replicas(text)


def test_command_ends_with_a_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(stack.cli, ["--replicas", "3", "--data", str(tmp_path)])

    assert done.exit_code == 2
    assert done.stderr.startswith("'3' 不是")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_gateway_is_told_every_copy(tmp_path: Path) -> None:
    replicas = {"cases-api": 2, "identity-api": 2, "gateway": 2}
    many = Stack(RunFolder(tmp_path, 8000), replicas=replicas)
    environments = [
        many.deployment.environment(many.listed[name]) for name in ("gateway", "gateway.2")
    ]
    upstreams = orjson.loads(environments[0]["GATEWAY_UPSTREAMS"])

    assert upstreams["cases"] == [
        f"http://127.0.0.1:{many.listed[name].port}" for name in ("cases-api", "cases-api.2")
    ]
    assert upstreams["matters"] == "http://127.0.0.1:8102"
    assert len(environments[0]["GATEWAY_JWKS_URL"].split()) == 2
    assert {one["GATEWAY_PORT"] for one in environments} == {"8000"}
    assert {one["GATEWAY_SHARED_PORT"] for one in environments} == {"true"}
    assert len({one["GATEWAY_OWN_PORT"] for one in environments}) == 2


def test_one_gateway_has_its_port_alone(tmp_path: Path) -> None:
    one = Stack(RunFolder(tmp_path, 8000))

    assert "GATEWAY_OWN_PORT" not in one.deployment.environment(one.listed["gateway"])
