"""Whole stories over HTTPS, with the worker as a process of its own."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
from tests.api.conftest import PURPOSE, Feed, Installation, a_gstin
from tests.journeys.books import bills, period, receipts
from tests.served import until

from altcredit.simulator import batches, tiny_world

TODAY = datetime.now(UTC).date()
FIRST = TODAY - timedelta(days=300)
ALL = ("consent:grant", "consent:check", "consent:revoke")


def phone(number: int) -> str:
    return hashlib.sha256(f"9198{number:08d}".encode()).hexdigest()


async def completed(feed: Feed, answer: httpx2.Response) -> Any:
    """Wait until the pipeline has processed a batch, and return its status."""
    assert answer.status_code == 200, answer.text
    batch_id = answer.json()["batch_id"]

    async def status() -> Any:
        found = (await feed.status(batch_id)).json()
        return found if found["status"] == "complete" else None

    return await until(status)


async def scored(reader: httpx2.AsyncClient, retailer_id: str, *, after: str = "") -> Any:
    """Wait until a score can be read that is another than ``after``."""

    async def score() -> Any:
        answer = await reader.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 and answer.json()["score_id"] != after else None

    return await until(score)


def grant_of(feed: Feed, phone_hash: str, lender: str, **more: Any) -> dict[str, Any]:
    return {"retailer_phone_hash": phone_hash, "distributor_id": feed.distributor_id, "lender_scope": [lender],
            "purpose": PURPOSE, "consent_channel": "whatsapp", "wa_message_id": "wamid.journey", **more}  # fmt: skip


async def test_a_simulated_trade_becomes_a_score_that_follows_its_corrections_and_its_consent(
    installation: Installation,
) -> None:
    world = tiny_world(7, today=TODAY)
    issued = await installation.lender(minute=100_000, day=1_000_000)
    async with (
        installation.distributor() as one,
        installation.distributor() as two,
        await installation.signed_in(issued) as lender,
        await installation.signed_in(await installation.service(*ALL)) as service,
    ):
        feeds = (one, two)
        last = {}
        for number, feed in enumerate(feeds):
            for batch in batches(world, number, distributor_id=feed.distributor_id):
                last[number] = await feed.send(batch.encode(), batch_id=batch.batch_id)
                assert last[number].status_code == 200, last[number].text
                set_aside = (await feed.status(batch.batch_id)).json()["quarantined_records"]
                # A first load holds some documents and, in the same batch, their corrections.
                assert {record["code"] for record in set_aside} <= {"DUPLICATE_IN_BATCH"}
        for number, feed in enumerate(feeds):
            status = await completed(feed, last[number])
            assert status["completeness_score"] > 50
            assert 0 < status["written_to_bronze"] <= status["accepted"]

        # A shop that trades with the first distributor, with GSTIN and phone on file there, for most of a year.
        ledgers = {
            shop.number: account
            for shop in world.shops
            if shop.gstin
            for account in shop.accounts
            if account.distributor == 0 and account.gstin and account.phone
        }
        records = [record for batch in batches(world, 0) for record in batch.body["invoices"]]
        counts = {
            number: sum(record["retailer_ref"] == account.retailer_ref for record in records)
            for number, account in ledgers.items()
        }
        shop = world.shops[max(counts, key=lambda number: counts[number])]
        account = ledgers[shop.number]

        unconsented = await lender.get("/v1/retailers/lookup", params={"gst": account.gstin})
        assert unconsented.json()["error"]["code"] == "CONSENT_NOT_GRANTED"
        granted = await service.post("/v1/consent/grant", json=grant_of(one, shop.phone_hash, issued.client_id))
        assert granted.status_code == 200, granted.text
        retailer_id = granted.json()["retailer_id"]
        first = await scored(lender, retailer_id)
        assert first["score_version"] == "altscore-expert-v1"
        assert len(first["reason_codes"]) >= 5

        found = (await lender.get("/v1/retailers/lookup", params={"gst": account.gstin})).json()
        assert found == {"retailer_id": retailer_id, "consent_active": True}
        history = (await lender.get(f"/v1/score/{retailer_id}/history")).json()["history"]
        assert [(month["altscore"], month["score_id"]) for month in history] == [(first["altscore"], first["score_id"])]

        # The books are corrected: what this shop had paid of late came back from the bank.
        mine = {record["invoice_id"] for record in records if record["retailer_ref"] == account.retailer_ref}
        since = str(TODAY - timedelta(days=120))
        returned = [
            {**payment, "status": "returned"}
            for batch in batches(world, 0)
            for payment in batch.body["payments"]
            if payment["paid_date"] >= since
            and (payment["invoice_id"] in mine or payment.get("retailer_ref") == account.retailer_ref)
        ]
        assert returned
        correction = await one.send(payments=returned)
        await completed(one, correction)
        second = await scored(lender, retailer_id, after=first["score_id"])
        assert second["probability_of_default"] > first["probability_of_default"]
        assert second["altscore"] < first["altscore"]
        history = (await lender.get(f"/v1/score/{retailer_id}/history")).json()["history"]
        assert [month["score_id"] for month in history] == [second["score_id"]]

        # Consent ends with the next call, everywhere, and comes back with a new one.
        ended = await service.post(
            "/v1/consent/revoke", json={"consent_id": granted.json()["consent_id"], "reason": "retailer_request"}
        )
        assert ended.status_code == 200
        refusals = [
            await lender.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE}),
            await lender.get(f"/v1/score/{retailer_id}/history"),
            await lender.get("/v1/retailers/lookup", params={"gst": account.gstin}),
        ]
        assert [answer.status_code for answer in refusals] == [403, 403, 403]
        again = await service.post("/v1/consent/grant", json=grant_of(one, shop.phone_hash, issued.client_id))
        assert again.json()["retailer_id"] == retailer_id
        third = await scored(lender, retailer_id)
        assert third["altscore"] == second["altscore"]


async def judged(
    installation: Installation, number: int, sendings: list[dict[str, Any]], shop: dict[str, Any]
) -> dict[str, Any]:
    """Send batches one after the other, each processed before the next; return the score that comes of it."""
    issued = await installation.lender(minute=100_000, day=1_000_000)
    async with (
        installation.distributor() as feed,
        await installation.signed_in(issued) as lender,
        await installation.signed_in(await installation.service(*ALL)) as service,
    ):
        link = {"retailer_ref": shop["retailer_ref"], "retailer_phone_hash": phone(number)}
        await completed(feed, await feed.send(retailers=[link], **period(FIRST, TODAY)))
        for sending in sendings:
            await completed(feed, await feed.send(**period(FIRST, TODAY), **sending))
        granted = await service.post("/v1/consent/grant", json=grant_of(feed, phone(number), issued.client_id))
        assert granted.status_code == 200, granted.text
        answer: dict[str, Any] = await scored(lender, granted.json()["retailer_id"])
        return answer


async def test_a_payment_that_came_before_its_invoice_counts_as_if_it_had_come_after(
    installation: Installation,
) -> None:
    shop = {"retailer_ref": "K-1"}
    invoices = bills(shop, first=FIRST, weeks=42)
    payments = receipts(invoices, late=1, until=TODAY)
    notes = [{"credit_note_id": "CN-1", "invoice_id": "A-INV-30", "credit_note_date": str(TODAY - timedelta(days=60)),
              "amount_inr": 900}]  # fmt: skip
    usual = await judged(installation, 1, [{"invoices": invoices, "credit_notes": notes}, {"payments": payments}], shop)
    early = await judged(installation, 2, [{"payments": payments}, {"invoices": invoices, "credit_notes": notes}], shop)
    same = ("altscore", "risk_band", "probability_of_default", "recommended_limit_inr", "reason_codes")
    assert {name: early[name] for name in same} == {name: usual[name] for name in same}
    assert early["recommended_limit_inr"] > 0


async def test_two_shops_that_prove_to_be_one_both_keep_answering(installation: Installation) -> None:
    """One distributor knows a shop by its own code, another by GSTIN; later the first one learns the GSTIN."""
    gstin = a_gstin(987_654)
    by_ref, by_gst = {"retailer_ref": "K-77"}, {"retailer_gst": gstin}
    issued = await installation.lender(minute=100_000, day=1_000_000)
    asked: dict[str, Any] = {"purpose": PURPOSE}
    async with (
        installation.distributor() as one,
        installation.distributor() as two,
        await installation.signed_in(issued) as lender,
        await installation.signed_in(await installation.service(*ALL)) as service,
    ):
        mine = bills(by_ref, first=FIRST, weeks=42)
        theirs = bills(by_gst, first=FIRST, weeks=42, rupees=25_000, mark="B")
        whole = period(FIRST, TODAY)
        await completed(
            one,
            await one.send(
                **whole,
                invoices=mine,
                payments=receipts(mine, late=2, until=TODAY),
                retailers=[{**by_ref, "retailer_phone_hash": phone(77)}],
            ),
        )
        await completed(
            two,
            await two.send(
                **whole,
                invoices=theirs,
                payments=receipts(theirs, late=0, until=TODAY, mark="B"),
                retailers=[{**by_gst, "retailer_phone_hash": phone(78)}],
            ),
        )
        grants = [
            (await service.post("/v1/consent/grant", json=grant_of(feed, phone(number), issued.client_id))).json()
            for feed, number in ((one, 77), (two, 78))
        ]
        older, newer = (grant["retailer_id"] for grant in grants)
        assert older != newer
        before = {one_id: await scored(lender, one_id) for one_id in (older, newer)}

        # The proof: the first distributor's record now carries the GSTIN.
        await completed(one, await one.send(**whole, retailers=[{**by_ref, **by_gst}]))

        async def looked_up() -> bool:
            answer = await lender.get("/v1/retailers/lookup", params={"gst": gstin})
            assert answer.status_code == 200, answer.text
            return bool(answer.json()["retailer_id"] == older)

        await until(looked_up)

        async def alike() -> bool:
            answers = [
                await lender.post("/v1/score", json={"retailer_id": one_id, **asked}) for one_id in (older, newer)
            ]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert [answer.json()["retailer_id"] for answer in answers] == [older, newer]
            months = [(await lender.get(f"/v1/score/{one_id}/history")).json() for one_id in (older, newer)]
            assert months[0]["history"] == months[1]["history"]
            return bool(answers[0].json()["score_id"] == answers[1].json()["score_id"])

        await until(alike)

        # The next consent names both distributors: there is more trade than either saw, and more may be lent.
        grants.append((await service.post("/v1/consent/grant", json=grant_of(one, phone(77), issued.client_id))).json())
        assert grants[-1]["retailer_id"] == older

        async def more() -> bool:
            answer = (await lender.post("/v1/score", json={"retailer_id": newer, **asked})).json()
            limits = [answer["recommended_limit_inr"], *(one["recommended_limit_inr"] for one in before.values())]
            return bool(limits[0] > max(limits[1:]))

        await until(more)

        # Revoking the consents leaves nothing to read under either id: one shop, one lender, one purpose.
        for grant in reversed(grants):
            await service.post("/v1/consent/revoke", json={"consent_id": grant["consent_id"], "reason": "x"})
        for one_id in (older, newer):
            answer = await lender.post("/v1/score", json={"retailer_id": one_id, **asked})
            assert answer.status_code == 403


async def test_a_shop_that_is_too_new_is_told_apart_from_one_without_consent(
    installation: Installation,
) -> None:
    shop, weeks = {"retailer_ref": "K-9"}, 4
    issued = await installation.lender(minute=100_000, day=1_000_000)
    invoices = bills(shop, first=TODAY - timedelta(days=7 * weeks), weeks=weeks)
    async with (
        installation.distributor() as feed,
        await installation.signed_in(issued) as lender,
        await installation.signed_in(await installation.service(*ALL)) as service,
    ):
        link = {**shop, "retailer_phone_hash": phone(9)}
        window = period(date.fromisoformat(invoices[0]["invoice_date"]), TODAY)
        await completed(feed, await feed.send(**window, invoices=invoices, retailers=[link]))
        granted = await service.post("/v1/consent/grant", json=grant_of(feed, phone(9), issued.client_id))
        retailer_id = granted.json()["retailer_id"]
        await completed(feed, await feed.send(**window, invoices=invoices))
        answer = await lender.post("/v1/score", json={"retailer_id": retailer_id, "purpose": PURPOSE})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RETAILER_NOT_SCORED")
