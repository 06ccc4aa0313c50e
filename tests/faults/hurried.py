"""Run a module of the platform with short pauses between its looks at topics and dead letters.

`python -m tests.faults.hurried services.cases.worker`. Half a minute is right for an operator and
would make most of the time of these tests.
"""

import runpy
import sys

from shared.messaging import inbox, outbox, topics


def hurry() -> None:
    outbox.TOPIC_CHECK = 2.0
    topics.LOOK_EVERY = 2.0
    inbox.VERSION_PAUSE = 1.0


if __name__ == "__main__":
    hurry()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
