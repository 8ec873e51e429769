"""
The relay: hands the outbox's events to Kafka, in order and at least once, as CloudEvents 1.0 in binary mode.

One relay works at a time, kept by an advisory lock which the database drops the moment that process dies. An event is
marked once the broker has acknowledged it, so a relay that is killed in between sends some twice: consumers tell them
by ``ce_id``. Events of one key go to one partition in order. Without Kafka events wait in the outbox, and nothing else
notices.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from altcredit.runtime import outbox
from altcredit.runtime.clock import now
from altcredit.runtime.locks import Lock
from altcredit.runtime.outbox import Bell, Event
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Producer

LOCK = "SELECT pg_try_advisory_lock($1)"
_BATCH = 500
_ACKNOWLEDGE_SECONDS = 15.0
_POLL_SECONDS = 5.0
_ASK_SECONDS = 5.0


class KafkaAway(Exception):
    """The brokers did not acknowledge events; the events wait in the outbox."""


class KafkaUnusable(Refusal):
    """What is configured for Kafka cannot be used; the message names what."""


def cloud_event_headers(event: Event, *, source: str) -> list[tuple[str, str | bytes | None]]:
    """
    Return the headers of the Kafka protocol binding for CloudEvents 1.0.2, section 3.2 (binary content mode).

    ``partitionkey`` is the documented extension, which the binding makes the message's key (section 3.1).
    """
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event.event_id,
        "ce_type": event.type,
        "ce_source": source,
        "ce_time": _rfc3339(event.created_at),
        "ce_partitionkey": event.key,
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items()]


def _rfc3339(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def read_properties(file: str) -> dict[str, str]:
    """
    Read librdkafka properties, ``name=value`` a line; ``#`` begins a comment line, no file has none.

    :raises KafkaUnusable: the file cannot be read.
    """
    try:
        text = Path(file).read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8"
        raise KafkaUnusable(f"ALTCREDIT_KAFKA_PROPERTIES: {file} cannot be read ({reason}).") from problem
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def producer(bootstrap: str, properties: dict[str, str]) -> "Producer":
    """
    Return a producer that neither loses nor reorders: idempotent, every replica in sync has what it acknowledges.

    :raises KafkaUnusable: librdkafka does not know a property, or its value.
    """
    import logging

    from confluent_kafka import KafkaException, Producer

    try:
        return Producer(
            {
                "client.id": "altcredit-relay",
                "linger.ms": 2,
                "compression.type": "lz4",
                **properties,
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": int(_ACKNOWLEDGE_SECONDS * 1000),
            },
            logger=logging.getLogger("altcredit.kafka"),
        )
    except KafkaException as problem:
        raise KafkaUnusable(f"ALTCREDIT_KAFKA_PROPERTIES: {problem.args[0].str()}") from problem


def require_usable(settings: Settings) -> None:
    """
    Continue only where the relay could work, were the brokers there, or where there is none to be.

    :raises KafkaUnusable: the properties cannot be read, or librdkafka refuses them.
    """
    if settings.kafka_bootstrap:
        producer(settings.kafka_bootstrap, read_properties(settings.kafka_properties))


def partitions(settings: Settings) -> int:
    """
    Ask the brokers for the topic of events; return how many partitions it has, 0 where it does not exist yet. Blocks.

    :raises KafkaUnusable: as ``require_usable``.
    :raises KafkaAway: no broker answers within a few seconds.
    """
    from confluent_kafka import KafkaException

    asking = producer(settings.kafka_bootstrap, read_properties(settings.kafka_properties))
    try:
        return len(asking.list_topics(timeout=_ASK_SECONDS).topics[settings.kafka_topic].partitions)
    except KeyError:
        return 0
    except KafkaException as problem:
        raise KafkaAway(problem.args[0].str()) from problem


async def send(to: "Producer", events: list[Event], *, topic: str, source: str) -> list[Event]:
    """
    Send events and wait for the broker; return those it has acknowledged, up to the first that it has not.

    What comes after a gap counts as not sent: it is sent again behind what was missing, so that order is kept.
    """
    problems: list[Any] = [KafkaAway("no answer")] * len(events)

    def settles(place: int) -> Callable[[Any, Any], None]:
        def settle(problem: Any, _message: Any) -> None:
            problems[place] = problem

        return settle

    for place, event in enumerate(events):
        to.produce(
            topic,
            key=event.key,
            value=msgspec.json.encode(event.data),
            headers=cloud_event_headers(event, source=source),
            on_delivery=settles(place),
        )
    waited = 0.0
    while len(to) and waited < _ACKNOWLEDGE_SECONDS + 1:
        # In short turns, so that a worker that is told to stop does not wait for brokers that are away.
        await asyncio.to_thread(to.flush, 0.25)
        waited += 0.25
    acknowledged = next((place for place, problem in enumerate(problems) if problem is not None), len(events))
    return events[:acknowledged]


async def relay(dsn: str, *, bootstrap: str, topic: str, source: str, properties: dict[str, str] | None = None) -> None:
    """
    Relay events until cancelled or in trouble; the caller starts it again after a pause.

    :param dsn: the database; the relay has one connection of its own.
    :param source: ``ce_source``, which names this installation.
    :param properties: further librdkafka properties, as ``security.protocol``.
    :raises KafkaAway: brokers do not answer, or refuse.
    :raises KafkaUnusable: librdkafka does not know a property, or its value.
    :raises OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the database does not.
    """
    from confluent_kafka import KafkaException

    connection = await asyncpg.connect(dsn, server_settings={"application_name": "altcredit relay"})
    try:
        bell = Bell()
        await bell.listen(connection)
        while not await connection.fetchval(LOCK, Lock.RELAYING):  # noqa: ASYNC110 - the lock is another process's
            await asyncio.sleep(1)
        to = producer(bootstrap, properties or {})
        while True:
            events = await outbox.unpublished(connection, limit=_BATCH)
            sent = await send(to, events, topic=topic, source=source)
            if sent:
                await outbox.mark_published(connection, events=sent, now=now())
            if len(sent) < len(events):
                to.purge()
                raise KafkaAway(f"{len(events) - len(sent)} events were not acknowledged")
            if len(events) < _BATCH:
                await bell.wait(_POLL_SECONDS)
    except KafkaException as problem:
        raise KafkaAway(str(problem)) from problem
    finally:
        await connection.close()
