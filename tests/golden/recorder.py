"""Plays a scenario over HTTP, events and timers, and records every answer, event and row.

`GOLDEN_WRITE=1 pytest tests/golden` writes the golden files; otherwise each scenario is compared
with its file.
"""

import difflib
import hashlib
import os
from base64 import b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import httpx
import orjson
import pytest

from tests.conftest import (
    DATA_KEY,
    PLATFORM_KEY,
    ClientFactory,
    Headers,
    ServiceClient,
    TokenFactory,
)
from tests.golden import layout, surface
from tests.golden.normalise import Normaliser, fixed
from tests.golden.surface import FixedClock, Sent

FILES = Path(__file__).parent / "files"
SHOWN_LINES = 300

START = "2026-03-10T09:30"
"""A Tuesday; ten working days without a holiday follow."""
CITY = "540100000000"
DEPARTMENT = "11540100MB0Q01904W"

TECHNICAL = {
    "alembic_version",
    "dead_letter",
    "event_number",
    "fact_log",
    "give_again",
    "idempotency",
    "inbox",
    "inbox_group",
    "inbox_position",
    "inbox_type",
    "key_check",
    "outbox",
    "relay_position",
    "relay_state",
    "running_process",
    "schema_contraction",
}
"""Tables of the platform: read elsewhere (outbox), or without business content."""
RECORDED_HEADERS = (
    "content-type",
    "etag",
    "location",
    "retry-after",
    "www-authenticate",
    "content-disposition",
    "cache-control",
    "idempotent-replayed",
)

TABLES = """
    SELECT relname AS name FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
    AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
COLUMNS = """
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS required
    FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attname
"""
OUTBOX = """
    SELECT position, topic, key, event_id::text AS event_id, payload FROM outbox
    WHERE position > $1 ORDER BY position
