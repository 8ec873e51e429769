"""An installation with a running ledger: distributors, retailers under consent, half a year of bills, scores."""

import asyncio
import json
import random
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec

from altcredit.engine import consent, identity, ingestion, retailers
from altcredit.pipeline.learning import learn
from altcredit.pipeline.scores import Scorer
from altcredit.runtime.certificates import Authority
from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id
from altcredit.runtime.platform import Platform
from altcredit.simulator.portfolio import portfolio_frame
from bench.serving.portfolio import PURPOSE, UNLIMITED, lender

BILLS, DAYS = 10, 180
SHOPS_PER_BATCH = 50


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A distributor's credentials as files and values, and the shops it sells to: code and retailer id."""

    distributor_id: str
    cert: Path
    key: Path
    api_key: str
    signing_secret: str
    shops: list[tuple[str, str]]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """What the benchmark needs to know of the installation."""

    sites: list[Site]
    lender_id: str
    token: str


async def populate(platform: Platform, *, distributors: int, shops: int) -> Running:
    """Fill an empty installation, as its own operations do; consents are written as what a grant leaves behind."""
    now = datetime.now(UTC)
    frame = await asyncio.to_thread(lambda: portfolio_frame(seed=3, shops=150, today=now.date()))
    await learn(platform, frame, data_origin="simulated", promote=True, actor="bench", now=now)
    lender_id, token, _ = await lender(platform, now)
    sites = [await _site(platform, number, shops // distributors, now) for number in range(distributors)]
    await _consents(platform, lender_id, sites, now)
    async with platform.database.transaction() as db:
        await db.execute("DELETE FROM pgqueuer")  # the refreshes of the base: the night does them all at once
        await db.execute("UPDATE ingest_batch SET status = 'complete'")
    scorer = Scorer(platform)
    done = await scorer.nightly(now=datetime.now(UTC))
    scorer.close()
    if done.scored < shops * 0.9:
        raise RuntimeError(f"only {done.scored} of {shops} retailers have a score")
    return Running(sites=sites, lender_id=lender_id, token=token)


async def _site(platform: Platform, number: int, shops: int, now: datetime) -> Site:
    authority = Authority.open(platform.settings, keyring=platform.keyring, now=now)
    async with platform.database.transaction() as db:
        issued = await identity.add_distributor(
            db,
            keyring=platform.keyring,
            authority=authority,
            name=f"Distributor {number}",
            batches_per_hour=UNLIMITED,
            actor="bench",
            now=now,
        )
    refs = [f"C{code:05d}" for code in range(shops)]
    for start in range(0, shops, SHOPS_PER_BATCH):
        body = history(issued.distributor_id, refs[start : start + SHOPS_PER_BATCH], number, now.date())
        await ingestion.submit(
            platform.database,
            lake=platform.settings.lake_path,
            keyring=platform.keyring,
            distributor_id=issued.distributor_id,
            batch_id=str(uuid.uuid4()),
            erp_type="csv",
            body=body,
            foresee=_admit,
            admit=_admit,
            now=now,
        )
    keys = [retailers.ShopKey(ref=ref) for ref in refs]
    ids = await retailers.resolve(
        platform.database, keyring=platform.keyring, distributor_id=issued.distributor_id, shops=keys, now=now
    )
    folder = platform.settings.home_path
    cert, key = folder / f"{number}.crt", folder / f"{number}.key"
    cert.write_text(issued.certificate.pem)
    key.write_text(issued.certificate.key_pem or "")
    return Site(
        distributor_id=issued.distributor_id,
        cert=cert,
        key=key,
        api_key=issued.api_key,
        signing_secret=issued.signing_secret,
        shops=list(zip(refs, ids, strict=True)),
    )


async def _admit(_db: Connection) -> None:
    """Count no quota: the base is not what is measured."""


def history(distributor_id: str, refs: list[str], seed: int, today: date) -> bytes:
    """Return a batch of half a year: each shop's bills, nearly all of them paid."""
    r = random.Random(f"{seed}{refs[0]}")
    invoices, payments = [], []
    for ref in refs:
        late = r.gammavariate(1.5, 5)
        for n in range(BILLS):
            day = today - timedelta(days=DAYS - n * DAYS // BILLS - r.randrange(5))
            invoices.append(bill(ref, f"{ref}-{n}", day, r.randrange(2_000, 60_000)))
            paid = day + timedelta(days=max(round(10 + r.gauss(late, 3)), 0))
            if paid <= today:
                payments.append(receipt(invoices[-1], paid))
    return batch(distributor_id, today - timedelta(days=DAYS + 5), today, invoices, payments)


def bill(ref: str, number: str, day: date, rupees: int) -> dict[str, object]:
    return {
        "retailer_ref": ref,
        "invoice_id": number,
        "invoice_date": day.isoformat(),
        "due_date": (day + timedelta(days=14)).isoformat(),
        "amount_inr": rupees,
        "terms": "credit",
    }


def receipt(invoice: dict[str, object], day: date) -> dict[str, object]:
    return {
        "payment_id": f"P-{invoice['invoice_id']}",
        "invoice_id": invoice["invoice_id"],
        "paid_date": day.isoformat(),
        "amount_paid_inr": invoice["amount_inr"],
        "status": "cleared",
    }


def batch(
    distributor_id: str, first: date, last: date, invoices: list[dict[str, object]], payments: list[dict[str, object]]
) -> bytes:
    return json.dumps(
        {
            "distributor_id": distributor_id,
            "sync_from": f"{first}T00:00:00Z",
            "sync_to": f"{last}T23:59:59Z",
            "invoices": invoices,
            "payments": payments,
        }
    ).encode()


async def _consents(platform: Platform, lender_id: str, sites: list[Site], now: datetime) -> None:
    consents, heads = [], []
    expires = now + timedelta(days=180)
    for site in sites:
        for _, retailer_id in site.shops:
            consent_id = new_id("cns")
            distributors = [site.distributor_id]
            consents.append(
                (consent_id, retailer_id, [lender_id], distributors, PURPOSE, now, expires, b"{}", b"-", "bench")
            )
            key = consent.head_key(platform.keyring, retailer_id, lender_id)
            heads.append((key, retailer_id, lender_id, retailer_id, [PURPOSE], [consent_id], [expires]))
    columns = "consent_id retailer_id lender_ids distributor_ids purpose granted_at expires_at record signature key_id"
    async with platform.database.transaction() as db:
        await db.copy_records_to_table("consent", records=consents, columns=columns.split())
        await db.copy_records_to_table("consent_head", records=heads)
