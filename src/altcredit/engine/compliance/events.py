"""What compliance announces."""

from datetime import datetime
from typing import ClassVar

from altcredit.engine.compliance.breach import Severity
from altcredit.runtime.outbox import Fact


class ErasureRequested(Fact, frozen=True, kw_only=True):
    """A retailer is to be erased: processing has stopped, all data is gone by `due_at`."""

    TYPE: ClassVar = "retailer.erasure_requested"
    KEY: ClassVar = "retailer_id"

    erasure_id: str
    retailer_id: str
    due_at: datetime


class RetailerErased(Fact, frozen=True, kw_only=True):
    """An erasure is complete and certified."""

    TYPE: ClassVar = "retailer.erased"
    KEY: ClassVar = "retailer_id"

    erasure_id: str
    retailer_id: str
    due_at: datetime


class ExportProduced(Fact, frozen=True, kw_only=True):
    """What is kept of a retailer was put together for it and can be fetched."""

    TYPE: ClassVar = "retailer.export_produced"
    KEY: ClassVar = "retailer_id"

    export_id: str
    retailer_id: str


class BreachFact(Fact, frozen=True, kw_only=True):
    """The state of a personal data breach after an event; `notify_by` ends its 72 hours."""

    KEY: ClassVar = "breach_id"

    breach_id: str
    severity: Severity
    affected: int
    notify_by: datetime
    overdue: bool


class BreachRegistered(BreachFact, frozen=True, kw_only=True):
    """A personal data breach became known; it must be notified by `notify_by`."""

    TYPE: ClassVar = "breach.registered"


class BreachNotified(BreachFact, frozen=True, kw_only=True):
    """The Board, the people concerned, or both were told."""

    TYPE: ClassVar = "breach.notified"


class BreachClosed(BreachFact, frozen=True, kw_only=True):
    """A breach was closed."""

    TYPE: ClassVar = "breach.closed"


class BreachOverdue(BreachFact, frozen=True, kw_only=True):
    """`notify_by` has passed, and somebody has not been told; said once."""

    TYPE: ClassVar = "breach.overdue"
