"""Consents, grievances, exports, breaches: what staff do for retailers."""

import hashlib
from datetime import UTC, datetime, timedelta

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tests.api.admin.conftest import Desks
from tests.api.conftest import PURPOSE, Installation

from altcredit.engine import compliance, grievances, scoring
from altcredit.engine.grievances import Case, Party


async def filed(altscore: Installation, *, at: datetime | None = None) -> Case:
    shop, lender = await altscore.shop(), await altscore.lender()
    await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    async with altscore.platform.database.transaction() as db:
        score = await scoring.latest(db, retailer_id=shop.retailer_id)
        return await grievances.file(
            db,
            keyring=altscore.platform.keyring,
            filer=Party(kind="lender", id=lender.client_id),
            retailer_id=shop.retailer_id,
            score_id=score["score_id"],
            grievance_type="incorrect_score",
            description="The March receipts are missing",
            language="en",
            now=at or datetime.now(UTC),
        )


async def test_staff_end_a_consent_and_the_next_read_is_refused(altscore: Installation, desk: Desks) -> None:
    shop, lender, dpo = await altscore.shop(), await altscore.lender(), await desk("dpo")
    given = await altscore.consent(shop, lender.client_id)
    await altscore.score(shop)
    async with await altscore.signed_in(lender) as client:
        body = {"retailer_id": shop.retailer_id, "purpose": PURPOSE}
        assert (await client.post("/v1/score", json=body)).status_code == 200
        ended = await dpo.post(f"/consents/{given.consent.consent_id}/revoke", reason="by letter")
        assert (ended.status_code, ended.json()["status"]) == (200, "revoked"), ended.text
        assert (await client.post("/v1/score", json=body)).status_code == 403
    unknown = await dpo.post("/consents/cns_none/revoke")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "CONSENT_UNKNOWN")


async def test_a_consent_is_shown_as_it_was_signed_and_whether_its_signature_holds(
    altscore: Installation, desk: Desks
) -> None:
    shop, lender, auditor = await altscore.shop(), await altscore.lender(), await desk("auditor")
    first, second = [await altscore.consent(shop, lender.client_id) for _ in range(2)]
    listed = await auditor.get(f"/retailers/{shop.retailer_id}/consents")
    assert listed.status_code == 200, listed.text
    shown = listed.json()["consents"]
    assert [one["consent_id"] for one in shown] == [one.consent.consent_id for one in (first, second)]
    assert shown[1]["record"]["supersedes"] == [first.consent.consent_id]
    assert all(one["signature_holds"] for one in shown)
    one = (await auditor.get(f"/consents/{second.consent.consent_id}")).json()
    assert one == shown[1]
    public = load_pem_public_key(one["public_key"].encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(bytes.fromhex(one["signature"]), rfc8785.dumps(one["record"]), ec.ECDSA(SHA256()))
    async with altscore.platform.database.transaction() as db:
        await db.execute(
            "UPDATE consent SET record = convert_to(replace(convert_from(record, 'UTF8'), $2, 'lender_other'), 'UTF8')"
            " WHERE consent_id = $1", second.consent.consent_id, lender.client_id,
        )  # fmt: skip
    altered = (await auditor.get(f"/consents/{second.consent.consent_id}")).json()
    async with altscore.platform.database.transaction() as db:  # other tests believe the ledger
        await db.execute(
            "UPDATE consent SET record = convert_to(replace(convert_from(record, 'UTF8'), 'lender_other', $2), 'UTF8')"
            " WHERE consent_id = $1", second.consent.consent_id, lender.client_id,
        )  # fmt: skip
    assert (altered["signature_holds"], altered["record"]["lender_scope"]) == (False, ["lender_other"])
    (row, *_) = await auditor.recorded("showConsentToStaff")
    assert row.subject == second.consent.consent_id
    for path, code in (
        ("/consents/cns_none", "CONSENT_UNKNOWN"),
        ("/retailers/ret_00000000deadbeef/consents", "RETAILER_UNKNOWN"),
    ):
        refused = await auditor.get(path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, code)
    assert (await (await desk("ops", "admin")).get(f"/retailers/{shop.retailer_id}/consents")).status_code == 403


async def test_a_grievance_is_worked_on_and_the_log_keeps_no_word_of_it(altscore: Installation, desk: Desks) -> None:
    case, ops = await filed(altscore), await desk("ops")
    where = f"/grievances/{case.grievance_id}"
    shown = (await ops.get(where)).json()
    assert shown["description"] == "The March receipts are missing"
    assert [one["clock"] for one in shown["sla"]] == ["acknowledgement", "resolution", "escalation"]
    early = await ops.post(f"{where}/resolve", outcome="confirmed", resolution="As it was")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "NOT_UNDER_REVIEW")
    assert (await ops.post(f"{where}/acknowledge")).json()["status"] == "acknowledged"
    noted = (await ops.post(f"{where}/note", text="Asked Gupta for his books", visible=True)).json()
    assert [(one["text"], one["author"]) for one in noted["notes"]] == [("Asked Gupta for his books", ops.who.actor)]
    assert (await ops.post(f"{where}/review")).json()["reviewer"] == ops.who.actor
    pending = await ops.post(f"{where}/resolve", outcome="corrected", resolution="Done")
    assert (pending.status_code, pending.json()["error"]["code"]) == (409, "RESCORE_PENDING")
    resolved = (await ops.post(f"{where}/resolve", outcome="confirmed", resolution="Gupta's books agree")).json()
    assert (resolved["status"], resolved["outcome"]) == ("resolved", "confirmed")
    assert (await ops.post(f"{where}/acknowledge")).json()["error"]["code"] == "GRIEVANCE_CLOSED"
    (row,) = [one for one in await ops.recorded("resolveGrievance") if "refused" not in one.details]
    assert row.details["before"] == {"status": "under_review", "outcome": None}
    async with altscore.platform.database.transaction() as db:
        kept = await db.fetchval("SELECT string_agg(details::text, ' ') FROM audit_event")
    assert "Gupta for" not in kept
    assert "March receipts" not in kept


