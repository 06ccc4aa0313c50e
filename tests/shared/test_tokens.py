"""Tokens: keys read over HTTP and kept while their source is away.

Also revocation, and the cache of verdicts.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta

import orjson
import pytest

from shared import clock
from shared.runtime import remote_keys
from shared.runtime.remote_keys import RemoteKeys
from shared.security.tokens import TokenError, TokenVerifier
from tests.builders.tokens import ISSUER, TestKeys


@dataclass
class KeyServer:
    """Serves a JWK set over real HTTP, counts the reads, can be told to fail."""

    keys: TestKeys
    reads: int = 0
    failing: bool = False
    port: int = 0
    _server: asyncio.Server | None = field(default=None)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _ = await reader.readuntil(b"\r\n\r\n")
        self.reads += 1
        body = orjson.dumps(self.keys.jwks())
        status = b"500 Broken" if self.failing else b"200 OK"
        writer.write(
            b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (status, len(body), body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def server(keys: TestKeys) -> AsyncGenerator[KeyServer]:
    server = KeyServer(keys)
    await server.start()
    yield server
    await server.stop()


def a_verifier(server: KeyServer) -> TokenVerifier:
    return TokenVerifier(RemoteKeys(f"http://127.0.0.1:{server.port}/jwks"), issuer=ISSUER)


async def test_keys_are_read_once_for_many_tokens(server: KeyServer, keys: TestKeys) -> None:
    verifier = a_verifier(server)

    callers = [await verifier.verify(keys.token(sub=f"s{n}"), clock.now()) for n in range(5)]

    assert [caller.subject for caller in callers] == [f"s{n}" for n in range(5)]
    assert server.reads == 1


async def test_unknown_keys_do_not_make_it_read_without_end(server: KeyServer) -> None:
    verifier = a_verifier(server)

    for number in range(5):
        with pytest.raises(TokenError):
            _ = await verifier.verify(TestKeys(f"unknown-{number}").token(), clock.now())

    assert server.reads == 1


async def test_rotation_is_followed_and_old_keys_stop(
    server: KeyServer, keys: TestKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "REFETCH_AFTER", 0.0)
    verifier, rotated = a_verifier(server), TestKeys("second")
    old = keys.token()
    _ = await verifier.verify(old, clock.now())

    server.keys = rotated
    caller = await verifier.verify(rotated.token(sub="new"), clock.now())

    assert caller.subject == "new"
    with pytest.raises(TokenError):
        _ = await verifier.verify(old, clock.now())


async def test_known_keys_serve_while_their_source_is_away(
    server: KeyServer, keys: TestKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "REFETCH_AFTER", 0.0)
    verifier = a_verifier(server)
    _ = await verifier.verify(keys.token(), clock.now())
    server.failing = True

    with pytest.raises(TokenError):
        _ = await verifier.verify(TestKeys("unknown").token(), clock.now())

    assert (await verifier.verify(keys.token(sub="still"), clock.now())).subject == "still"


async def test_removed_key_is_refused_after_the_next_reading_though_its_token_is_cached(
    server: KeyServer, keys: TestKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, token = a_verifier(server), keys.token()
    _ = await verifier.verify(token, clock.now())
    server.keys = TestKeys("second")
    await verifier.keys.refresh()
    still = await verifier.verify(token, clock.now())

    monkeypatch.setattr(remote_keys, "REFRESH_AFTER", 0.0)
    await verifier.keys.refresh()

    assert still.kind == "person"
    with pytest.raises(TokenError):
        _ = await verifier.verify(token, clock.now())


async def test_known_key_is_read_again_in_the_background_when_it_is_old(
    server: KeyServer, keys: TestKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "REFRESH_AFTER", 0.05)
    verifier = a_verifier(server)
    _ = await verifier.verify(keys.token(), clock.now())
    await asyncio.sleep(0.1)

    _ = await verifier.verify(keys.token(sub="another"), clock.now())

    async with asyncio.timeout(5):
        while server.reads < 2:
            await asyncio.sleep(0.01)


async def test_first_token_is_judged_though_the_source_was_not_up_a_moment_before(
    server: KeyServer, keys: TestKeys
) -> None:
    verifier = a_verifier(server)
    server.failing = True
    await verifier.keys.refresh()
    server.failing = False

    caller = await verifier.verify(keys.token(sub="first"), clock.now())

    assert caller.subject == "first"


async def test_source_that_is_away_is_not_asked_by_everybody(server: KeyServer) -> None:
    server.failing = True
    verifier = a_verifier(server)

    outcomes = await asyncio.gather(
        *(verifier.verify(TestKeys(f"unknown-{n}").token(), clock.now()) for n in range(20)),
        return_exceptions=True,
    )

    assert {type(outcome) for outcome in outcomes} == {TokenError}
    assert server.reads == 1


@pytest.mark.parametrize(
    "document", [{}, {"keys": []}, [], "x", {"keys": [{"kty": "OKP", "crv": "Ed25519"}]}]
)
async def test_unreadable_key_set_changes_nothing(
    server: KeyServer, keys: TestKeys, monkeypatch: pytest.MonkeyPatch, document: object
) -> None:
    monkeypatch.setattr(remote_keys, "REFRESH_AFTER", 0.0)
    verifier = a_verifier(server)
    _ = await verifier.verify(keys.token(), clock.now())
    monkeypatch.setattr(server.keys, "jwks", lambda: document)

    await verifier.keys.refresh()

    assert server.reads == 2
    assert (await verifier.verify(keys.token(sub="still"), clock.now())).subject == "still"


async def test_revocations_are_forgotten_when_no_token_of_theirs_can_live(keys: TestKeys) -> None:
    verifier, token = keys.verifier(), keys.token(sid="x-1", exp=int(time.time()) + 3000)
    verifier.revoke(["x-1"], clock.now())
    with pytest.raises(TokenError, match="revoked"):
        _ = await verifier.verify(token, clock.now())

    verifier.revoke(["x-2"], clock.now() + timedelta(minutes=16))

    assert (await verifier.verify(token, clock.now())).session == "x-1"


async def test_cached_verdict_ends_with_the_token(keys: TestKeys) -> None:
    verifier, token = keys.verifier(), keys.token()
    _ = await verifier.verify(token, clock.now())

    with pytest.raises(TokenError, match="expired"):
        _ = await verifier.verify(token, clock.now() + timedelta(minutes=11))


@pytest.mark.parametrize("claim", ["sub", "sid"])
async def test_revoked_session_or_subject_is_refused_at_once(keys: TestKeys, claim: str) -> None:
    verifier, token = keys.verifier(), keys.token(**{claim: "x-1"})
    _ = await verifier.verify(token, clock.now())

    verifier.revoke(["x-1"], clock.now())

    with pytest.raises(TokenError, match="revoked"):
        _ = await verifier.verify(token, clock.now())


async def test_both_names_of_the_algorithm_are_accepted_and_no_other(keys: TestKeys) -> None:
    from joserfc import jwt

    claims = {
        "iss": ISSUER,
        "aud": ["x", "tongban"],
        "sub": "s",
        "kind": "person",
        "iat": 1,
        "exp": time.time() + 60,
    }

    def signed(algorithm: str, **header: str) -> str:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = {"alg": algorithm, "kid": keys.kid, "typ": "at+jwt", **header}
            return jwt.encode(head, claims, keys.key, algorithms=["EdDSA", "Ed25519"])

    for algorithm in ("EdDSA", "Ed25519"):
        assert (await keys.verifier().verify(signed(algorithm), clock.now())).subject == "s"
    with pytest.raises(TokenError):
        _ = await keys.verifier().verify(signed("Ed25519", typ="JWT"), clock.now())
