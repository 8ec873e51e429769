"""A grievance: what may be complained of, how far it has come, and the clocks that run for it (contract G1, G2)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, get_args

import msgspec

GrievanceType = Literal["incorrect_score", "incorrect_data", "consent_dispute", "explanation_request", "other"]
Status = Literal["open", "acknowledged", "under_review", "resolved"]
Outcome = Literal["corrected", "confirmed", "explained", "rejected", "withdrawn"]
Clock = Literal["acknowledgement", "resolution", "escalation"]
Language = Literal["en", "hi"]
Channel = Literal["api", "whatsapp"]

TYPES: tuple[GrievanceType, ...] = get_args(GrievanceType)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
MAX_DESCRIPTION = 4_000

# API-ALTSCORE-001, section 06, and the legal thirty days of contract G2.
CLOCKS: Mapping[Clock, timedelta] = MappingProxyType(
    {"acknowledgement": timedelta(hours=24), "resolution": timedelta(days=7), "escalation": timedelta(days=30)}
)


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Who files or reads: a lender by its client id, a retailer by its own id, or staff."""

    kind: Literal["lender", "retailer", "staff"]
    id: str

    @property
    def actor(self) -> str:
        """The party as audit rows name it."""
        return self.id if self.kind == "lender" else f"{self.kind}:{self.id}"


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """One clock of a case. ``met_at``: when what it waits for was done; ``left``: until it runs out, None once met."""

    clock: Clock
    due_at: datetime
    met_at: datetime | None
    left: timedelta | None

    @property
    def missed(self) -> bool:
        """Whether it ran out before it was met."""
        return self.met_at > self.due_at if self.met_at is not None else self.left is not None and self.left <= _NONE


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody who works on a case wrote down. Only a ``visible`` one is shown to lender and retailer."""

    at: datetime
    author: str
    visible: bool
    text: str


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """
    A grievance as one party may see it. Sealed texts are opened; they are empty once the retailer's data is erased.

    Times are those of the case's own clock, which no change of the system's clock sets back (``legal_now``).
    """

    grievance_id: str
    retailer_id: str
    score_id: str | None
    filed_by: Literal["lender", "retailer"]
    filer_id: str
    channel: Channel
    grievance_type: GrievanceType
    description: str
    language: Language
    contact: bytes | None
    """Keyed hash of the phone to answer to."""
    status: Status
    filed_at: datetime
    timers: tuple[Timer, ...]
    acknowledged_at: datetime | None = None
    reviewer: str | None = None
    corrected_at: datetime | None = None
    resolved_at: datetime | None = None
    outcome: Outcome | None = None
    resolution: str | None = None
    new_score_id: str | None = None
    notes: tuple[Note, ...] = ()
    escalated: tuple[Clock, ...] = ()

    @property
    def overdue(self) -> tuple[Clock, ...]:
        """The clocks that ran out and still wait."""
        return tuple(timer.clock for timer in self.timers if timer.met_at is None and timer.missed)


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """A clock that ran out."""

    grievance_id: str
    retailer_id: str
    clock: Clock
    due_at: datetime


_NONE = timedelta()
# Below this, a clock is corrected, not set back: machines of one installation disagree by as much.
TOLERANCE = timedelta(minutes=1)


def set_back_by(now: datetime, *, read_at: datetime | None, before: timedelta) -> timedelta:
    """Return by how much the clock was set back in all, given when it was last read, and the sum until then."""
    if read_at is None or now >= read_at - TOLERANCE:
        return before
    return before + (read_at - now)


def legal_now(now: datetime, *, set_back: timedelta, at_filing: timedelta) -> datetime:
    """
    Return the time on a case's own clock: the system's, plus whatever that was set back since the case was filed.

    So a clock set back gives nobody more time; one set forward only lets a case escalate early.
    """
    return now + max(set_back - at_filing, _NONE)


def timers(
    now: datetime,
    *,
    due: Mapping[Clock, datetime],
    acknowledged_at: datetime | None,
    resolved_at: datetime | None,
) -> tuple[Timer, ...]:
    """Return the three clocks of a case as they stand; a resolution meets them all."""
    met: dict[Clock, datetime | None] = {
        "acknowledgement": acknowledged_at or resolved_at,
        "resolution": resolved_at,
        "escalation": resolved_at,
    }
    return tuple(
        Timer(clock=clock, due_at=at, met_at=met[clock], left=None if met[clock] is not None else at - now)
        for clock, at in due.items()
    )
