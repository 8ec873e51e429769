"""What grievances announce."""

from datetime import datetime
from typing import ClassVar, Literal

from altcredit.engine.grievances.case import Channel, Clock, GrievanceType, Outcome
from altcredit.runtime.outbox import Fact


class GrievanceFact(Fact, frozen=True, kw_only=True):
    """What all of them say."""

    KEY: ClassVar = "retailer_id"

    grievance_id: str
    retailer_id: str


class GrievanceFiled(GrievanceFact, frozen=True, kw_only=True):
    """A lender or a retailer complained; the clocks of 24 hours, 7 and 30 days run."""

    TYPE: ClassVar = "grievance.filed"

    score_id: str | None
    grievance_type: GrievanceType
    filed_by: Literal["lender", "retailer"]
    channel: Channel


class GrievanceAcknowledged(GrievanceFact, frozen=True, kw_only=True):
    """Staff saw a grievance, in a role."""

    TYPE: ClassVar = "grievance.acknowledged"

    role: str


class GrievanceNoted(GrievanceFact, frozen=True, kw_only=True):
    """Something was written on a case that its parties may read."""

    TYPE: ClassVar = "grievance.noted"

    role: str


class GrievanceResolved(GrievanceFact, frozen=True, kw_only=True):
    """A person closed a case; where data was corrected, `new_score_id` is the score that came of it."""

    TYPE: ClassVar = "grievance.resolved"

    role: str
    outcome: Outcome
    old_score_id: str | None
    new_score_id: str | None


class GrievanceEscalated(GrievanceFact, frozen=True, kw_only=True):
    """One of a case's clocks ran out; said once a clock."""

    TYPE: ClassVar = "grievance.escalated"

    clock: Clock
    due_at: datetime
