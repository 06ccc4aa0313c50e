"""A subscriber in the scenario: a small HTTP server of a bureau that gets signed webhooks.

It goes down, comes back and catches up.
"""

import base64
import hmac
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypedDict

import orjson

from deploy.demo.answers import Event, Page, Subscription
from deploy.demo.context import DemoContext, ScenarioError, if_match
from deploy.demo.peer import PeerSystem
from deploy.postgres import free_port
from deploy.sample.accounts import Headers

FACTS = ("received", "accepted", "decided", "closed", "imported")
TYPES = [f"cn.gov.lhasa.cases.case.{fact}.v1" for fact in FACTS]
TOLERANCE_SECONDS = 300
"""How old or new a webhook's time stamp may be (Standard Webhooks)."""


class CloudEvent(TypedDict):
    """The parts of a CloudEvent that the subscriber reads."""

    id: str
    partitionkey: str
    entityversion: int


class Subscriber:
    """Keeps what came, by key; a repeated id has no second effect. Every signature is checked."""

    def __init__(self) -> None:
        # The same port after each stop: the subscription names it.
        self.port = free_port()
        self.secret = ""
        self.versions: dict[str, list[int]] = defaultdict(list)
        self.ids: set[str] = set()
        self.forged = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def start(self) -> None:
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            def do_OPTIONS(self) -> None:
                allowed = {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"}
                self._answer(b"", allowed)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                document = orjson.loads(body)
                if document.get("type") == "webhook.challenge":
                    answer = {"challenge": document["challenge"]}
                    self._answer(orjson.dumps(answer), {})
                else:
                    subscriber.receive(dict(self.headers.items()), body)
                    self._answer(b"", {})

            def _answer(self, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                _ = self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing: the scenario says what comes."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def receive(self, headers: Mapping[str, str], body: bytes) -> None:
        """Verify a webhook, then have its effect, once."""
        event: CloudEvent = orjson.loads(body)
        if not self._is_genuine({name.lower(): value for name, value in headers.items()}, body):
            self.forged += 1
        elif event["id"] not in self.ids:
            self.ids.add(event["id"])
            self.versions[event["partitionkey"]].append(int(event["entityversion"]))

    def _is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        timestamp = headers["webhook-timestamp"]
        content = f"{headers['webhook-id']}.{timestamp}.".encode() + body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        # There are several signatures while the secret is being changed.
        signed = f"v1,{digest}" in headers["webhook-signature"].split(" ")
        return signed and abs(time.time() - int(timestamp)) <= TOLERANCE_SECONDS

    @property
    def disordered(self) -> list[str]:
        """Keys whose versions did not come in order."""
        return [key for key, versions in self.versions.items() if versions != sorted(versions)]


async def subscribe(
    demo: DemoContext, system: PeerSystem, *, subscriber: Subscriber
) -> Subscription:
    """Activate a webhook. Returns a pull of the same events, to compare with."""
    demo.section("A bureau subscribes: signed webhooks to its own server")
    subscriber.start()
    # The server has to run before: activation asks it at once.
    who = await system.headers()
    endpoint = {"endpoint": subscriber.url}
    webhook = await _subscribe(demo, who, mode="webhook", more=endpoint)
    subscriber.secret = webhook["secret"]
    answer = await demo.post(
        f"/exchange/subscriptions/{webhook['id']}/activation",
        who=who,
        headers=if_match(webhook["revision"]),
    )
    active: Subscription = answer.json()
    demo.check("its endpoint answered the challenge", active["state"], expected="active")
    return await _subscribe(demo, who, mode="pull", more={})


async def _subscribe(
    demo: DemoContext, who: Headers, *, mode: str, more: Mapping[str, str]
) -> Subscription:
    body = {"name": f"演示 {mode}", "mode": mode, "event_types": TYPES, **more}
    once = demo.once(f"subscription-{mode}")
    answer = await demo.post(
        "/exchange/subscriptions", who=who, headers=once, json=body, status=201
    )
    return answer.json()


async def catch_up(
    demo: DemoContext, system: PeerSystem, *, subscriber: Subscriber, pull: Subscription
) -> None:
    """It was down while much happened; it comes back: nothing is lost, doubled or out of order."""
    demo.section("The bureau's server was down; it comes back and catches up")
    before = len(subscriber.ids)
    subscriber.start()
    wanted = await _pull_all(demo, await system.headers(), pull=pull)

    async def ask() -> bool | None:
        return True if wanted <= subscriber.ids else None

    try:
        _ = await demo.until("everything at the subscriber", ask, seconds=180)
    except ScenarioError:
        demo.say(f"   {len(wanted - subscriber.ids)} are still missing")
    after = len(subscriber.ids) - before
    demo.say(f"   {before} came before it went down, {after} after it was back")
    demo.check("events lost", len(wanted - subscriber.ids), expected=0)
    demo.check("keys whose events came out of order", subscriber.disordered, expected=[])
    demo.check("with a signature that does not hold", subscriber.forged, expected=0)
    subscriber.stop()


async def _pull_all(demo: DemoContext, who: Headers, *, pull: Subscription) -> set[str]:
    """The ids of all events since the subscription began."""
    ids: set[str] = set()
    after = pull["cursor"]
    while True:
        query = {"subscription": pull["id"], "after": after, "limit": 200}
        answer = await demo.get("/exchange/events", who=who, params=query)
        page: Page[Event] = answer.json()
        if not page["items"]:
            return ids
        ids.update(event["id"] for event in page["items"])
        after = int(page["next"] or 0)
