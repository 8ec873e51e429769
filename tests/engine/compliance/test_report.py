"""The report: fifteen sections, every figure from the ledgers, and nothing of anybody in it."""

import json
import re
from datetime import datetime
from typing import Any

import msgspec
import pytest
from tests.engine.compliance.conftest import DAY, NOW, Engine
from tests.engine.compliance.test_figures import SECTIONS

from altcredit.engine import audit, compliance, consent, identity, retailers
from altcredit.engine.compliance import ledgers
from altcredit.engine.compliance.page import REPORT_WORDS

SINCE, UNTIL = NOW - 30 * DAY, NOW + 30 * DAY
LATER = NOW + 60 * DAY


async def _report(
    engine: Engine, *, since: datetime = SINCE, until: datetime = UNTIL, **more: Any
) -> compliance.Report:
    fields: dict[str, Any] = {"residency": "IN", "fiduciary": "AltCredit", "environment": "development"}
    async with engine.database.transaction() as db:
        return await compliance.report(
            db, keyring=engine.keyring, since=since, until=until, actor="test", now=LATER, **{**fields, **more}
        )


async def _accessed(engine: Engine, retailer_id: str, lender: str, at: datetime, purpose: str) -> None:
    """Write an answer into the access log as if the rules had been got round."""
    async with engine.database.transaction() as db:
        await db.execute(
            "INSERT INTO score_access (at, lender_id, operation, retailer_id, purpose, outcome, request_id)"
            " VALUES ($1, $2, 'score', $3, $4, 'OK', 'req_rogue')",
            at, lender, retailer_id, purpose,
        )  # fmt: skip


async def test_it_has_the_fifteen_sections_in_order_and_a_hash_that_repeats(engine: Engine) -> None:
    made = await _report(engine)
    assert len(made.sections) == 15
    assert {one.key for one in made.sections} == SECTIONS
    assert (made.sections[0].key, made.sections[-1].key) == ("scope", "exceptions")
    assert (await _report(engine)).sha256 == made.sha256
    assert (await _report(engine, since=SINCE + DAY)).sha256 != made.sha256


async def test_a_period_that_ends_before_it_begins_is_refused(engine: Engine) -> None:
    with pytest.raises(compliance.PeriodInvalid):
        await _report(engine, since=UNTIL)


async def test_answers_under_consent_stand_the_replay(engine: Engine) -> None:
    shop, lender = await engine.shop(), await engine.lender()
    await engine.consent(shop, lender)
    await engine.score(shop)
    for hours in range(5):
        assert await engine.read(shop, lender, at=NOW + hours * DAY / 24) == "OK"
    await engine.consent(shop, lender, at=NOW + DAY)  # supersedes
    assert await engine.read(shop, lender, at=NOW + 2 * DAY) == "OK"
    found = (await _report(engine)).section("consent")
    assert found.figure("answers_replayed").value == 6
    assert found.figure("reads_without_consent").value == 0


async def test_answers_after_a_merge_stand_the_replay(engine: Engine) -> None:
    shop, other, lender = await engine.shop(), await engine.shop(), await engine.lender()
    await engine.consent(other, lender)
    await engine.score(other)
    assert await engine.read(other, lender) == "OK"
    async with engine.database.transaction() as db:
        await retailers.merge(db, first=shop.retailer_id, second=other.retailer_id, evidence="t", now=NOW + DAY)
        await consent.relink(db, keyring=engine.keyring, retailer_id=shop.retailer_id)
    await engine.score(shop, at=NOW + DAY)
    assert await engine.read(shop, lender, at=NOW + 2 * DAY) == "OK"
    assert (await _report(engine)).section("consent").figure("reads_without_consent").value == 0


