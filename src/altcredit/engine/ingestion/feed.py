"""What a batch tells of its distributor's feed: days covered, posting lag. Pure."""

from datetime import date, datetime, timedelta
from typing import Final

from altcredit.engine.ingestion.records import Envelope
from altcredit.engine.ingestion.validation import EARLIEST, IST
from altcredit.runtime.refusal import Detail
from altcredit.runtime.strict_json import Malformed

LONGEST_LAG: Final = 60
# Until a live batch has shown it: most distributors post the day's bills by the third day.
UNKNOWN_LAG_DAYS: Final = 3
# A batch shows posting lag if it is part of a running feed; what a backfill sends late was not posted late.
_LIVE_WINDOW: Final = timedelta(days=14)
_LIVE_END: Final = timedelta(days=3)


def covered(envelope: Envelope, *, now: datetime) -> tuple[date, date]:
    """
    Return the first and last day that a batch covers, as written in its own time zone (contract A7).

    A day that has not begun in India covers nothing yet, whatever is claimed: a distributor cannot look fresher than
    today.

    :raises Malformed: the days are in the wrong order, before 2000, or in the future by more than a day.
    """
    today = now.astimezone(IST).date()
    problems = []
    if envelope.sync_from > envelope.sync_to:
        problems.append(Detail("$.sync_to", "lies before sync_from"))
    if envelope.sync_from.date() < EARLIEST:
        problems.append(Detail("$.sync_from", "lies before the year 2000"))
    if envelope.sync_from.date() > today:
        problems.append(Detail("$.sync_from", "lies in the future"))
    if envelope.sync_to.date() > today + timedelta(days=1):
        problems.append(Detail("$.sync_to", "lies in the future"))
    if problems:
        raise Malformed("The body is not of the expected form.", details=tuple(problems))
    return envelope.sync_from.date(), min(max(envelope.sync_to.date(), envelope.sync_from.date()), today)


def lags(dates: list[date], first: date, last: date, *, now: datetime) -> list[int]:
    """Count a live batch's records by posting lag: element n has those received n days after their date, 0 to 60."""
    counts = [0] * (LONGEST_LAG + 1)
    today = now.astimezone(IST).date()
    if last - first <= _LIVE_WINDOW and today - last <= _LIVE_END:
        for day in dates:
            lag = (today - day).days
            if 0 <= lag <= LONGEST_LAG:
                counts[lag] += 1
    return counts
