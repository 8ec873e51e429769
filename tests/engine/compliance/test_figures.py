"""The statistics of the report, against published examples; the packs of data, against themselves."""

import random
from datetime import date, timedelta

import pytest

from altcredit.engine.compliance import POLICY, REGULATIONS
from altcredit.engine.compliance.figures import LEAST, difference, psi, quantile, share, wilson
from altcredit.engine.compliance.page import REPORT_WORDS, indian
from altcredit.engine.compliance.policy import RetentionInvalid, parse

SECTIONS = {
    "scope", "consent", "rights", "grievances", "decisions", "models", "performance", "stability", "fairness",
    "reasons", "data_quality", "security", "incidents", "retention", "exceptions",
}  # fmt: skip


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_of_shares_are_those_of_newcombe_1998_table_1(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((56, 70, 48, 80), (0.2, 0.0524, 0.3339)), ((9, 10, 3, 10), (0.6, 0.1705, 0.8090))],
)
def test_intervals_of_differences_are_those_of_newcombe_1998_table_2(
    counts: tuple[int, int, int, int], expected: tuple[float, float, float]
) -> None:
    assert difference(*counts) == pytest.approx(expected, abs=6e-5)


def test_a_share_of_nothing_has_no_value() -> None:
    assert share("x", 0, 0).value is None


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert (quantile([3, 1, 2], 0.5), quantile([3, 1, 2], 0.95), quantile([], 0.5)) == (2, 3, None)


def test_chance_alone_seldom_gives_an_alert_and_a_real_shift_does() -> None:
    draw = random.Random(7)
    sample = [draw.gauss(680, 50) for _ in range(400)]
    alerts = 0
    for _ in range(200):
        found = psi(sample, [draw.gauss(680, 50) for _ in range(60)])
        assert found is not None
        alerts += found.verdict == "alert"
    assert alerts <= 10
    moved = psi(sample, [draw.gauss(620, 50) for _ in range(400)])
    assert moved is not None
    assert moved.verdict == "alert"


def test_a_shift_of_too_few_is_not_told() -> None:
    assert psi([1.0] * LEAST, [1.0] * (LEAST - 1)) is None


def test_what_is_in_force_follows_from_the_day() -> None:
    rules = next(law for law in REGULATIONS.law if law.key == "dpdp-rules")
    told = {control.section: control for control in rules.control}
    assert told["rule 7"].status(date(2026, 11, 22)) == "due in 172 days"
    assert told["rule 7"].status(date(2027, 5, 12)) == "due in 1 day"
    assert told["rule 7"].status(date(2027, 5, 13)) == "in force"
    assert told["rule 4"].status(date(2026, 11, 22)) == "in force"


def test_every_control_has_a_source_and_is_shown_somewhere() -> None:
    assert {law.key for law in REGULATIONS.law} == {"dpdp-act", "dpdp-rules", "rbi-dl", "lgpd", "lei-12414"}
    for law in REGULATIONS.law:
        assert law.source
        for control in law.control:
            assert control.shown, control
            assert set(control.shown) <= SECTIONS, control
            assert control.how, control
            assert control.source, control
            assert control.sure in ("text", "reported", "memory"), control


@pytest.mark.parametrize(
    ("value", "places", "written"),
    [(0, 0, "0"), (999, 0, "999"), (1000, 0, "1,000"), (123456, 0, "1,23,456"), (12345678.5, 1, "1,23,45,678.5"),
     (-1234567, 0, "−12,34,567"), (-0.0001, 2, "0.00"), (99999.999, 2, "1,00,000.00")],
)  # fmt: skip
def test_numbers_are_written_in_lakhs_and_crores(value: float, places: int, written: str) -> None:
    assert indian(value, places=places) == written


def test_every_section_has_sentences_whose_figures_are_called_something() -> None:
    assert set(REPORT_WORDS.lead) == SECTIONS


def test_the_policy_keeps_its_promise_with_its_own_dates() -> None:
    assert POLICY.erasure.key_after_days + POLICY.backups.keep_days <= POLICY.erasure.within_days <= 30
    assert POLICY.backups_kept <= timedelta(days=30)


@pytest.mark.parametrize(
    ("old", "new"),
    [("keep_days = 21", "keep_days = 27"), ("within_days = 30", "within_days = 31"), ("scores_after_days = 1", "scores_after_days = 3")],
)  # fmt: skip
def test_a_policy_that_cannot_keep_its_promise_is_refused(old: str, new: str) -> None:
    from importlib.resources import files

    text = files("altcredit.engine.compliance").joinpath("retention.toml").read_text("utf-8")
    assert old in text
    with pytest.raises(RetentionInvalid):
        parse(text.replace(old, new, 1))