async def test_open_grievances_are_listed_with_what_is_late(altscore: Installation, desk: Desks) -> None:
    now, legal = datetime.now(UTC), await desk("legal")
    cases = [await filed(altscore, at=now - timedelta(days=days)) for days in (3, 2)]
    fresh = await filed(altscore)
    overdue = (await legal.get("/grievances", overdue="true", limit=500)).json()["grievances"]
    late = {one["grievance_id"]: one["overdue"] for one in overdue}
    assert [late.get(case.grievance_id) for case in (*cases, fresh)] == [["acknowledgement"]] * 2 + [None]
    found, cursor = [], None
    while True:
        page = (await legal.get("/grievances", limit=2, **({"cursor": cursor} if cursor else {}))).json()
        found += [one["grievance_id"] for one in page["grievances"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found))
    assert [one for one in found if one in {case.grievance_id for case in (*cases, fresh)}] == [
        case.grievance_id for case in (*cases, fresh)
    ]
    assert (await legal.post(f"/grievances/{fresh.grievance_id}/acknowledge")).status_code == 403


async def test_an_export_is_asked_for_and_then_fetched(altscore: Installation, desk: Desks) -> None:
    shop, dpo, platform = await altscore.shop(), await desk("dpo"), altscore.platform
    asked = await dpo.get(f"/retailers/{shop.retailer_id}/export")
    assert (asked.status_code, asked.json()["status"]) == (202, "requested"), asked.text
    async with platform.database.transaction() as db:
        await compliance.produce(
            db, keyring=platform.keyring, signing=platform.signing, export_id=asked.json()["export_id"], ledger=[],
            now=datetime.now(UTC),
        )  # fmt: skip
    fetched = await dpo.get(f"/retailers/{shop.retailer_id}/export")
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "application/json")
    async with platform.database.transaction() as db:
        export = await compliance.find_export(
            db, keyring=platform.keyring, export_id=asked.json()["export_id"], now=datetime.now(UTC)
        )
    assert hashlib.sha256(fetched.content).hexdigest() == export.sha256
    assert (await dpo.get("/retailers/ret_00000000deadbeef/export")).status_code == 404


async def test_a_breach_has_a_clock_and_is_closed_once_everybody_was_told(desk: Desks) -> None:
    dpo, now = await desk("dpo"), datetime.now(UTC)
    times = {"occurred_at": (now - timedelta(hours=90)).isoformat(), "aware_at": (now - timedelta(hours=1)).isoformat()}
    made = await dpo.post("/breaches", nature="A laptop was stolen", severity="high", affected=3, **times)
    assert made.status_code == 201, made.text
    where = f"/breaches/{made.json()['breach_id']}"
    clock = datetime.fromisoformat(made.json()["notify_by"]) - datetime.fromisoformat(times["aware_at"])
    assert (clock, made.json()["overdue"]) == (timedelta(hours=72), False)
    assert (await dpo.post(f"{where}/close", note="n")).json()["error"]["code"] == "NOT_NOTIFIED"
    assert (await dpo.post(f"{where}/notified", told="both")).json()["board_at"] is not None
    assert (await dpo.post(f"{where}/close", note="Disks are encrypted")).json()["closed_at"] is not None
    assert (await dpo.post(f"{where}/notified", told="both")).json()["error"]["code"] == "BREACH_CLOSED"
    assert (await dpo.post("/breaches/brc_none/close", note="n")).status_code == 404
    later = await dpo.post(
        "/breaches", nature="n", severity="low", affected=0, **{**times, "occurred_at": now.isoformat()}
    )
    assert (later.status_code, later.json()["error"]["code"]) == (400, "BREACH_INVALID")
    assert made.json()["breach_id"] in [one["breach_id"] for one in (await dpo.get("/breaches")).json()["breaches"]]


async def test_the_compliance_report_is_made_for_a_period_as_json_and_as_a_page(desk: Desks) -> None:
    auditor, today = await desk("auditor"), datetime.now(UTC).date()
    period = {"from": str(today - timedelta(days=30)), "to": str(today + timedelta(days=1))}
    made = await auditor.get("/compliance/report", **period)
    assert made.status_code == 200, made.text
    assert len(made.json()["sections"]) == 15
    page = await auditor.get("/compliance/report", **period, format="html")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src" not in page.headers["content-security-policy"]
    assert page.text.startswith("<!doctype html>")
    backwards = await auditor.get("/compliance/report", **{"from": period["to"], "to": period["from"]})
    assert (backwards.status_code, backwards.json()["error"]["code"]) == (400, "INVALID_PERIOD")
    for bad in ("2026-02-30", "yesterday"):
        refused = await auditor.get("/compliance/report", **{"from": bad, "to": period["to"]})
        assert (refused.status_code, refused.json()["error"]["details"][0]["path"]) == (400, "$.from")
