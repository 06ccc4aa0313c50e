"""What an operator restores, loses or changes under load, by a seed that is printed and replays it.

Databases that go back to an earlier moment, topics and brokers that are lost, offsets that are
deleted, code that is a version behind, partitions that were added.
"""

import asyncio
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import GroupIdNotFound, NoError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from deploy.broker import KafkaBroker, KafkaCluster
from deploy.operate.archive import Archive
from shared.events.base import topic_of
from shared.messaging.bus import LackingCopies
from shared.messaging.kafka import PARTITIONS, KafkaBus
from tests.faults.followers import Followers
from tests.faults.invariant import CONSUMERS, TELLING, Invariant
from tests.faults.load import Load
from tests.faults.moments import Moments
from tests.faults.platform import DATABASES, Platform, until
from tests.faults.power_cut import cut_back
from tests.faults.test_backup import archived
from tests.faults.topics import Topics

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(7200)]

CHECK_EVERY = 12
PROGRESS = 10
"""Changes that must be acknowledged after each fault before the next."""
MORE_PARTITIONS = 12


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault works on."""

    platform: Platform
    followers: Followers
    invariant: Invariant
    load: Load
    chance: random.Random

    def ask(self, service: str, question: str, *values: object) -> object:
        """One value of a service's database."""

        async def run() -> object:
            connection = await self.platform.connect(service)
            try:
                return await connection.fetchval(question, *values)
            finally:
                await connection.close()

        return asyncio.run(run())

    def wait(self, shortest: float, longest: float) -> None:
        time.sleep(self.chance.uniform(shortest, longest))

    def read_topics_anew(self) -> None:
        """The topics are others now: everything must be in them again."""
        self.invariant.topics = Topics()

    @property
    def bus(self) -> KafkaBus:
        kafka = self.platform.kafka
        return KafkaBus(kafka.bootstrap, replication=kafka.copies)


Fault = Callable[[Scene], object]


def restore_a_consumer(scene: Scene) -> None:
    """Any of them at any of its earlier moments; no service comes twice before each came once."""
    scene.followers.restore(scene.followers.next_service(scene.chance), scene.chance)


def restore_the_read_model(scene: Scene) -> None:
    """Assessment, in the platform itself, at an earlier moment, while its worker runs."""
    moments = Moments(scene.platform.postgres, "tongban_assessment")
    copy = moments.take()
    scene.wait(0.5, 3)
    moments.restore(copy)
    moments.drop_copies()


def restore_a_producer(scene: Scene) -> None:
    """Without its last facts it refuses; restored to the end of its log it goes on.

    Meanwhile it also consumes, so that in the end it stands before what its group has committed.
    """
    platform, service = scene.platform, scene.chance.choice(TELLING)
    worker, api = f"{service}-worker", f"{service}-api"
    published = "SELECT coalesce(sum(sent), 0) FROM relay_position"
    moments = Moments(platform.postgres, f"tongban_{service}")
    copy = moments.take()
    before = scene.ask(service, published)
    _ = until(
        f"{service} publishes",
        lambda: scene.load.check() or scene.ask(service, published) != before,
        180,
    )
    # Whoever restores a database takes nothing in meanwhile.
    apis = platform.named(api)
    for name in apis:
        platform.kill(name)
    kept = moments.swap(copy)
    try:
        _ = until(f"{worker} refuses", lambda: refuses(platform, worker))
        reason = scene.ask(service, "SELECT refused FROM relay_state")
    finally:
        moments.put_back(kept)
        moments.drop_copies()
        for name in apis:
            platform.launch(name)
    for name in (*apis, worker):
        platform.wait_ready(name)
    assert "restored to an earlier moment" in str(reason)


def restore_all_to_the_end_of_the_log(scene: Scene) -> None:
    """An earlier copy of the whole server, and its log to the end: every producer goes on."""
    server = scene.platform.postgres
    with tempfile.TemporaryDirectory(
        prefix="tongban-archive-", ignore_cleanup_errors=True
    ) as folder:
        archive = Archive(Path(folder))
        with archived(server, archive):
            make_progress(scene)
            server.kill()
            lost = server.data_dir.rename(server.data_dir.with_name("lost-by-restore"))
        archive.restore(server)
    # Many thousand files.
    _ = subprocess.run(["rm", "-rf", str(lost)], check=True)


