"""
How granted cards went: the lender's file of outcomes, read and judged (pure).

CSV in UTF-8 with a header: ``request_id``; ``booked_on`` and ``observed_on`` (ISO dates); ``max_dpd_12m``, the most
days past due on any day of the 12 months after booking, as far as they have been observed. A card is good or bad once
it was observed for 365 days; bad is 90 or more (contract U10). A row that cannot be believed is left out and named.
"""

import csv
import io
from collections.abc import Mapping
from datetime import date, timedelta

import msgspec

from altcredit.runtime.refusal import Refusal

COLUMNS = ("request_id", "booked_on", "observed_on", "max_dpd_12m")
HORIZON = timedelta(days=365)
BAD_FROM_DPD = 90


class OutcomesInvalid(Refusal):
    """The file is not one of outcomes: not UTF-8, not CSV, or without the columns."""


class CardOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one card went so far."""

    request_id: str
    booked_on: date
    observed_on: date
    max_dpd: int

    @property
    def is_mature(self) -> bool:
        """Whether the 12 months are over, so that the card is good or bad for good."""
        return self.observed_on >= self.booked_on + HORIZON

    @property
    def is_bad(self) -> bool:
        """Whether the card was 90 or more days past due."""
        return self.max_dpd >= BAD_FROM_DPD


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What is known here of an application: when it came, what was decided, and its outcome as told before."""

    accepted_on: date
    decision: str | None
    before: CardOutcome | None = None


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was left out. ``line`` counts from 1, the header being line 1."""

    line: int
    request_id: str
    problem: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A file of outcomes as far as it can be read by itself: rows with their lines, and what is no row."""

    rows: tuple[tuple[int, CardOutcome], ...]
    quarantined: tuple[Quarantined, ...]


def read(content: bytes) -> Reading:
    """Read a file. Raises OutcomesInvalid."""
    try:
        lines = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        absent = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
        if absent:
            raise OutcomesInvalid(f"The file of outcomes lacks the column {', '.join(absent)}")
        rows, quarantined = [], []
        for values in lines:
            found = _outcome(values)
            if isinstance(found, CardOutcome):
                rows.append((lines.line_num, found))
            else:
                shown = (values["request_id"] or "")[:64]
                quarantined.append(Quarantined(line=lines.line_num, request_id=shown, problem=found))
    except (UnicodeDecodeError, csv.Error) as error:
        raise OutcomesInvalid(f"The file of outcomes is not CSV in UTF-8: {error}") from error
    return Reading(rows=tuple(rows), quarantined=tuple(quarantined))


def _outcome(values: Mapping[str, str | None]) -> CardOutcome | str:
    found = {name: (values[name] or "").strip() for name in COLUMNS}
    try:
        booked_on, observed_on = date.fromisoformat(found["booked_on"]), date.fromisoformat(found["observed_on"])
    except ValueError:
        return "booked_on and observed_on must be dates, as 2025-03-31"
    if not found["max_dpd_12m"].isascii() or not found["max_dpd_12m"].isdigit() or len(found["max_dpd_12m"]) > 4:
        return "max_dpd_12m must be a number of days"
    return CardOutcome(
        request_id=found["request_id"],
        booked_on=booked_on,
        observed_on=observed_on,
        max_dpd=int(found["max_dpd_12m"]),
    )


def judge(
    reading: Reading, known: Mapping[str, Granted], *, today: date
) -> tuple[tuple[CardOutcome, ...], tuple[Quarantined, ...]]:
    """Return the outcomes to be believed, and all that is not, by line; of two rows of one card neither is."""
    times: dict[str, int] = {}
    for _, row in reading.rows:
        times[row.request_id] = times.get(row.request_id, 0) + 1
    good, quarantined = [], list(reading.quarantined)
    for line, row in reading.rows:
        problem = "the file has several rows of it" if times[row.request_id] > 1 else _problem(row, known, today=today)
        if problem is None:
            good.append(row)
        else:
            quarantined.append(Quarantined(line=line, request_id=row.request_id[:64], problem=problem))
    return tuple(good), tuple(sorted(quarantined, key=lambda one: one.line))


def _problem(row: CardOutcome, known: Mapping[str, Granted], *, today: date) -> str | None:
    granted = known.get(row.request_id)
    if granted is None:
        return "there is no such application"
    if granted.decision != "approved":
        return "the application was not approved"
    if row.booked_on < granted.accepted_on:
        return "booked before it was applied for"
    if row.observed_on > today:
        return "observed in the future"
    if row.observed_on < row.booked_on:
        return "observed before it was booked"
    if row.max_dpd > (min(row.observed_on, row.booked_on + HORIZON) - row.booked_on).days:
        return "more days past due than the card had"
    return _contradiction(row, granted.before)


def _contradiction(row: CardOutcome, before: CardOutcome | None) -> str | None:
    if before is None:
        return None
    if row.booked_on != before.booked_on:
        return f"was told before to be booked on {before.booked_on}"
    if row.observed_on < before.observed_on:
        return f"was observed later already, on {before.observed_on}"
    if row.max_dpd < before.max_dpd:
        return f"was told before to be {before.max_dpd} days past due"
    return None
