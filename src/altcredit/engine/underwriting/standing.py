"""An application as the worker, partners and operators see it, and a person's look at it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from altcredit.engine.underwriting.application import Application
from altcredit.engine.underwriting.decision import Decision
from altcredit.runtime.refusal import Refusal

Verdict = Literal["upheld", "reassessed", "overturned"]


# What sealed values are for.
SEALED_APPLICATION = "application"
SEALED_FEATURES = "features"
SEALED_REASON = "review_reason"


class RequestUnknown(Refusal):
    """There is no such application of this partner."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An application that is being worked on. ``asks_all``: there is no funnel in its way."""

    request_id: str
    partner_id: str
    application: Application
    asks_all: bool
    reassessed: bool
    started_at: datetime


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """
    A case with its decision.

    ``cost_centavos``: what the application's answers cost, those of an earlier run included; ``in_doubt_centavos``:
    what sources may bill beside that. ``features``: what it was decided from, to learn from one day; None where no
    model stands behind it. ``withheld``: the first attempt at the callback counts as failed unsent (a case
    of the sandbox).
    """

    case: Case
    decision: Decision
    cost_centavos: int
    in_doubt_centavos: int = 0
    features: Mapping[str, float | None] | None = None
    withheld: bool = False


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A person's look at a decision (LGPD, art. 20). ``decision`` is None while it is open."""

    review_id: str
    asked_at: datetime
    due_at: datetime
    decision: Verdict | None = None
    decided_at: datetime | None = None


class OpenReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review that waits for a person."""

    review_id: str
    request_id: str
    partner_id: str
    outcome: str
    risk_band: int | None
    asked_at: datetime
    due_at: datetime
    reason: str


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where an application stands. ``score``, ``risk_band`` and ``limit_brl`` are -1 together (contract U5)."""

    request_id: str
    partner_id: str
    customer_uuid: str
    status: Literal["processing", "finished", "failed"]
    cost_saving: bool
    accepted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    score: float | int
    risk_band: int
    limit_brl: int
    cost_centavos: int
    in_doubt_centavos: int
    decision: dict[str, Any]
    review: Review | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Codes of the reasons, the weightiest first."""
        return tuple(one["code"] for one in self.decision.get("reasons", ()))
