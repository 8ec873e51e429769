"""How granted cards went: believed where it can be, quarantined where it cannot."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.underwriting import CardOutcome, OutcomesInvalid, read_outcomes
from altcredit.engine.underwriting.outcomes import Granted, judge

TODAY = date(2026, 11, 22)
HEAD = b"request_id,booked_on,observed_on,max_dpd_12m\n"
KNOWN = {
    "uw_1": Granted(accepted_on=date(2025, 1, 10), decision="approved"),
    "uw_2": Granted(accepted_on=date(2025, 1, 10), decision="rejected"),
    "uw_3": Granted(
        accepted_on=date(2025, 1, 10),
        decision="approved",
        before=CardOutcome(request_id="uw_3", booked_on=date(2025, 2, 1), observed_on=date(2025, 6, 1), max_dpd=30),
    ),
}


def judged(*rows: str) -> tuple[list[CardOutcome], list[tuple[int, str]]]:
    """Return what is believed of a file's rows, and line and problem of the rest."""
    good, quarantined = judge(read_outcomes(HEAD + "\n".join(rows).encode()), KNOWN, today=TODAY)
    return list(good), [(one.line, one.problem) for one in quarantined]


def test_a_card_is_good_or_bad_once_its_twelve_months_are_over() -> None:
    good, quarantined = judged("uw_1,2025-02-01,2026-02-01,89", "uw_3,2025-02-01,2026-01-31,90")
    assert quarantined == []
    assert [(one.is_mature, one.is_bad) for one in good] == [(True, False), (False, True)]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("uw_9,2025-02-01,2026-02-01,0", "there is no such application"),
        ("uw_2,2025-02-01,2026-02-01,0", "the application was not approved"),
        ("uw_1,2025-01-09,2026-02-01,0", "booked before it was applied for"),
        ("uw_1,2025-02-01,2026-11-23,0", "observed in the future"),
        ("uw_1,2025-02-01,2025-01-31,0", "observed before it was booked"),
        ("uw_1,2025-02-01,2025-03-01,29", "more days past due than the card had"),
        ("uw_1,2025-02-01,2026-11-01,366", "more days past due than the card had"),
        ("uw_1,01/02/2025,2026-02-01,0", "booked_on and observed_on must be dates, as 2025-03-31"),
        ("uw_1,2025-02-01,,0", "booked_on and observed_on must be dates, as 2025-03-31"),
        ("uw_1,2025-02-01,2026-02-01,-1", "max_dpd_12m must be a number of days"),
        ("uw_1,2025-02-01,2026-02-01,", "max_dpd_12m must be a number of days"),
        ("uw_1,2025-02-01,2026-02-01", "max_dpd_12m must be a number of days"),
        ("uw_3,2025-02-02,2026-02-01,30", "was told before to be booked on 2025-02-01"),
        ("uw_3,2025-02-01,2025-05-31,30", "was observed later already, on 2025-06-01"),
        ("uw_3,2025-02-01,2026-02-01,29", "was told before to be 30 days past due"),
    ],
)
def test_a_row_that_cannot_be_believed_is_named_and_spoils_no_other(row: str, problem: str) -> None:
    other = "uw_3,2025-02-01,2026-02-01,30" if row.startswith("uw_1") else "uw_1,2025-02-01,2026-02-01,0"
    good, quarantined = judged(other, row)
    assert quarantined == [(3, problem)]
    assert [one.request_id for one in good] == [other[:4]]


def test_of_two_rows_of_one_card_neither_is_believed() -> None:
    good, quarantined = judged("uw_1,2025-02-01,2026-02-01,0", "uw_1,2025-02-01,2026-02-01,120")
    assert good == []
    assert [line for line, _ in quarantined] == [2, 3]


def test_columns_may_come_in_any_order_and_more_of_them() -> None:
    content = "\ufeffmax_dpd_12m,partner,observed_on,request_id,booked_on\r\n5,x,2026-02-01,uw_1,2025-02-01\r\n"
    ((line, found),) = read_outcomes(content.encode()).rows
    assert (line, found.request_id, found.max_dpd) == (2, "uw_1", 5)


@pytest.mark.parametrize("content", [b"", b"request_id\nuw_1\n", b"\xff\xfe", HEAD + b'uw_1,"2025-02-01\n'])
def test_what_is_no_file_of_outcomes_is_refused(content: bytes) -> None:
    with pytest.raises(OutcomesInvalid):
        read_outcomes(content)


@given(st.binary(max_size=200))
def test_no_content_breaks_the_reading(rows: bytes) -> None:
    try:
        reading = read_outcomes(HEAD + rows)
    except OutcomesInvalid:
        return
    good, quarantined = judge(reading, KNOWN, today=TODAY)
    assert len(good) + len(quarantined) == len(reading.rows) + len(reading.quarantined)
