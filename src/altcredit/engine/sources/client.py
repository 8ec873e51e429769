"""One client a source: bounded concurrency, a time budget, tries, the breaker, and what the metrics say."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any, Self

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from altcredit.engine.sources import deployment, reading, wire
from altcredit.engine.sources.breaker import Breaker, State
from altcredit.engine.sources.catalogue import SOURCES
from altcredit.engine.sources.deployment import Terms
from altcredit.engine.sources.source import Source, Subject
from altcredit.engine.sources.writes import Writes
from altcredit.runtime import log
from altcredit.runtime.db import Database
from altcredit.runtime.settings import Settings

CALLS = Counter("altcredit_source_calls_total", "Questions to sources.", ["source", "outcome"])
SECONDS = Histogram(
    "altcredit_source_seconds",
    "Time from a free slot to a source's answer, tries and pauses included.",
    ["source"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
OPEN = Gauge("altcredit_source_breaker_open", "1 while a source is left alone because it kept failing.", ["source"])

BACKOFF_SECONDS = 0.1  # before the second try; doubled for each further one, times 0.5 to 1.5
_AGAIN = frozenset({408, 425, 429})
_NOT_DONE = 503  # by the interface; after any other 5xx, a gateway's above all, the work may have been done

Exchange = Callable[[bytes], Awaitable[wire.Reply]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of one question.

    ``charged``: the source answered, and so it will charge. ``in_doubt``: no answer came, but the source may have done
    the work, and may charge. ``patience``: it asked to be asked later.
    """

    answer: Any = None
    charged: bool = False
    in_doubt: bool = False
    tries: int = 0
    problem: str | None = None
    patience: bool = False


class Client:
    """Asks one source."""

    def __init__(
        self,
        source: Source,
        terms: Terms,
        *,
        head: bytes,
        exchange: Exchange,
        random: Callable[[], float],
        breaker: Breaker | None = None,
    ) -> None:
        """``exchange`` sends a request and returns the reply; ``random`` gives numbers in 0…1, for jitter."""
        assert terms.timeout_seconds is not None
        self.source = source
        self.terms = terms
        self.breaker = breaker or Breaker()
        self._budget = terms.timeout_seconds
        self._head = head
        self._exchange = exchange
        self._random = random
        self._slots = asyncio.Semaphore(terms.at_once)
        self._resume = 0.0  # the source asked for no more questions before then
        self._seconds = SECONDS.labels(source.name)
        self._open = OPEN.labels(source.name)

    def state(self) -> State:
        """Return what the breaker is now."""
        return self.breaker.state(asyncio.get_running_loop().time())

    async def ask(self, query_id: str, subject: Subject) -> Outcome:
        """
        Put one question, ``query_id`` being its idempotency key.

        The source's time budget begins when one of its slots is free. Never raises for what the source does.
        """
        request = self._request(query_id, subject)
        loop = asyncio.get_running_loop()
        async with self._slots:
            started = loop.time()
            if not self.breaker.admits(started):
                self._count("left_alone")
                return Outcome(problem="it kept failing and is left alone for now")
            outcome = None
            try:
                outcome = await self._tried(request, deadline=started + self._budget)
            finally:
                self._report(outcome)
            self._seconds.observe(loop.time() - started)
        self._count("answered" if outcome.problem is None else "failed")
        return outcome

    def _report(self, outcome: Outcome | None) -> None:
        now, before = asyncio.get_running_loop().time(), self.state()
        if outcome is None or outcome.patience:
            self.breaker.abandoned()
        elif outcome.problem is None:
            self.breaker.succeeded()
        else:
            self.breaker.failed(now)
        after = self.breaker.state(now)
        if after != before:
            self._open.set(after == "open")
            log.warning("source_breaker", code=after, reason=self.source.name)

    def _count(self, outcome: str) -> None:
        CALLS.labels(self.source.name, outcome).inc()

    def _request(self, query_id: str, subject: Subject) -> bytes:
        source, names = self.source, self.terms.request
        asked = {"cpf": subject.cpf, **{name: getattr(subject, name) for name in source.asks}}
        reference = authorisation(source, subject)
        if reference is not None:
            asked["authorisation"] = reference
        body = msgspec.json.encode({names.get(name, name): value for name, value in asked.items() if value is not None})
        return b"%sidempotency-key: %s\r\ncontent-length: %d\r\n\r\n%s" % (
            self._head,
            query_id.encode("ascii"),
            len(body),
            body,
        )

    async def _tried(self, request: bytes, *, deadline: float) -> Outcome:
        outcome = Outcome(patience=True, problem="it asked for patience")
        failures = tries = 0
        pause, in_doubt = 0.0, False
        while pause >= 0 and failures <= self.terms.retries and await self._waited(pause, deadline):
            tries += 1
            outcome, pause = await self._once(request, tries, deadline)
            failures += not outcome.patience
            in_doubt = in_doubt or outcome.in_doubt
        # What an earlier try left in doubt, a later one clears up by an answer alone: all had the same key.
        return msgspec.structs.replace(outcome, in_doubt=in_doubt and not outcome.charged)

    async def _waited(self, pause: float, deadline: float) -> bool:
        """Wait for as long as it takes until the source may be asked; tell whether that is before the deadline."""
        now = asyncio.get_running_loop().time()
        wait = max(pause, self._resume - now)
        if now + wait >= deadline:
            return False
        if wait > 0:
            await asyncio.sleep(wait)
        return True

    async def _once(self, request: bytes, tries: int, deadline: float) -> tuple[Outcome, float]:
        """Return what came of one try, and the pause before the next: negative where another would not help."""
        try:
            async with asyncio.timeout_at(deadline):
                reply = await self._exchange(request)
        except TimeoutError:
            return Outcome(tries=tries, in_doubt=True, problem=f"no answer within {self._budget:g} s"), -1
        except wire.Broken as broken:
            outcome = Outcome(tries=tries, in_doubt=broken.reached, problem=str(broken))
            return outcome, self._backoff(tries) if broken.again else -1
        if reply.status >= 500 or reply.status in _AGAIN:
            return self._put_off(reply, tries)
        return self._read(reply, tries), -1

    def _put_off(self, reply: wire.Reply, tries: int) -> tuple[Outcome, float]:
        pause = max(self._backoff(tries), reply.retry_after or 0.0)
        patience = reply.status == 429
        if patience:
            self._resume = max(self._resume, asyncio.get_running_loop().time() + (reply.retry_after or 0.0))
        in_doubt = reply.status >= 500 and reply.status != _NOT_DONE
        return Outcome(tries=tries, in_doubt=in_doubt, problem=f"status {reply.status}", patience=patience), pause

    def _backoff(self, tries: int) -> float:
        return float(BACKOFF_SECONDS * 2 ** (tries - 1) * (0.5 + self._random()))

    def _read(self, reply: wire.Reply, tries: int) -> Outcome:
        if reply.status not in (200, 404):
            return Outcome(tries=tries, problem=f"status {reply.status}")
        try:
            answer = reading.read(reply.status, reply.body, source=self.source, terms=self.terms)
        except reading.Unusable as error:
            return Outcome(tries=tries, charged=reply.status == 200, problem=str(error))
        return Outcome(answer=answer, charged=True, tries=tries)


