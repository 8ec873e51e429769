from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.engine.underwriting.applicants import changed, decided, estimated, read

from altcredit.cli.underwriting_page import lines, page
from altcredit.engine.sources import SourceCost
from altcredit.engine.underwriting import POLICY, Decision, Row, Screening, UnderwritingReport, summarise
from altcredit.engine.underwriting.report import mean_of, quantile, wilson

START = datetime(2026, 11, 1, tzinfo=UTC)
END = START + timedelta(days=10)
USES = [
    SourceCost(
        source="scr",
        asked=40,
        answered=38,
        failed=2,
        copied=5,
        in_doubt=1,
        retries=6,
        cost_centavos=3_420,
        in_doubt_centavos=90,
    ),
    SourceCost(
        source="cpf_status",
        asked=100,
        answered=100,
        failed=0,
        copied=0,
        in_doubt=0,
        retries=0,
        cost_centavos=500,
        in_doubt_centavos=0,
    ),
]


def passing(*, at_random: bool = False, passed: bool = True, out: str | None = None) -> Screening:
    return Screening(
        pd=0.3 if at_random or not passed else 0.02,
        cut=POLICY.funnel.cut_pd,
        passed=passed,
        passed_at_random=at_random,
        knocked_out_by=out,
        model_version="guard-screen-xgb-v1",
        model_sha256="b" * 64,
    )


def row(number: int, decision: Decision | None, *, cost: int = 560, in_doubt: int = 0, seconds: float = 0.2) -> Row:
    accepted = START + timedelta(hours=number % 240)
    return Row(
        request_id=f"uw_{number:016x}",
        accepted_at=accepted,
        started_at=accepted + timedelta(seconds=0.1) if decision else None,
        finished_at=accepted + timedelta(seconds=0.1 + seconds) if decision else None,
        outcome=decision.outcome if decision else None,
        pd=decision.pd if decision else None,
        risk_band=decision.risk_band if decision and decision.pd else None,
        limit_brl=decision.limit if decision and decision.pd else None,
        cost_centavos=cost,
        in_doubt_centavos=in_doubt,
        cost_saving=True,
        decision=msgspec.to_builtins(decision) if decision else None,
    )


APPROVED = decided(read(), 0.02, screening=passing())
REJECTED = decided(
    read(changed("negative_bureau", negative_records=2)),
    estimate=estimated(0.3, negative_records=1.0),
    screening=passing(),
)
FILTERED = decided(read(), None, screening=passing(passed=False))


def reported(rows: list[Row], uses: list[SourceCost] | None = None) -> UnderwritingReport:
    return summarise(rows, USES if uses is None else uses, policy=POLICY, since=START, until=END)


def test_every_application_is_counted_once() -> None:
    found = reported(
        [row(n, APPROVED) for n in range(6)]
        + [row(n, REJECTED) for n in range(6, 9)]
        + [row(9, None), row(10, FILTERED)]
    )
    assert (found.applications, found.unfinished) == (11, 1)
    assert found.outcomes == {"approved": 6, "rejected": 3, "filtered": 1}
    assert found.approval is not None
    assert found.approval.value == pytest.approx(0.6)
    assert [(one.band, one.applications, one.approved, one.limits_brl) for one in found.bands] == [
        (3, 6, 6, 6 * 700),
        (7, 3, 0, 0),
    ]
    assert found.rejected_by == {"band": 3}
    assert found.median_limit_brl == 700
    assert sum(sum(day.values()) for day in found.by_day.values()) == 11
    by_code = {one.code: one for one in found.reasons}
    assert (by_code["NEGATIVE_RECORDS"].declined, by_code["NEGATIVE_RECORDS"].approved) == (3, 0)
    assert found.models == {"guard-xgb-v1": 9}


def test_cost_and_trouble_are_told_by_source() -> None:
    without = decided(read(without=("scr",)), 0.02, sources={"scr": "failed", "cpf_status": "answered"})
    found = reported([row(1, APPROVED, cost=500), row(2, without, cost=300, in_doubt=90)])
    assert found.in_doubt_brl == 0.9
    assert lines(found)["cost in doubt"].endswith("0.90")
    assert (found.cost_brl, found.cost_per_application_brl, found.cost_per_approval_brl) == (8.0, 4.0, 4.0)
    assert [one.source for one in found.sources] == ["scr", "cpf_status"]
    assert found.decided_without == {"scr": 1}
    assert lines(found)["source trouble"] == "scr: 2 failed, 6 retries, 1 in doubt"


