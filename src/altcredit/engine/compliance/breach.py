"""A personal data breach and the clock of its notification."""

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

NOTIFY_WITHIN: Final = timedelta(hours=72)
"""DPDP Rules 2025, rule 7(2)(b): the detailed report to the Board, from becoming aware."""

Severity = Literal["low", "medium", "high"]


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """
    One line of the register. ``affected``: data principals, as far as is known.

    ``behind``: by how much the system's clock was set back since the entry; the breach's own time is ahead by that.
    """

    breach_id: str
    nature: str
    severity: Severity
    affected: int
    reported_by: str
    occurred_at: datetime
    aware_at: datetime
    notify_by: datetime
    board_at: datetime | None = None
    principals_at: datetime | None = None
    closed_at: datetime | None = None
    closing_note: str | None = None
    set_back: timedelta = timedelta()
    behind: timedelta = timedelta()

    def overdue(self, now: datetime) -> bool:
        """Tell whether the Board or the people concerned were told too late, or still have not been."""
        return any((told or now + self.behind) > self.notify_by for told in (self.board_at, self.principals_at))