@pytest.mark.parametrize("how", ["never", "before", "revoked", "expired", "purpose", "lender"])
async def test_an_answer_without_consent_is_found_whatever_is_wrong_with_it(engine: Engine, how: str) -> None:
    shop, lender, other = await engine.shop(), await engine.lender(), await engine.lender()
    since, until, at, purpose = SINCE, UNTIL, NOW + DAY, "working_capital_loan"
    granted = await engine.consent(shop, other if how in ("never", "lender") else lender)
    if how == "before":
        at = NOW - DAY
    if how == "purpose":
        purpose = "insurance"
    if how == "expired":
        at = NOW + 365 * DAY
        until = at + DAY
    if how == "revoked":
        async with engine.database.transaction() as db:
            await consent.revoke(
                db, keyring=engine.keyring, actor="t", consent_id=granted.consent.consent_id, reason="retailer_request",
                message_id=None, now=NOW + DAY / 2,
            )  # fmt: skip
    await _accessed(engine, shop.retailer_id, lender, at, purpose)
    made = await _report(engine, since=since, until=until)
    assert made.section("consent").figure("reads_without_consent").value == 1
    assert ("Consent", "reads_without_consent", 1) in made.section("exceptions").tables[0].rows


async def test_a_consent_that_was_renewed_after_a_revocation_is_live_again(engine: Engine) -> None:
    shop, lender = await engine.shop(), await engine.lender()
    granted = await engine.consent(shop, lender)
    async with engine.database.transaction() as db:
        await consent.revoke(
            db, keyring=engine.keyring, actor="t", consent_id=granted.consent.consent_id, reason="stop",
            message_id=None, now=NOW + DAY,
        )  # fmt: skip
    await engine.consent(shop, lender, at=NOW + 2 * DAY)
    await engine.score(shop)
    assert await engine.read(shop, lender, at=NOW + 3 * DAY) == "OK"
    found = (await _report(engine)).section("consent")
    assert found.figure("reads_without_consent").value == 0
    assert (found.figure("granted").value, found.figure("revoked").value) == (2, 1)
    assert found.figure("time_to_halt_max").value == 0


async def test_time_to_halt_shows_an_answer_that_came_after_the_revocation(engine: Engine) -> None:
    shop, lender = await engine.shop(), await engine.lender()
    granted = await engine.consent(shop, lender)
    async with engine.database.transaction() as db:
        await consent.revoke(
            db, keyring=engine.keyring, actor="t", consent_id=granted.consent.consent_id, reason="stop",
            message_id=None, now=NOW,
        )  # fmt: skip
        await db.execute(
            "INSERT INTO score_access (at, lender_id, operation, retailer_id, outcome, consent_id, request_id)"
            " VALUES ($1, $2, 'score', $3, 'OK', $4, 'r')",
            NOW + DAY / 24, lender, shop.retailer_id, granted.consent.consent_id,
        )  # fmt: skip
    assert (await _report(engine)).section("consent").figure("time_to_halt_max").value == 3600


async def _portfolio(engine: Engine, *, shops: int, at: datetime, bad: int = 0) -> None:
    """Shops with a score at a time; ``bad`` of them in default 60 days after, the others seen again then."""
    async with engine.database.transaction() as db:
        await db.execute(
            "INSERT INTO assessment (score_id, retailer_id, scored_at, as_of, altscore, risk_band, pd, model_pd, overdue_inr,"
            " reasons, completeness, reduced_confidence, in_default, feed, score_version, model_sha256, policy_version,"
            " inputs_sha256, standing)"
            " SELECT 'scr_' || n || '_' || later, 'ret_' || lpad(to_hex(n), 16, '0'),"
            " $2::timestamptz + later * interval '70 days', '2026-01-01', 600 + n % 200,"
            " (ARRAY['A','B','C','D'])[1 + n % 4], 0.1, 0.1, 0, '[]', 90, false, later = 1 AND n <= $3, '{}', 'v', '', 'p', '',"
            """ json_build_object('features', json_build_object('vintage_months', n % 50))"""
            " FROM generate_series(1, $1) n, generate_series(0, 1) later",
            shops, at, bad,
        )  # fmt: skip


async def test_calibration_is_observed_against_expected_with_intervals(engine: Engine) -> None:
    await _portfolio(engine, shops=200, at=NOW - 80 * DAY, bad=20)
    found = (await _report(engine)).section("performance")
    assert found.figure("matured").value == 200
    assert found.figure("bad_rate").value == 0.1
    ratio = found.figure("observed_to_expected")
    assert ratio.value == 1.0
    # Exact Poisson limits of 20 over 20 are 0.611 and 1.544; Byar's are within 0.002.
    assert (ratio.low, ratio.high) == pytest.approx((0.611, 1.544), abs=2e-3)


