"""Emptying the queue: each batch sent until AltScore has it, paced by its headers; then what became of them."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from altcredit_connector.altscore import Accepted, AltScore, Later, Refused
from altcredit_connector.journal import Batch, Journal
from altcredit_connector.records import ID_FIELDS, KINDS

BACKOFF_FIRST, BACKOFF_MOST = 1.0, 60.0
FINISHED = ("complete", "failed", "not_found")


class Progress(Protocol):
    """Where the sender tells how far it is."""

    def sent(self, done: int, total: int) -> None: ...
    def say(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """``quota``: wait for the hourly quota, or leave the rest queued. The others are seconds."""

    quota: bool = True
    network: float = 900.0
    processing: float = 60.0


@dataclass(slots=True)
class Outcomes:
    """What became of the batches of this run; ``stopped`` says why the queue is not empty."""

    accepted: list[str] = field(default_factory=list)
    refused: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    stopped: str | None = None
    stopped_by_quota: bool = False


class Sender:
    """Sends what the journal has queued. ``sleep`` and ``clock`` (monotonic seconds) are given, for the tests."""

    def __init__(
        self,
        journal: Journal,
        server: AltScore,
        *,
        patience: Patience,
        progress: Progress,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal, self._server = journal, server
        self._patience, self._progress = patience, progress
        self._sleep, self._clock = sleep, clock
        self.outcomes = Outcomes()

    def run(self) -> Outcomes:
        """Send every queued batch in order, then ask for the results; raises ``Denied``."""
        queue = self._journal.batches("queued")
        wait = 0.0
        for done, batch in enumerate(queue):
            self._progress.sent(done, len(queue))
            if wait and not self._pause(wait):
                break
            settled = self._deliver(batch)
            if settled is None:
                break
            wait = settled
        else:
            self._progress.sent(len(queue), len(queue))
        self._follow()
        return self.outcomes

    def _pause(self, wait: float) -> bool:
        """Wait for the quota, if that is wished; False: stop here."""
        if not self._patience.quota:
            self.outcomes.stopped = f"the hourly quota is used up; it is free again in {wait / 60:.0f} min"
            self.outcomes.stopped_by_quota = True
            return False
        self._progress.say(f"quota used up, next batch in {wait / 60:.1f} min")
        self._sleep(wait)
        return True

    def _deliver(self, batch: Batch) -> float | None:
        """Send one batch until it is settled; return how long to keep still after it, or None if we gave up."""
        body = self._journal.body(batch.batch_id)
        delay, give_up = BACKOFF_FIRST, self._clock() + self._patience.network
        while True:
            with self._journal.transaction():
                self._journal.attempt(batch.batch_id)
            outcome = self._server.send(batch.batch_id, body)
            if not isinstance(outcome, Later):
                self._settle(batch, outcome)
                return outcome.pace.wait
            if outcome.quota:
                if not self._pause(outcome.wait or BACKOFF_MOST):
                    return None
                give_up = self._clock() + self._patience.network
                continue
            wait = outcome.wait if outcome.wait is not None else delay * random.uniform(0.75, 1.25)  # noqa: S311  # nosec B311
            if self._clock() + wait > give_up:
                self.outcomes.stopped = outcome.reason
                return None
            self._progress.say(f"{outcome.reason}; again in {wait:.0f} s")
            self._sleep(wait)
            delay = min(2 * delay, BACKOFF_MOST)

    def _settle(self, batch: Batch, outcome: Accepted | Refused) -> None:
        state = "accepted" if isinstance(outcome, Accepted) else "refused"
        with self._journal.transaction():
            self._journal.settle(batch.batch_id, state, outcome.answer)
        if isinstance(outcome, Accepted):
            self.outcomes.accepted.append(batch.batch_id)
        else:
            self.outcomes.refused.append((batch.batch_id, outcome.answer))

    def _follow(self) -> None:
        """Ask for the result of every accepted batch, those of earlier runs too, as long as patience lasts."""
        waiting = [batch.batch_id for batch in self._journal.batches("accepted")]
        give_up, delay = self._clock() + self._patience.processing, 0.25
        while waiting:
            waiting = [batch_id for batch_id in waiting if not self._finished(batch_id)]
            if not waiting or self._clock() + delay > give_up:
                break
            self._progress.say(f"{len(waiting)} batches are being processed")
            self._sleep(delay)
            delay = min(2 * delay, 10.0)
        self.outcomes.unfinished = waiting

    def _finished(self, batch_id: str) -> bool:
        answer = self._server.status(batch_id)
        if isinstance(answer, Later):
            self._progress.say(answer.reason)
            return False
        if answer.get("status") not in FINISHED:
            return False
        name_records(answer, self._journal.body(batch_id))
        with self._journal.transaction():
            self._journal.settle(batch_id, "done", answer)
        self.outcomes.finished[batch_id] = answer
        return True


def name_records(answer: dict[str, Any], body: bytes) -> None:
    """Add to each record of a status that was put aside its own id, found in the body by array and row."""
    sent = json.loads(body)
    fields = {KINDS[kind]: field for kind, field in ID_FIELDS.items()}
    for record in answer.get("quarantined_records") or ():
        array, row = str(record.get("kind")), record.get("row")
        rows = sent.get(array, [])
        if not record.get("record_id") and isinstance(row, int) and 0 <= row < len(rows):
            record["record_id"] = rows[row].get(fields[array])
