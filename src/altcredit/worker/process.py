import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

import uvloop

from altcredit.runtime import clock, jobs, log, outbox
from altcredit.runtime.db import Connection
from altcredit.runtime.outbox import Bell, Subscriptions
from altcredit.runtime.platform import opened
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings
from altcredit.worker import audit, scoring
from altcredit.worker import queue as queue_
from altcredit.worker.handlers import HANDLERS, SCHEDULES
from altcredit.worker.work import Handler, Kept, Schedule, Work

# Jobs get this long to finish when the worker is told to stop; then they go back to the queue.
GRACE_SECONDS = 25.0
_ADOPT_SECONDS = 1.0
_REACT_SECONDS = 5.0
_LONGEST_PAUSE = 15.0
# What starts beside this worker, the API above all, has the processors first.
_PRELOAD_SECONDS = 3.0


class ConnectionLost(Exception):
    """The connection that shows this worker alive is gone: the fleet may have taken its jobs over."""


def run(
    settings: Settings,
    dsn: str,
    subscriptions: Subscriptions,
    *,
    handlers: Mapping[str, Handler] = HANDLERS,
    schedules: Sequence[Schedule] = SCHEDULES,
) -> None:
    """
    Run jobs, schedules, reactions and the relay until SIGTERM or SIGINT; then finish the jobs under way.

    A database that goes away is waited for. Raises SchemaOutdated when it is not at this version's revision, and
    KafkaUnusable where events are to go to Kafka by settings that cannot be used.
    """
    if settings.kafka_bootstrap:
        from altcredit.runtime import kafka

        kafka.require_usable(settings)
    uvloop.run(_main(settings, dsn, subscriptions, handlers, schedules))


async def _main(
    settings: Settings,
    dsn: str,
    subscriptions: Subscriptions,
    handlers: Mapping[str, Handler],
    schedules: Sequence[Schedule],
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    pause = 0.2
    while not stopping.is_set():
        began = loop.time()
        try:
            async with opened(settings, dsn) as platform:
                work = Work(platform=platform, clock=clock.now, kept=Kept())
                try:
                    await _session(work, subscriptions, handlers, schedules, stopping)
                finally:
                    await work.kept.close()
        except Refusal:
            raise
        except Exception as problem:
            # Away, restarting or failed over: begin again with new connections, and a new number in the fleet.
            pause = 0.2 if loop.time() - began > 60 else min(pause * 2, _LONGEST_PAUSE)
            log.warning("worker_interrupted", error=_leaves(problem), seconds=pause)
            await _wait(stopping, pause)


def _leaves(problem: BaseException) -> str:
    if isinstance(problem, BaseExceptionGroup):
        return ", ".join(_leaves(one) for one in problem.exceptions)
    return type(problem).__name__


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


async def _session(
    work: Work,
    subscriptions: Subscriptions,
    handlers: Mapping[str, Handler],
    schedules: Sequence[Schedule],
    stopping: asyncio.Event,
) -> None:
    """Work on one set of connections until told to stop; anything that fails ends all of it."""
    queues = await queue_.build(work, handlers, schedules)
    due = [(key.entrypoint, key.expression) for queue in queues.values() for key in queue.sm.registry]
    async with work.platform.database.transaction() as db:
        await jobs.keep_schedules(db, schedules=due)
    numbers = [str(queue.qm.queue_manager_id) for queue in queues.values()]
    async with jobs.alive(work.platform.database.dsn, workers=numbers) as own, asyncio.TaskGroup() as group:
        running = [group.create_task(queue_.run(queue, places=queue_.LANES[lane])) for lane, queue in queues.items()]
        beside = [
            group.create_task(_adopt(work)),
            group.create_task(_react(work, subscriptions, own)),
            group.create_task(work.platform.keep_keys_fresh()),
            group.create_task(audit.keep_sealing(work)),
            group.create_task(_preload(work)),
        ]
        if work.platform.settings.kafka_bootstrap:
            beside.append(group.create_task(_relay(work)))
        if work.platform.settings.worker_port:
            from altcredit.worker import listener

            beside.append(group.create_task(listener.listen(work, stopping)))
        log.info("worker_ready", count=len(handlers))
        await stopping.wait()
        for queue in queues.values():
            queue.shutdown.set()
        await asyncio.wait(running, timeout=GRACE_SECONDS)
        for task in (*running, *beside):
            task.cancel()


async def _preload(work: Work) -> None:
    await asyncio.sleep(_PRELOAD_SECONDS)
    try:
        await scoring.preload(work)
    except Exception as problem:  # the first job that needs it tries again, and says what is wrong in its own right
        log.exception("pipeline_not_loaded", problem)


async def _adopt(work: Work) -> None:
    while True:
        async with work.platform.database.transaction() as db:
            adopted = await jobs.adopt(db)
        if adopted:
            log.warning("jobs_adopted", count=adopted)
        await asyncio.sleep(_ADOPT_SECONDS)


async def _react(work: Work, subscriptions: Subscriptions, own: Connection) -> None:
    bell = Bell()
    await bell.listen(own)
    while True:
        if own.is_closed():
            raise ConnectionLost
        async with work.platform.database.transaction() as db:
            seen = await outbox.react(db, subscriptions, now=work.clock())
        if not seen:
            await bell.wait(_REACT_SECONDS)


async def _relay(work: Work) -> None:
    """Keep the relay going: brokers that are away are nobody else's trouble."""
    from altcredit.runtime import kafka

    settings = work.platform.settings
    pause = 1.0
    while True:
        try:
            await kafka.relay(
                work.platform.database.dsn,
                bootstrap=settings.kafka_bootstrap,
                topic=settings.kafka_topic,
                source=settings.issuer,
                properties=await asyncio.to_thread(kafka.read_properties, settings.kafka_properties),
            )
        except (kafka.KafkaAway, kafka.KafkaUnusable) as away:  # a file that was usable at the start may be amid change
            log.warning("kafka_away", topic=settings.kafka_topic, reason=str(away), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
