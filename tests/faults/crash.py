"""Run a module of the platform with one function that kills its process (SIGKILL).

The function does so at its n-th call; everything else is as it is.

`python -m tests.faults.crash shared.messaging.kafka:KafkaPublisher.publish after 1
services.cases.worker`: the real worker, dead the moment the broker has acknowledged its first
batch. Of an API only calls within requests count, because it also commits at its start and notes
that it runs. Production code knows nothing of it.
"""

import functools
import itertools
import os
import runpy
import signal
import sys
from importlib import import_module
from operator import attrgetter
from typing import Any

from shared import context


def arm(target: str, when: str, number: int, *, within_requests: bool) -> None:
    """Wrap `module:name` or `module:Class.method` so that its `number`-th call kills the process.

    It does so `before` or `after` the work of the function.
    """
    module, _, path = target.partition(":")
    owner_path, _, name = path.rpartition(".")
    owner: Any = (
        attrgetter(owner_path)(import_module(module)) if owner_path else import_module(module)
    )
    original, calls = getattr(owner, name), itertools.count(1)

    @functools.wraps(original)
    async def wrapped(*arguments: Any, **options: Any) -> Any:
        counts = not within_requests or bool(context.current().request_id)
        deadly = counts and next(calls) == number
        if deadly and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await original(*arguments, **options)
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    target, when, number, module = sys.argv[1:]
    arm(target, when, int(number), within_requests=module.endswith(".main"))
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