def authorisation(source: Source, subject: Subject) -> str | None:
    """Return the reference of the authorisation that a question carries, where the source takes one and it is given."""
    wanted = source.needs or source.extends
    return subject.authorisations.get(wanted) if wanted else None


def _deployed(settings: Settings) -> dict[str, tuple[Terms, deployment.Endpoint]]:
    file = Path(settings.sources).expanduser()
    found = deployment.load(file, SOURCES, production=settings.environment == "production")
    return {name: (terms, deployment.endpoint(terms, name=name, file=file)) for name, terms in found.items()}


class Clients:
    """The clients of one process, in the order of ``SOURCES``."""

    def __init__(self, clients: Mapping[str, Client], *, pools: tuple[wire.Pool, ...] = ()) -> None:
        self._clients = dict(clients)
        self._pools = pools
        self._writes: dict[Database, Writes] = {}

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Read the file of sources that the settings name; nothing is asked yet. Raises DeploymentInvalid."""
        if not settings.sources:
            return cls({})
        found = await asyncio.to_thread(_deployed, settings)
        clients, pools = {}, []
        for name, (terms, endpoint) in found.items():
            pool = wire.Pool(endpoint.host, endpoint.port, endpoint.context)
            pools.append(pool)
            clients[name] = Client(
                SOURCES[name],
                terms,
                head=wire.head(endpoint.target, endpoint.authority, endpoint.headers),
                exchange=pool.exchange,
                random=SystemRandom().random,
            )
        return cls(clients, pools=tuple(pools))

    @property
    def configured(self) -> tuple[str, ...]:
        """The names of the sources that can be asked."""
        return tuple(self._clients)

    def __getitem__(self, name: str) -> Client:
        return self._clients[name]

    def writes(self, database: Database) -> Writes:
        """Return what the applications on one database share to write their questions and answers."""
        if database not in self._writes:
            self._writes[database] = Writes(database)
        return self._writes[database]

    def states(self) -> dict[str, State]:
        """Return each source's breaker."""
        return {name: client.state() for name, client in self._clients.items()}

    async def close(self) -> None:
        """End the connections; questions under way fail."""
        for pool in self._pools:
            await pool.close()