async def test_groups_of_fewer_than_thirty_are_suppressed(engine: Engine) -> None:
    await _portfolio(engine, shops=29, at=NOW - 80 * DAY, bad=5)
    made = await _report(engine)
    assert made.section("performance").figure("bad_rate").value is None
    assert made.section("performance").figure("observed_to_expected").value is None
    for table in made.section("fairness").tables:
        for row in table.rows:
            assert row[1] == "< 30", table.title
            assert not any(isinstance(cell, int | float) for cell in row[1:]), row


async def test_fairness_compares_groups_with_intervals(engine: Engine) -> None:
    await _portfolio(engine, shops=400, at=NOW - 20 * DAY, bad=40)
    vintage = next(one for one in (await _report(engine)).section("fairness").tables if one.title == "Vintage")
    rows = {row[0]: row for row in vintage.rows}
    assert set(rows) == {"under 1 year", "1 to 3 years", "over 3 years"}
    for row in rows.values():
        _, shops, approved, low, high = row[:5]
        assert isinstance(shops, int)
        assert isinstance(low, float)
        assert low < approved < high  # type: ignore[operator]


async def test_a_shifted_population_is_an_exception(engine: Engine) -> None:
    async with engine.database.transaction() as db:
        for score, days, prefix in ((700, -60, "a"), (600, 0, "b")):
            await db.execute(
                "INSERT INTO assessment (score_id, retailer_id, scored_at, as_of, altscore, risk_band, pd, overdue_inr,"
                " reasons, completeness, reduced_confidence, in_default, feed, score_version, model_sha256, policy_version,"
                " inputs_sha256, standing)"
                " SELECT $1 || n, 'ret_' || $1 || n, $2, '2026-01-01', $3 + n % 50, 'B', 0.1, 0, '[]', 90, false, false, '{}',"
                " 'v', '', 'p', '', '{}' FROM generate_series(1, 100) n",
                prefix, NOW + days * DAY, score,
            )  # fmt: skip
    made = await _report(engine)
    assert made.section("stability").figure("score_psi_alert").value is True
    assert ("Stability", "score_psi_alert", True) in made.section("exceptions").tables[0].rows


async def test_overdue_rights_and_missing_residency_are_exceptions(engine: Engine) -> None:
    shop = await engine.shop()
    await engine.erase(shop, at=NOW - 40 * DAY)
    made = await _report(engine, residency="")
    rows = made.section("exceptions").tables[0].rows
    assert ("Rights of data principals", "erasures_overdue", 1) in rows
    assert ("Scope", "residency", "not asserted") in rows


async def test_the_page_needs_nothing_from_elsewhere_and_shows_every_section(engine: Engine) -> None:
    await _portfolio(engine, shops=100, at=NOW - 20 * DAY)
    made = await _report(engine, fiduciary='<script>alert("x")</script>')
    page = compliance.report_page(made)
    assert not re.search(r"""(?:src|href)=["'](?!#)|@import|url\(|<script""", page)
    assert "@page { size: A4" in page
    assert "<svg" in page
    assert made.sha256 in page
    for section in made.sections:
        assert section.title in page


async def test_the_page_says_each_section_in_sentences_with_names_for_every_figure(engine: Engine) -> None:
    shop, lender = await engine.shop(), await engine.lender()
    granted = await engine.consent(shop, lender)
    await engine.score(shop)
    assert await engine.read(shop, lender) == "OK"
    async with engine.database.transaction() as db:
        await consent.revoke(
            db,
            keyring=engine.keyring,
            actor="t",
            consent_id=granted.consent.consent_id,
            reason="r",
            message_id=None,
            now=NOW + DAY,
        )
    made = await _report(engine)
    page = compliance.report_page(made)
    assert "1 consent was given, 1 withdrawn, and 0 ran out." in page
    assert "1 answer to lenders were held" in page
    assert "the last answer under it came within 0 seconds" in page
    for section in made.sections:
        for figure in section.figures:
            assert figure.name in REPORT_WORDS.figures, (section.key, figure.name)
    unread = compliance.report_page(await _report(engine, since=SINCE - 900 * DAY, until=SINCE - 800 * DAY))
    assert "within" not in re.findall(r'id="consent">.*?<dl>', unread, re.DOTALL)[0]  # nothing was withdrawn


