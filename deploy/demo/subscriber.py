"""A subscriber in the story: a small real HTTP server of a bureau that gets signed webhooks, goes down and catches up."""

import base64
import hmac
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from deploy.demo.peer import PeerSystem
from deploy.demo.stage import Difference, Stage
from deploy.postgres import free_port

TYPES = [
    f"cn.gov.lhasa.cases.case.{fact}.v1"
    for fact in ("received", "accepted", "decided", "closed", "imported")
]


class Subscriber:
    """What came, by key; a repeat of an id has no second effect. Every signature is checked."""

    def __init__(self) -> None:
        self.port = free_port()
        self.secret = ""
        self.effects: dict[str, list[int]] = defaultdict(list)
        self.ids: set[str] = set()
        self.repeats = 0
        self.forged = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def up(self) -> None:
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            def do_OPTIONS(self) -> None:
                self._answer(b"", {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                document = orjson.loads(body)
                if document.get("type") == "webhook.challenge":
                    self._answer(orjson.dumps({"challenge": document["challenge"]}), {})
                else:
                    subscriber.take(dict(self.headers.items()), body, document)
                    self._answer(b"", {})

            def _answer(self, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(200)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                _ = self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing: the story does."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def down(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: dict[str, str], body: bytes, document: dict[str, Any]) -> None:
        """Verify (Standard Webhooks), then have the effect once."""
        named = {name.lower(): value for name, value in headers.items()}
        content = f"{named['webhook-id']}.{named['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        mine = "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        if (
            mine not in named["webhook-signature"].split(" ")
            or abs(time.time() - int(named["webhook-timestamp"])) > 300
        ):
            self.forged += 1
        elif document["id"] in self.ids:
            self.repeats += 1
        else:
            self.ids.add(document["id"])
            self.effects[document["partitionkey"]].append(int(document["entityversion"]))

    @property
    def disordered(self) -> list[str]:
        """Keys whose versions did not come in order."""
        return [key for key, versions in self.effects.items() if versions != sorted(versions)]


async def subscribe(stage: Stage, system: PeerSystem, subscriber: Subscriber) -> tuple[str, int]:
    """A webhook that answers its handshake, and a pull of the same for comparison: its id and where in the log it begins."""
    stage.scene("A bureau subscribes: signed webhooks to its own server")
    subscriber.up()
    who, made = await system.headers(), list[Any]()
    for mode in ("webhook", "pull"):
        body = {"name": f"演示 {mode}", "mode": mode, "event_types": TYPES}
        body |= {"endpoint": subscriber.url} if mode == "webhook" else {}
        once = stage.once(f"subscription-{mode}")
        answer = await stage.call(
            "POST", "/exchange/subscriptions", who, status=201, json=body, headers=once
        )
        made.append(answer)
        if mode == "webhook":
            subscriber.secret = answer["secret"]
            versioned = {"If-Match": f'"{answer["revision"]}"'}
            path = f"/exchange/subscriptions/{answer['id']}/activation"
            active = await stage.call("POST", path, who, headers=versioned)
            stage.check("its endpoint answered the challenge", active["state"], "active")
    return made[1]["id"], made[1]["cursor"]


async def catch_up(
    stage: Stage, system: PeerSystem, subscriber: Subscriber, pull: tuple[str, int]
) -> None:
    """It was down while much happened; now it is up again, and nothing is lost, doubled or out of order."""
    stage.scene("The bureau's server was down; it comes back and catches up")
    before = len(subscriber.ids)
    subscriber.up()
    who, wanted, (subscription, after) = await system.headers(), set[str](), pull
    while True:
        query = {"subscription": subscription, "after": after, "limit": 200}
        page = await stage.call("GET", "/exchange/events", who, params=query)
        events = page["items"]
        wanted |= {event["id"] for event in events}
        if not events:
            break
        after = int(page["next"])

    async def all_there() -> Any:
        return True if wanted <= subscriber.ids else None

    try:
        await stage.until("everything at the subscriber", all_there, 180)
    except Difference:
        stage.say(f"   {len(wanted - subscriber.ids)} are still missing")
    stage.say(
        f"   {before} came before it went down, {len(subscriber.ids) - before} after it was back"
    )
    stage.check("events lost", len(wanted - subscriber.ids), 0)
    stage.check("keys whose events came out of order", subscriber.disordered, [])
    stage.check("with a signature that does not hold", subscriber.forged, 0)
    subscriber.down()
