from datetime import datetime
from typing import Any

import msgspec


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the audit log: who did what to whom, when.

    ``event_id`` rises with time but has gaps, and transactions may commit out of its order: it pages through the log,
    it does not number it. The seal's leaf numbers, given to committed rows, live in a table of their own.
    """

    event_id: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
