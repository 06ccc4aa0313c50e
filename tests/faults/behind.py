"""Run a worker as the code of one version earlier: it knows some events in another version only.

`python -m tests.faults.behind tongban.case-accepted.v1,… services.ratings.worker`: the handlers of
these types are registered for version 0. What comes in version 1 is then a later version than this
code knows, and has to wait for code that does.
"""

import runpy
import sys
from importlib import import_module

from shared.messaging.inbox import Consumer
from tests.faults.hurried import hurry


def as_before(event_type: str) -> str:
    """The type in the version before the first."""
    return f"{event_type.rpartition('.v')[0]}.v0"


def forget(consumer: Consumer, types: set[str]) -> None:
    for handlers in (consumer._handlers, consumer._batch_handlers):
        for event_type in types & set(handlers):
            handlers[as_before(event_type)] = handlers.pop(event_type)  # pyright: ignore[reportArgumentType] - the same kind of handler
    for place, (kept, keep) in enumerate(consumer._envelope_handlers):
        older = frozenset(as_before(one) if one in types else one for one in kept)
        consumer._envelope_handlers[place] = (older, keep)


if __name__ == "__main__":
    types, module = sys.argv[1:]
    hurry()
    service = module.split(".")[1]
    forget(import_module(f"services.{service}.consumer").consumer, set(types.split(",")))
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