def test_latency_is_split_into_waiting_and_work() -> None:
    found = reported([row(n, APPROVED, seconds=0.1 * (n + 1)) for n in range(9)]).latency
    assert found is not None
    assert (found.waiting_p50, found.working_p50, found.total_p50) == pytest.approx((0.1, 0.5, 0.6))
    assert found.total_p99 == pytest.approx(0.1 + 0.9 - 0.008)


def test_the_funnel_saves_what_the_filtered_would_have_cost() -> None:
    found = reported([row(n, APPROVED, cost=560) for n in range(10)] + [row(n, FILTERED, cost=100) for n in range(5)])
    assert found.funnel.saved_brl == pytest.approx(5 * (5.60 - 1.00))
    assert (found.funnel.filtered, found.funnel.applications) == (5, 15)


def test_few_let_through_at_random_say_nothing_and_the_report_says_so() -> None:
    lucky = decided(read(), 0.05, screening=passing(at_random=True))
    found = reported([row(n, lucky) for n in range(29)] + [row(n, FILTERED) for n in range(500)])
    assert found.funnel.good_forgone is None
    assert found.funnel.why_no_estimate == "29 applicants were let through at random; 30 are needed to tell"
    assert found.funnel.why_no_estimate in page(found)


def test_those_let_through_at_random_stand_for_the_filtered() -> None:
    good = decided(read(), 0.05, screening=passing(at_random=True))
    bad = decided(read(), 0.3, screening=passing(at_random=True))
    rows = [row(n, good) for n in range(10)] + [row(n, bad) for n in range(30)]
    rows += [row(n, FILTERED, cost=100) for n in range(1_000)]
    knocked_out = decided(
        read(changed("cpf_status", situation="deceased")),
        None,
        screening=passing(passed=False, out="cpf_status.deceased"),
        knocked_out_by="cpf_status.deceased",
    )
    rows += [row(n, knocked_out, cost=5) for n in range(7)]
    funnel = reported(rows).funnel
    assert funnel.knocked_out == 7
    assert funnel.good_forgone is not None
    assert funnel.good_forgone.value == pytest.approx(1_000 * 0.25 * 0.95)
    assert (
        funnel.good_forgone.low < 0.8 * funnel.good_forgone.value < funnel.good_forgone.value < funnel.good_forgone.high
    )
    assert good.limit == 700
    assert funnel.margin_forgone_brl is not None
    assert funnel.margin_forgone_brl.value == pytest.approx(1_000 * 0.25 * 700 * (0.12 * 0.95 - 0.75 * 0.05))
    assert funnel.worth_brl is not None
    assert funnel.worth_brl.value == pytest.approx(funnel.saved_brl - funnel.margin_forgone_brl.value)


def test_nobody_good_among_forty_does_not_prove_that_there_is_none() -> None:
    bad = decided(read(), 0.3, screening=passing(at_random=True))
    funnel = reported([row(n, bad) for n in range(40)] + [row(n, FILTERED) for n in range(1_000)]).funnel
    assert funnel.good_forgone is not None
    assert (funnel.good_forgone.value, funnel.good_forgone.low) == (0, 0)
    assert 50 < funnel.good_forgone.high < 150


def test_a_time_without_applications_has_a_report() -> None:
    found = reported([], [])
    assert (found.applications, found.approval, found.latency, found.cost_per_application_brl) == (0, None, None, None)
    assert "No applications" in page(found)


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows() -> None:
    evil = msgspec.structs.replace(USES[0], source="<script>alert(1)</script>")
    text = page(reported([row(n, APPROVED) for n in range(20)] + [row(20, None)], [evil]))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<svg") == 2
    assert "http" not in text
    assert "src=" not in text


def test_intervals_are_the_known_ones() -> None:
    # Wilson's interval of 8 in 10, and of none in 10 (Agresti and Coull 1998, tables of their formula).
    found = wilson(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    mean = mean_of([1.0, 2.0, 3.0, 4.0], unseen=1.0)
    assert (mean.value, mean.high - mean.low) == pytest.approx((2.5, 2 * 1.959964 * (5 / 3 / 4) ** 0.5))
    assert quantile([1.0, 2.0, 4.0], 0.75) == pytest.approx(3.0)


def test_a_row_of_the_database_is_a_row_of_the_report() -> None:
    fields: dict[str, Any] = msgspec.to_builtins(row(1, APPROVED))
    assert msgspec.convert(fields, Row) == row(1, APPROVED)
