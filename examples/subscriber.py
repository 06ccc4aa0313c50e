"""A subscriber to copy: handshake, verified webhooks, every event once whatever dies, catching up by pull at its start.

`python subscriber.py PEER.json SUBSCRIPTION.json PORT STORE [TOKEN]`; needs only `pip install standardwebhooks`.
"""

import json
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from standardwebhooks import Webhook, WebhookVerificationError

PEER, MINE = (json.loads(Path(name).read_bytes()) for name in sys.argv[1:3])
STORE = sqlite3.connect(sys.argv[4])
STORE.execute("CREATE TABLE IF NOT EXISTS events (id PRIMARY KEY, sequence, key, version, event)")
STORE.execute("CREATE VIEW IF NOT EXISTS newest AS SELECT key, max(version) version, event FROM events GROUP BY key")


def take(event: dict[str, Any], way: str) -> None:
    """Its effect and its id in one transaction: a repeat has none. Keep ids for 30 days at least."""
    row = (event["id"], int(event["sequence"]), event["partitionkey"], int(event["entityversion"]))
    with STORE:
        if STORE.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)", (*row, json.dumps(event))).rowcount:
            print(way, event["type"], *row[1:], flush=True)


def catch_up(token: str) -> None:
    """Pull what lies behind the newest event here; what lies before it and is missing comes again by webhook."""
    place, head = STORE.execute("SELECT max(sequence) FROM events").fetchone()[0] or MINE["cursor"], None
    while place != head:
        url = f"{PEER['api']}/exchange/events?subscription={MINE['id']}&after={place}"
        page = json.load(urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=40))
        for event in page["items"]:
            take(event, "pull")
        place, head = page["next"], page["head"]


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body, document, status = self.rfile.read(int(self.headers["content-length"] or 0)), {}, 200
        try:
            document = {} if self.command == "OPTIONS" else Webhook(MINE["secret"]).verify(body, dict(self.headers))
        except WebhookVerificationError:
            status = 401
        if "specversion" in document:
            take(document, "webhook")  # stored before it is answered: what is not answered comes again
        self.send_response(status)
        self.send_header("WebHook-Allowed-Origin", self.headers.get("WebHook-Request-Origin", ""))
        self.end_headers()
        self.wfile.write(json.dumps({"challenge": document.get("challenge")}).encode())

    do_OPTIONS = do_POST


if sys.argv[5:]:
    catch_up(sys.argv[5])
HTTPServer(("127.0.0.1", int(sys.argv[3])), Hook).serve_forever()