"""
LETTERS = "SELECT topic, type, error FROM dead_letter ORDER BY position"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.content)

    @property
    def version(self) -> int:
        """The number in the ETag, for If-Match."""
        return int(self.headers["etag"].strip('W/"'))


class Callers:
    """Everybody who acts, each under an identifier that never changes."""

    def __init__(self, token: TokenFactory) -> None:
        self._token = token

    def _make(self, number: int, **claims: Any) -> Headers:
        return self.with_claims({"sub": fixed(number), "sid": fixed(number + 500), **claims})

    def with_claims(self, claims: Mapping[str, Any]) -> Headers:
        """Valid by the scenario's clock and by the machine's, whatever the claims say."""
        times = {"iat": 1_735_689_600, "exp": 4_102_444_800, "auth_time": 1_735_689_600}
        return self._token(**{**claims, **times})

    def person(self, number: int = 1, **claims: Any) -> Headers:
        return self._make(number, **claims)

    def organisation(self, number: int = 50, **claims: Any) -> Headers:
        return self._make(number, kind="organisation", **claims)

    def staff(
        self, *roles: str, number: int = 100, area: str = CITY, department: str = DEPARTMENT
    ) -> Headers:
        return self._make(number, kind="staff", roles=list(roles), area=area, department=department)

    def administrator(self) -> Headers:
        return self._make(199, kind="staff", roles=["administrator"])

    def system(
        self, *scopes: str, number: int = 200, area: str = CITY, department: str = DEPARTMENT
    ) -> Headers:
        claims = {"area": area, "department": department, "client_id": fixed(number)}
        return self._make(number, kind="system", scope=" ".join(scopes), **claims)


class Golden:
    """One scenario and its file."""

    def __init__(
        self,
        path: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        client_of: ClientFactory,
        token: TokenFactory,
    ) -> None:
        self.path = path
        self.clock = FixedClock(monkeypatch, START)
        self.as_ = Callers(token)
        self.normaliser = Normaliser(
            data_key=b64decode(DATA_KEY), platform_key=b64decode(PLATFORM_KEY)
        )
        self.lines: list[str] = []
        self.checked = False
        self._monkeypatch = monkeypatch
        self._client_of = client_of
        self._requests = 0
        self._played: list[Played] = []

    def section(self, title: str) -> None:
        self.lines += ["", f"==== {title}"]

    def line(self, text: str) -> None:
        self.lines.append(self.normaliser.text(text))

    def document(self, title: str, text: str) -> None:
        """A JSON text under a title."""
        self.lines += ["", f"---- {title}", *self.normaliser.lines(text)]

    async def service(self, name: str, **settings: Any) -> "Played":
        """The service on a fresh database."""
        client = await self._client_of(name, **settings)
        connection = await client.database.connect()
        _ = await connection.execute("SET TIME ZONE 'UTC'")
        played = Played(self, name, client=client, connection=connection)
        self._played.append(played)
        await played.remember()
        return played

    def draw_in_turn(self) -> None:
        """Make random draws a fixed sequence, so that codes and secrets are the same in every run.

        Each kind of draw has a sequence of its own, because libraries draw too.
        """
        drawn: Counter[object] = Counter()

        def number_of(draw: object) -> int:
            drawn[draw] += 1
            return drawn[draw]

        def some_bytes(number: int) -> bytes:
            return hashlib.sha256(f"{number}/{number_of(number)}".encode()).digest()[:number]

        def choice(options: Sequence[Any]) -> Any:
            return options[number_of("choice") % len(options)]

        replaced = {
            "secrets.choice": choice,
            "secrets.randbelow": lambda limit: number_of("below") * 7919 % limit,
            "secrets.token_bytes": some_bytes,
            "secrets.token_hex": lambda number: some_bytes(number).hex(),
            "secrets.token_urlsafe": lambda number: (
                urlsafe_b64encode(some_bytes(number)).rstrip(b"=").decode()
            ),
            "random.uniform": lambda low, high: (low + high) / 2,
        }
        for name, function in replaced.items():
            self._monkeypatch.setattr(name, function)

    def next_request(self) -> str:
        self._requests += 1
        return f"golden-{self._requests:04d}"

    async def close(self) -> None:
        for played in self._played:
            await played.close()

    def check(self) -> None:
        """Compare with the file, or write it."""
        self.checked = True
        text = layout.without_lone_names("\n".join(self.lines).lstrip("\n")) + "\n"
        if os.environ.get("GOLDEN_WRITE"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _ = self.path.write_text(text, encoding="utf-8")
            return
        if not self.path.exists():
            pytest.fail(f"{self.path.name} is missing: write it with GOLDEN_WRITE=1", pytrace=False)
        difference = difference_of(self.path.read_text(encoding="utf-8"), text, name=self.path.name)
        if difference:
            pytest.fail("\n".join(difference), pytrace=False)


def difference_of(expected: str, found: str, *, name: str) -> Sequence[str]:
    """The unified diff, cut where it gets long."""
    lines = list(
        difflib.unified_diff(
            expected.splitlines(),
            found.splitlines(),
            f"{name} (golden)",
            f"{name} (now)",
            lineterm="",
        )
    )
    if len(lines) > SHOWN_LINES:
        return [*lines[:SHOWN_LINES], f"… {len(lines) - SHOWN_LINES} more lines"]
    return lines


class Played:
    """One service of a scenario."""

    def __init__(
        self, golden: Golden, name: str, *, client: ServiceClient, connection: asyncpg.Connection
    ) -> None:
        self.name = name
        self.client = client
        self._golden = golden
        self._connection = connection
        self._position = 0
        self._handed_on = 0
        self._known: dict[str, set[str]] = {}
        self._timers: surface.Timers | None = None
        self.sent: list[Sent] = []

    async def call(
        self,
        method: str,
        path: str,
        *,
        caller: Headers | None = None,
        body: Any = None,
        version: int | None = None,
        key: str | None = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Headers | None = None,
        stable: bool = True,
    ) -> Answer:
        """One request, `path` below `/api/v1/<service>/`. Records the answer and the events.

        The content of an answer that is not `stable` is left out: it differs in each run.
        """
        golden = self._golden
        given = {"X-Request-ID": golden.next_request(), **(caller or {}), **(headers or {})}
        if version is not None:
            given["If-Match"] = f'"{version}"'
        if key is not None:
            given["Idempotency-Key"] = key
        url = path if path.startswith("/") else f"/api/v1/{self.name}/{path}"
        got = await self.client.request(
            method, url, json=body, content=content, params=params, headers=given
        )
        self._write_request(method, got.request, version=version, key=key, body=body)
        self._write_answer(got, stable=stable)
        await self.record_events()
        return Answer(got.status_code, got.headers, got.content)

    async def get(self, path: str, caller: Headers | None = None, **params: Any) -> Answer:
        return await self.call("GET", path, caller=caller, params=params or None)

    async def post(
        self, path: str, caller: Headers | None = None, *, body: Any = None, **more: Any
    ) -> Answer:
        return await self.call("POST", path, caller=caller, body=body, **more)

    async def put(
        self, path: str, caller: Headers | None = None, *, body: Any = None, **more: Any
    ) -> Answer:
        return await self.call("PUT", path, caller=caller, body=body, **more)

    async def form(
        self, path: str, fields: Mapping[str, str], *, caller: Headers | None = None
    ) -> Answer:
        """A form, as OAuth wants it."""
        content = urlencode(fields).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.call("POST", path, caller=caller, content=content, headers=kind)

    def _write_request(
        self,
        method: str,
        request: httpx.Request,
        *,
        version: int | None,
        key: str | None,
        body: Any,
    ) -> None:
        golden = self._golden
        title = f"---- {method} {golden.normaliser.text(request.url.raw_path.decode())}"
        if version is not None:
            title += f"  If-Match {version}"
        if key is not None:
            title += f"  Idempotency-Key {key}"
        golden.lines += ["", title]
        if body is not None:
            golden.lines += [
                "> " + line
                for line in golden.normaliser.lines(orjson.dumps(body).decode(), name="request")
            ]

    def _write_answer(self, got: httpx.Response, *, stable: bool) -> None:
        golden = self._golden
        golden.lines.append(f"< {got.status_code}")
        for name in RECORDED_HEADERS:
            if name in got.headers:
                golden.lines.append(f"< {name}: {golden.normaliser.text(got.headers[name])}")
        kind = got.headers.get("content-type", "")
        if not stable:
            golden.lines.append("(content left out)")
        elif "json" in kind or kind.startswith(("text/", "application/jose")):
            problem = kind.startswith("application/problem+json")
            golden.lines += golden.normaliser.lines(got.text, name="answer", problem=problem)
        elif got.content:
            golden.lines.append(f"({len(got.content)} bytes, sha256 {_digest(got.content)})")

    async def record_events(self) -> None:
        """Write down what came into the outbox since the last time."""
        golden = self._golden
        for row in await self._connection.fetch(OUTBOX, self._position):
            self._position = row["position"]
            payload: bytes = row["payload"]
            self.sent.append(Sent(row["topic"], row["key"], payload))
            text = payload.decode()
            assert f'"id":"{row["event_id"]}"' in text
            golden.lines.append(golden.normaliser.text(f"! event {row['topic']} key {row['key']}"))
            golden.lines += ["! " + line for line in golden.normaliser.lines(text, name="event")]

    async def take(self, *events: Sent) -> None:
        """Give events to this service's consumer and write down what it says to them."""
        golden = self._golden
        golden.lines += ["", f"---- {self.name} takes"]
        golden.lines += [
            golden.normaliser.text(f"  {type_of(event)} {event.key}") for event in events
        ]
        await surface.deliver(self.name, self.client.database, events=events)
        for letter in await self._connection.fetch(LETTERS):
            golden.lines.append(f"(set aside: {letter['type']}, {_code_of(letter['error'])})")
        await self.record_events()

    def new_events(self) -> list[Sent]:
        """What this service has sent since the last call, for other services to take."""
        new = self.sent[self._handed_on :]
        self._handed_on = len(self.sent)
        return new

    async def timer(self, name: str) -> None:
        """Run one timer of the worker at the time of the scenario."""
        golden = self._golden
        golden.lines += ["", f"---- {self.name}: timer {name} at {golden.clock.now.isoformat()}"]
        if self._timers is None:
            self._timers = surface.timers_of(self.name, self.client.app.state.settings)
        await surface.run_timer(
            self.name,
            self._timers.by_name[name],
            database=self.client.database,
            now=golden.clock.now,
        )
        await self.record_events()

    async def close(self) -> None:
        if self._timers is not None:
            await self._timers.close()
        await self._connection.close()

    async def execute(self, statement: str, *values: Any) -> None:
        """A change of the tables past the code, for rows whose identifiers must never change."""
        _ = await self._connection.execute(statement, *values)

    async def fetch(self, query: str, *values: Any) -> Sequence[asyncpg.Record]:
        """Rows that an answer does not show."""
        return await self._connection.fetch(query, *values)

    async def remember(self) -> None:
        """Rows that are there now are not shown later."""
        for table in await self._tables():
            self._known[table] = {_text_of(row) for row in await self._rows(table)}

    async def forget(self) -> None:
        """Show everything from now on, also what the migrations have written."""
        self._known = {}

    async def columns(self) -> None:
        """Every column of every table, those of the platform included."""
        golden = self._golden
        for row in await self._connection.fetch(TABLES):
            golden.lines += ["", f"---- columns of {self.name}.{row['name']}"]
            for column in await self._connection.fetch(COLUMNS, row["name"]):
                required = " required" if column["required"] else ""
                golden.lines.append(f"  {column['name']} {column['type']}{required}")

    async def seal_audit(self) -> None:
        """Link the audit rows into their chain, as the worker does."""
        await surface.seal_audit(self.client.database, self._connection)

    async def dump(self, *tables: str, leave_out: Sequence[str] = ()) -> None:
        """Every row of the business tables (or of these) that was not there at the start."""
        golden = self._golden
        empty: list[str] = []
        for table in tables or await self._tables():
            if table in leave_out:
                continue
            known = self._known.get(table, set())
            rows = [row for row in await self._rows(table) if _text_of(row) not in known]
            if not rows:
                empty.append(table)
                continue
            rows.sort(key=lambda row, table=table: golden.normaliser.sort_key(table, dict(row)))
            golden.lines += ["", f"---- {self.name}.{table}: {len(rows)} rows"]
            for row in rows:
                golden.lines += self._row(table, row)
        if empty:
            golden.lines += ["", f"---- {self.name}, no rows: {', '.join(empty)}"]

    def _row(self, table: str, row: asyncpg.Record) -> list[str]:
        lines: list[str] = []
        for name, value in row.items():
            if value is None:
                continue
            shown = self._golden.normaliser.column(table, name, value=value)
            lines += [f"  {name}: {shown[0]}", *("    " + line for line in shown[1:])]
        return ["- " + lines[0].removeprefix("  "), *lines[1:]]

    async def _tables(self) -> list[str]:
        return [
            row["name"]
            for row in await self._connection.fetch(TABLES)
            if row["name"] not in TECHNICAL
        ]

    async def _rows(self, table: str) -> Sequence[asyncpg.Record]:
        columns = await self._connection.fetch(COLUMNS, table)
        selected = [_selected(column["name"], column["type"]) for column in columns]
        return await self._connection.fetch(f'SELECT {", ".join(selected)} FROM "{table}"')


def _selected(name: str, kind: str) -> str:
    """Everything as text, so that it shows as it is stored; bytes as bytes."""
    if kind == "bytea":
        return f'"{name}"'
    return f'"{name}"::text AS "{name}"'


def _text_of(row: asyncpg.Record) -> str:
    return "|".join(f"{name}={value}" for name, value in row.items() if value is not None)


def _code_of(error: str) -> str:
    """Of a stored error its stable code, where it has one; the words may change."""
    parts = error.split(": ")
    return parts[1] if len(parts) > 2 else "another error"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def type_of(event: Sent) -> str:
    return str(orjson.loads(event.payload)["type"])
