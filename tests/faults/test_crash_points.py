"""SIGKILL at every step of an event's way, one test each.

Whatever step was the last, what was acknowledged is there once.
"""

import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.errands import Errands
from tests.faults.invariant import Invariant
from tests.faults.load import Work, run
from tests.faults.platform import Platform, until

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(300)]

COMMIT = "shared.database.session:_commit"
PUBLISH = "shared.messaging.kafka:KafkaPublisher.publish"
SEND = "aiokafka.producer.sender:Sender._send_produce_req"
HANDLE = "shared.messaging.consumer:Consumer.handle"
TAKE = "shared.messaging.inbox:Inbox._take_batch"


async def cases(errands: Errands) -> None:
    for _ in range(4):
        _ = await errands.apply()


async def an_act(errands: Errands) -> None:
    await errands.act(
        next(c for c, known in errands.memory.cases.items() if known.acts == ["receive"]), "accept"
    )


async def a_push(errands: Errands) -> None:
    await errands.push(random.Random(0))


async def a_text(errands: Errands) -> None:
    await errands.change_matter(random.Random(0))


def crash(platform: Platform, process: str, point: tuple[str, str, int], work: Work) -> None:
    """The process dies at `point` while a client works, and is started again.

    Returns when the client has its answers.
    """
    target, when, number = point
    platform.end(process)
    platform.launch(process, "tests.faults.crash", target, when, str(number))
    platform.wait_ready(process)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run, platform, work)
        died = until(f"{process} dies at {target}", platform.running[process].poll)
        _ = platform.relaunch(process)
        done.result(60)
    assert died == -signal.SIGKILL


# An upload is the client's first commit, the work its second.
@pytest.mark.parametrize(
    ("work", "when"),
    [(cases, "before"), (cases, "after"), (an_act, "after"), (a_push, "before"), (a_push, "after")],
)
def test_api_killed_around_its_commit(
    platform: Platform, invariant: Invariant, work: Work, when: str
) -> None:
    if work is an_act:
        run(platform, cases)

    crash(platform, "cases-api", (COMMIT, when, 2), work)

    invariant.holds()


@pytest.mark.parametrize(
    "point", [(PUBLISH, "before", 1), (SEND, "after", 1)], ids=["before publish", "amid publish"]
)
def test_relay_killed(
    platform: Platform, invariant: Invariant, point: tuple[str, str, int]
) -> None:
    crash(platform, "cases-worker", point, cases)

    invariant.holds()


def test_relay_killed_after_publish_before_its_note_sends_the_same_bytes_twice(
    platform: Platform, invariant: Invariant
) -> None:
    invariant.holds()
    before = invariant.topics.redelivered

    crash(platform, "cases-worker", (PUBLISH, "after", 1), cases)

    invariant.holds()
    assert invariant.topics.redelivered > before


@pytest.mark.parametrize(
    "point",
    [
        ("services.assessment.use_cases:_store", "after", 1),
        (HANDLE, "after", 1),
        (TAKE, "after", 1),
    ],
    ids=["amid a batch", "before commit", "after effect before offset commit"],
)
def test_consumer_killed(
    platform: Platform, invariant: Invariant, point: tuple[str, str, int]
) -> None:
    crash(platform, "assessment-worker", point, cases)

    invariant.holds()


def test_consumer_of_matters_killed_between_effect_and_offset(
    platform: Platform, invariant: Invariant
) -> None:
    crash(platform, "cases-worker", (TAKE, "after", 1), a_text)

    invariant.holds()