def make_progress(scene: Scene) -> None:
    reached = len(scene.platform.acknowledged) + PROGRESS
    _ = until(
        "changes go on",
        lambda: scene.load.check() or len(scene.platform.acknowledged) >= reached,
        180,
    )


def refuses(platform: Platform, worker: str) -> bool:
    """Whether this worker says that its database and its topic do not fit together."""
    try:
        with urlopen(f"http://127.0.0.1:{platform.listed[worker].port}/readyz", timeout=3):
            return False
    except HTTPError as answer:
        checks = orjson.loads(answer.read())["checks"]
        return checks["database"] and not checks["facts"]
    except OSError:
        return False


def lose_all_topics(scene: Scene) -> None:
    """They are deleted, or the disks of all brokers come back empty."""
    if scene.chance.random() < 0.5:
        lose_all_disks(scene)
    else:
        delete_all_topics(scene)


def delete_all_topics(scene: Scene) -> None:
    topics = [topic_of(service) for service in (*TELLING, "assessment", "identity")]
    administer(scene, lambda admin: admin.delete_topics(topics))
    _ = until("all topics are there again", lambda: are_complete(scene, topics))
    scene.read_topics_anew()


def lose_all_disks(scene: Scene) -> None:
    """They come back empty: no topics, no offsets."""
    kafka = scene.platform.kafka
    kafka.kill()
    for broker in brokers(scene.platform):
        shutil.rmtree(broker.data_dir / "logs")
    kafka.start()
    topics = [topic_of(service) for service in (*TELLING, "assessment", "identity")]
    _ = until("all topics are there again", lambda: are_complete(scene, topics))
    scene.read_topics_anew()


def brokers(platform: Platform) -> Sequence[KafkaBroker]:
    if isinstance(platform.kafka, KafkaCluster):
        return platform.kafka.brokers
    return [platform.kafka]


def are_complete(scene: Scene, topics: Sequence[str]) -> bool:
    lacking = asyncio.run(scene.bus.lacking_copies(topics))
    return set(lacking.values()) == {LackingCopies(0, 0)}


def cut_the_power_of_a_broker(scene: Scene) -> None:
    broker = scene.chance.choice(brokers(scene.platform))
    broker.kill()
    _ = cut_back(broker.data_dir / "logs")
    scene.wait(0, 3)
    broker.start()
    topics = [topic_of(service) for service in TELLING]
    # The next may only be lost when this one has its copies again.
    _ = until("all copies are there again", lambda: are_complete(scene, topics))


def delete_the_offsets_of_a_group(scene: Scene) -> None:
    """As Kafka does with a group that has no members for seven days."""
    service = scene.chance.choice(DATABASES)
    group = f"{service}.{scene.ask(service, 'SELECT id FROM inbox_group')}"
    workers = scene.platform.named(f"{service}-worker")
    for name in workers:
        scene.platform.end(name)

    async def delete(admin: AIOKafkaAdminClient) -> type[Exception]:
        coordinator = await admin.find_coordinator(group)
        answer = await admin._send_request(DeleteGroupsRequest([group]), coordinator)
        return for_code(answer.results[0][1])

    deleted = administer(scene, delete)
    for name in workers:
        scene.platform.launch(name)
    assert deleted in {NoError, GroupIdNotFound}, deleted


