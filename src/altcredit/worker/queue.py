"""pgqueuer as we use it: our retries, merged jobs, Indian time, and a database that may go away."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial

from croniter import croniter  # type: ignore[import-untyped]
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.executors import (
    AbstractEntrypointExecutor,
    EntrypointExecutorParameters,
    ScheduleExecutor,
    ScheduleExecutorFactoryParameters,
)
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Context, Job, TracebackRecord
from pgqueuer.domain.models import Schedule as DueSchedule
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel

from altcredit.runtime import jobs, log, telemetry
from altcredit.runtime.shared import Shared
from altcredit.worker.work import Handler, Lane, Schedule, Work

IST = timezone(timedelta(hours=5, minutes=30), "IST")  # India has no summer time

# Only where a worker stops without its connection being closed, as when a network is cut; a killed one is noticed at
# once (`jobs.adopt`). Long, because a job that holds the interpreter must not be taken for a dead one.
HEARTBEAT_TIMEOUT = timedelta(seconds=60)
POLL = timedelta(seconds=5)
# The names of migration 0001. Said outright, because pgqueuer would take them from variables as common as CHANNEL.
_NAMES = DBSettings(
    prefix="",
    db_schema=None,
    channel=Channel("ch_pgqueuer"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
)
# How many jobs of a lane one worker has under way. What waits for others (sources, receivers) needs places, not
# processors; whatever is beyond them waits in the database.
LANES: Mapping[Lane, int] = {"general": 20, "underwriting": 64, "delivery": 128}


class _Queries(Queries):
    async def retry_job(self, job: Job, delay: timedelta, traceback_record: TracebackRecord | None) -> None:
        """Put a failed job back; where the database is away too, leave it to be adopted and not, as pgqueuer, held."""
        try:
            await super().retry_job(job, delay, traceback_record)
            await self.driver.execute(jobs.WAKE)
        except Exception as problem:
            log.warning("job_not_put_back", job=job.entrypoint, job_id=job.id, error=type(problem).__name__)


class _Executor(AbstractEntrypointExecutor):
    """Runs one kind of job."""

    def __init__(self, parameters: EntrypointExecutorParameters, *, name: str, handler: Handler, work: Work) -> None:
        super().__init__(parameters)
        self.name = name
        self.handler = handler
        self.work = work
        self.begin: Shared[int, int, list[jobs.Payload]] = Shared(self._begin_all)

    async def execute(self, job: Job, context: Context) -> None:
        """Run a job; a failure puts it back with a pause, until it has failed so often that it is held."""
        started = time.perf_counter()
        try:
            count = await self._run(job)
        except asyncio.CancelledError:
            raise RetryRequested(reason="the worker stopped") from None
        except Exception as problem:
            log.exception("job_failed", problem, job=self.name, job_id=job.id, attempt=job.attempts + 1)
            held = job.attempts + 1 >= jobs.ATTEMPTS
            telemetry.JOBS.labels(self.name, "held" if held else "failed").inc()
            if held:
                raise
            reason = f"{type(problem).__name__}: {problem}"[:500]
            raise RetryRequested(jobs.pause_after(job.attempts), reason) from problem
        seconds = time.perf_counter() - started
        telemetry.JOBS.labels(self.name, "done").inc()
        telemetry.JOB_SECONDS.labels(self.name).observe(seconds)
        log.info("job_done", job=self.name, job_id=job.id, count=count, seconds=round(seconds, 3))

    async def _begin_all(self, job_ids: Sequence[int]) -> dict[int, list[jobs.Payload]]:
        return await jobs.begin(self.work.platform.database.reads, job_ids=job_ids)

    async def _run(self, job: Job) -> int:
        database = self.work.platform.database
        if self.handler.merging:
            async with database.transaction() as db:
                payloads = await jobs.begin_merging(db, job_id=job.id, name=self.name, attempts=job.attempts)
        else:
            begun = await self.begin(job.id, job.id)
            payloads = await jobs.begin_alone(database.reads, job_id=job.id) if begun is None else begun
        if payloads:
            await self.handler.run(self.work, payloads)
        return len(payloads)


class InIndia(ScheduleExecutor):
    def __init__(self, parameters: ScheduleExecutorFactoryParameters, *, clock: Callable[[], datetime]) -> None:
        super().__init__(parameters)
        self.clock = clock

    def get_next(self) -> datetime:
        """Return the next time that the expression names on a clock in India."""
        next_: datetime = croniter(self.parameters.expression, self.clock().astimezone(IST)).get_next(datetime)
        return next_


async def build(work: Work, handlers: Mapping[str, Handler], schedules: Sequence[Schedule]) -> dict[Lane, PgQueuer]:
    """Return a queue for each lane that has handlers; schedules are the first one's. Raises LookupError."""
    for schedule in schedules:
        if schedule.job not in handlers:
            raise LookupError(f"The schedule of {schedule.job} has no handler.")
    driver = AsyncpgPoolDriver(work.platform.database.writes)
    # The lanes share a connection that listens already. pgqueuer sends the probe of its listener's health before it
    # listens; where that probe is lost to a slow start, it takes the listener for dead ten seconds later.
    await driver.add_listener(_NAMES.channel, _unheard)
    queues = {lane: _queue(driver) for lane in LANES if any(one.lane == lane for one in handlers.values())}
    for name, handler in handlers.items():
        parameters = EntrypointExecutorParameters(
            concurrency_limit=handler.at_once,
            func=handler.run,  # type: ignore[arg-type]  # called by our executor alone, with what it expects
            on_failure="hold",
        )
        executor = _Executor(parameters, name=name, handler=handler, work=work)
        queues[handler.lane].qm.register_executor(name, executor)
    for schedule in schedules:
        factory = partial(InIndia, clock=work.clock)
        first = next(iter(queues.values()))
        first.schedule(schedule.job, schedule.cron, executor_factory=factory)(partial(_queue_due, work))
    return queues


def _unheard(_payload: str | bytes | bytearray) -> None:
    """Stand in for a listener until the lanes have theirs."""


def _queue(driver: AsyncpgPoolDriver) -> PgQueuer:
    queries = _Queries(
        driver,
        qbe=QueryBuilderEnvironment(_NAMES),
        qbq=QueryQueueBuilder(_NAMES),
        qbs=QuerySchedulerBuilder(_NAMES),
    )
    return PgQueuer(driver, channel=_NAMES.channel, queries=queries)


async def _queue_due(work: Work, due: DueSchedule) -> None:
    async with work.platform.database.transaction() as db:
        await jobs.enqueue(db, due.entrypoint, {}, dedupe_key=due.entrypoint)


async def run(queue: PgQueuer, *, places: int) -> None:
    """Run jobs and schedules, ``places`` at a time, until ``queue.shutdown`` is set; then finish those under way."""
    await queue.run(
        dequeue_timeout=POLL,
        batch_size=places // 2,
        max_concurrent_tasks=places,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        shutdown_on_listener_failure=True,
    )
