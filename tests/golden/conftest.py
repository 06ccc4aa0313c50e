"""Fixture of the golden scenarios: a fixed clock, fixed callers, and a file to compare with."""

from collections.abc import AsyncGenerator

import pytest

from tests.conftest import ClientFactory, TokenFactory
from tests.golden.recorder import FILES, Golden


@pytest.fixture
async def golden(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    client_of: ClientFactory,
    token: TokenFactory,
) -> AsyncGenerator[Golden]:
    """The golden file of this test: `files/<module>/<test>.txt`, both without `test_`."""
    module = request.path.stem.removeprefix("test_")
    name = request.node.name.removeprefix("test_").replace("[", "_").removesuffix("]")
    golden = Golden(FILES / module / f"{name}.txt", monkeypatch, client_of=client_of, token=token)
    yield golden
    await golden.close()
    if not golden.checked:
        # pytest shows this where the scenario has failed before its end.
        print("\n".join(["The last lines:", *golden.lines[-60:]]))