async def test_features_of_the_champion_that_shift_are_named_and_are_an_exception(engine: Engine) -> None:
    async with engine.database.transaction() as db:
        await db.execute(
            "INSERT INTO model_version (version, product, kind, data_origin, card, path, sha256, key_id, signature,"
            " registered_by, registered_at)"
            " VALUES ('v', 'altscore', 'expert', 'expert', '{}', 'v', repeat('0', 64), 'k', '', 't', $1)",
            NOW - 90 * DAY,
        )
        await db.execute(
            "INSERT INTO model_alias (product, alias, version, since) VALUES ('altscore', 'champion', 'v', $1)",
            NOW - 90 * DAY,
        )
        for days, prefix, shift in ((-60, "a", 0), (0, "b", 40)):
            await db.execute(
                "INSERT INTO assessment (score_id, retailer_id, scored_at, as_of, altscore, risk_band, pd, overdue_inr,"
                " reasons, completeness, reduced_confidence, in_default, feed, score_version, model_sha256, policy_version,"
                " inputs_sha256, standing)"
                " SELECT $1 || n, 'ret_' || $1 || n, $2, '2026-01-01', 700, 'B', 0.1, 0, '[]', 90, false, false, '{}',"
                " 'v', '', 'p', '', jsonb_build_object('features', jsonb_build_object('steady', n % 50, 'moved', n % 50 + $3::int,"
                " 'gone', CASE WHEN $3::int = 0 THEN n % 7 END)) FROM generate_series(1, 100) n",
                prefix, NOW + days * DAY, shift,
            )  # fmt: skip
    made = await _report(engine)
    section = made.section("stability")
    rows = {row[0]: row for row in section.tables[0].rows}
    assert {name: row[3] for name, row in rows.items()} == {"steady": "ok", "moved": "alert", "gone": "alert"}
    assert rows["gone"][4:] == (0.0, 100.0)
    assert section.figure("feature_psi_alerts").value == 2
    assert ("Stability", "feature_psi_alerts", 2) in made.section("exceptions").tables[0].rows


async def test_looks_at_the_audit_log_are_told_with_their_results(engine: Engine) -> None:
    assert ("Security", "audit_verifications", 0) in (await _report(engine)).section("exceptions").tables[0].rows
    for holds, at in ((True, NOW), (False, NOW + DAY)):
        details = {"holds": holds, "full": True, "rows": 3, "tree_size": 3, "root": "ab", "findings": []}
        async with engine.database.transaction() as db:
            await audit.append(db, actor="t", action="audit.verified", subject="audit", details=details, now=at)
    made = await _report(engine)
    assert made.section("security").figure("audit_verifications").value == 2
    assert ("Security", "audit_verifications_failed", 1) in made.section("exceptions").tables[0].rows


@pytest.mark.parametrize("name", [name for name in vars(ledgers) if name.isupper()])
async def test_what_the_report_reads_it_cannot_change(engine: Engine, name: str) -> None:
    """Every statement runs on the migrated schema, in a transaction that may not write."""
    statement = getattr(ledgers, name)
    moments = [SINCE, UNTIL][: len(set(re.findall(r"\$\d", statement)))]
    if len(moments) == 1 and "$2" in statement:
        moments = [SINCE, UNTIL]
    async with engine.database.transaction() as db:
        await db.execute("SET TRANSACTION READ ONLY")
        await ledgers.rows(db, statement, *moments)


async def test_the_report_holds_no_identifier_of_a_shop(engine: Engine) -> None:
    shop, lender = await engine.shop(name="Zzyzx Stores"), await engine.lender()
    await engine.consent(shop, lender)
    await engine.score(shop)
    await engine.read(shop, lender)
    said = json.dumps(msgspec.to_builtins(await _report(engine)))
    for secret in (shop.gstin, shop.phone_hash, "Zzyzx", shop.retailer_id):
        assert secret not in said


async def test_lenders_names_are_not_needed_either(engine: Engine) -> None:
    async with engine.database.transaction() as db:
        await identity.add_lender(db, keyring=engine.keyring, actor="t", name="Quibble Finance", now=NOW)
    assert "Quibble" not in json.dumps(msgspec.to_builtins(await _report(engine)))
