"""P9: import and publish a catalogue of 6,181 matters with guides through the gateway.

The baseline is a plain COPY of the bytes.
"""

import time
from collections.abc import Sequence

import orjson
import uvloop

from bench.baseline import copy_seconds
from bench.data import documents
from bench.harness import Figure, Options, at_most, run
from bench.load import Client
from bench.seed_data import cpu_usage, make_seed_data, running_stack
from deploy.stack import Stack

MATTERS = 6_181


async def publish(stack: Stack, number: int, headers: dict[str, str]) -> tuple[float, list[bytes]]:
    """Seconds until all are published, and the documents as lines."""
    lines = [orjson.dumps(document) for document in documents(number)]
    client = Client(stack.folder.url)
    started = time.perf_counter()
    report = await client.json(
        "POST", "/api/v1/matters/catalogue-documents", b"\n".join(lines), **headers
    )
    seconds = time.perf_counter() - started
    client.close()
    if report["accepted"] != number:
        raise SystemExit(f"not all were published: {report}")
    return seconds, lines


async def _measured(stack: Stack, options: Options) -> list[Figure]:
    seed = await make_seed_data(stack, 1)
    before = cpu_usage(stack)
    headers = seed.token(kind="staff", roles=["administrator"])
    seconds, lines = await publish(stack, options.pick(MATTERS, 200), headers)
    cost = cpu_usage(stack).since(before)
    copied = await copy_seconds(stack.postgres.dsn("tongban_matters"), lines)
    return [
        at_most("import and publish", seconds, "s", 30, 8),
        Figure("ratio to a plain COPY of the same documents", seconds / copied, "×"),
        Figure("plain COPY", copied, "s"),
        Figure("matters", len(lines), ""),
        Figure("megabytes", sum(map(len, lines)) / 1e6, "MB"),
        *(
            Figure(f"CPU: {name}", cost.parts[name], "s")
            for name in ("gateway", "matters-api", "postgres")
        ),
    ]


def measure(options: Options) -> Sequence[Figure]:
    with running_stack() as stack:
        return uvloop.run(_measured(stack, options))


if __name__ == "__main__":
    run("P9", "import and publish 6,181 matters with guides", measure)
