"""What ingestion announces."""

from typing import ClassVar

from altcredit.runtime.outbox import Fact


class BatchAccepted(Fact, frozen=True, kw_only=True):
    """A distributor's batch is durable; `accepted` and `quarantined` count its records."""

    TYPE: ClassVar = "batch.accepted"
    KEY: ClassVar = "distributor_id"

    batch_id: str
    distributor_id: str
    accepted: int
    quarantined: int