def run_a_consumer_one_version_behind(scene: Scene) -> None:
    """Its code does not know what comes; then it is replaced by code that does."""
    platform, service = scene.platform, scene.chance.choice(sorted({*DATABASES} - {"matters"}))
    types = sorted(CONSUMERS[service]._types())
    chosen = scene.chance.sample(types, scene.chance.randint(len(types) // 2 + 1, len(types)))
    workers = platform.named(f"{service}-worker")
    for name in workers:
        platform.end(name)
        platform.launch(name, "tests.faults.behind", ",".join(chosen))
    parked = "SELECT count(*) FROM dead_letter"
    _ = until(
        f"events wait in {service} for code that knows {chosen}",
        lambda: scene.load.check() or scene.ask(service, parked),
    )
    scene.wait(0.5, 2)
    for name in workers:
        platform.end(name)
        platform.launch(name)
    for name in workers:
        platform.wait_ready(name)


def grow_the_partitions_of_a_topic(scene: Scene) -> None:
    """Refused with the reason; the operator deletes the topic, and the relay fills a new one."""
    service = scene.chance.choice(("cases", "ratings", "exchange", "licenses"))
    topic, refused = topic_of(service), "SELECT refused FROM relay_state"
    more = {topic: NewPartitions(MORE_PARTITIONS)}
    administer(scene, lambda admin: admin.create_partitions(more))
    _ = until(f"{service} refuses", lambda: scene.load.check() or scene.ask(service, refused))
    reason = scene.ask(service, refused)
    scene.wait(0, 1)
    administer(scene, lambda admin: admin.delete_topics([topic]))
    _ = until(
        f"{service} publishes again", lambda: scene.load.check() or not scene.ask(service, refused)
    )
    scene.read_topics_anew()
    assert f"has {MORE_PARTITIONS} partitions and its facts are numbered in {PARTITIONS}" in str(
        reason
    )


def administer(scene: Scene, work: Callable[[AIOKafkaAdminClient], object]) -> object:
    return asyncio.run(scene.bus._ask(work))


FAULTS: tuple[Fault, ...] = (
    restore_the_read_model,
    restore_a_producer,
    lose_all_topics,
    delete_the_offsets_of_a_group,
    run_a_consumer_one_version_behind,
    grow_the_partitions_of_a_topic,
)


@pytest.fixture(scope="session")
def each() -> int:
    """How often each kind of fault comes."""
    return int(os.environ.get("FAULT_EACH") or 1)


def plan(platform: Platform, each: int, chance: random.Random) -> list[Fault]:
    """Every kind so often, and every consumer at least once, in a random order."""
    kinds = list(FAULTS)
    if isinstance(platform.kafka, KafkaCluster):
        kinds.append(cut_the_power_of_a_broker)
    rounds = [fault for fault in kinds for _ in range(each)]
    rounds += [restore_a_consumer] * max(each, len(CONSUMERS))
    # It copies the whole server, and `test_backup` does it too.
    rounds += [restore_all_to_the_end_of_the_log] * (each // 5)
    chance.shuffle(rounds)
    return rounds


@pytest.mark.skipif(not os.environ.get("FAULT_EACH"), reason="in make faults (FAULT_EACH)")
def test_nothing_is_lost_doubled_or_disordered_by_an_operator(
    platform: Platform,
    invariant: Invariant,
    seed: int,
    each: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One of these faults after the other keeps people waiting for their invitations.
    monkeypatch.setattr("tests.faults.errands.PATIENCE", 300.0)
    chance, told = random.Random(seed), Counter[str]()
    with Followers(platform) as followers, Load(platform, seed) as load:
        scene = Scene(platform, followers, invariant, load, chance)
        _ = until("work has begun", lambda: load.check() or platform.acknowledged.batches)
        rounds = plan(platform, each, chance)
        for number, fault in enumerate(rounds, 1):
            began = time.monotonic()
            _ = fault(scene)
            make_progress(scene)
            told[fault.__name__] += 1
            print(f"round {number}: {fault.__name__} {time.monotonic() - began:.1f} s")
            if number % CHECK_EVERY == 0 or number == len(rounds):
                load.rest()
                began = time.monotonic()
                scene.invariant.holds()
                print(
                    f"{platform.acknowledged.told()}, whole after {time.monotonic() - began:.1f} s"
                )
                load.go_on()
        load.rest()
        began = time.monotonic()
        differences = followers.differences()
        print(f"followers compared in {time.monotonic() - began:.1f} s")
    load.check()
    print(dict(told))
    assert differences == []
