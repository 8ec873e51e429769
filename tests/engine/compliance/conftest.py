"""An installation's engine with shops that consented and were scored; time is whatever a test says."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.api.conftest import PURPOSE, a_gstin, a_model

from altcredit.engine import compliance, consent, identity, retailers, scoring
from altcredit.runtime import signing
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.settings import Settings
from altcredit.runtime.signing import SigningKeys

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class Shop(msgspec.Struct, kw_only=True):
    retailer_id: str
    gstin: str
    phone_hash: str
    ref: str
    distributor_id: str


class Engine:
    """What a test may do, without HTTP."""

    numbers = itertools.count(7_000)

    def __init__(self, database: Database, keyring: Keyring, keys: SigningKeys) -> None:
        self.database, self.keyring, self.signing = database, keyring, keys

    async def lender(self, *, at: datetime = NOW) -> str:
        async with self.database.transaction() as db:
            issued = await identity.add_lender(db, keyring=self.keyring, actor="test", name="Lender", now=at)
        return issued.client_id

    async def shop(self, *, at: datetime = NOW, name: str = "Asha Kirana") -> Shop:
        number = next(self.numbers)
        shop = Shop(
            retailer_id="",
            gstin=a_gstin(number),
            phone_hash=hashlib.sha256(f"91911110{number:04d}".encode()).hexdigest(),
            ref=f"R{number}",
            distributor_id=f"dist_{number:016x}",
        )
        shop.retailer_id = await self.named(shop, at=at, name=name)
        async with self.database.transaction() as db:
            await db.execute(
                "INSERT INTO distributor_feed (distributor_id, coverage, watermark, lag_days, lag_p90_days, returns_seen, last_batch_at)"
                " VALUES ($1, '{}', $2, '{}', 1, true, $3)",
                shop.distributor_id, at.date() - DAY, at,
            )  # fmt: skip
        return shop

    async def named(self, shop: Shop, *, at: datetime = NOW, name: str = "Asha Kirana") -> str:
        """Resolve a shop as a batch that names it would."""
        key = retailers.ShopKey(gstin=shop.gstin, ref=shop.ref, phone_hash=shop.phone_hash, name=name)
        (found,) = await retailers.resolve(
            self.database, keyring=self.keyring, distributor_id=shop.distributor_id, shops=[key], now=at
        )
        return found

    async def consent(self, shop: Shop, *lenders: str, at: datetime = NOW) -> consent.Granted:
        async with self.database.transaction() as db:
            return await consent.grant(
                db, keyring=self.keyring, signing=self.signing, fiduciary=consent.Fiduciary.of(Settings()), actor="test",
                phone_hash=shop.phone_hash, distributor_id=shop.distributor_id, retailer_ref=None,
                lender_scope=lenders, purpose=PURPOSE, channel="whatsapp", message_id="wamid.t", language="hi", now=at,
            )  # fmt: skip

    async def score(self, shop: Shop, *, at: datetime = NOW, pd: float = 0.082) -> str:
        standing = scoring.Standing(
            retailer_id=shop.retailer_id, as_of=at.date(),
            features={"avg_days_late_180d": 1.2, "return_rate_180d": 0.09, "distributor_count": 1.0},
            completeness=84.2, history_days=400, matured_credit_bills=40, has_payment_data=True, in_default=False,
            gmv_6m_inr=900_000, gmv_month_median_inr=150_000, overdue_inr=0, feed=(shop.distributor_id,),
        )  # fmt: skip
        estimate = scoring.Estimate(
            pd=pd, contributions={"avg_days_late_180d": -0.6, "return_rate_180d": 0.3}, base=-2.1151
        )
        assessment = scoring.assess(standing, estimate, model=a_model(), policy=scoring.POLICY)
        assert assessment is not None
        async with self.database.transaction() as db:
            (score_id,) = await scoring.record(db, assessments=[(assessment, standing)], now=at)
        return score_id

    async def read(self, shop: Shop, lender: str, *, at: datetime = NOW, purpose: str = PURPOSE) -> str:
        """Ask for a score; return the outcome."""
        asker = scoring.Asker(lender_id=lender, token_id="t", request_id="req_1")
        reading = await scoring.read(
            self.database, keyring=self.keyring, asker=asker, retailer_id=shop.retailer_id, purpose=purpose, now=at
        )
        return str(reading.row["outcome"])

    async def erase(self, shop: Shop, *, at: datetime = NOW) -> compliance.Erasure:
        async with self.database.transaction() as db:
            return await compliance.request_erasure(
                db, keyring=self.keyring, retailer_id=shop.retailer_id, requested_by="staff:stf_1",
                approved_by="staff:stf_2", reason="retailer_request", now=at,
            )  # fmt: skip

    async def step(self, erasure: compliance.Erasure, name: Any, *, at: datetime, **facts: Any) -> compliance.Erasure:
        async with self.database.transaction() as db:
            return await compliance.carry_out(
                db, keyring=self.keyring, signing=self.signing, erasure_id=erasure.erasure_id, step=name, facts=facts,
                now=at,
            )  # fmt: skip


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,)))


@pytest.fixture
async def engine(database: Database, keyring: Keyring) -> Engine:
    async with database.transaction() as db:
        await signing.maintain(db, keyring=keyring, now=NOW - 30 * DAY)
        keys = await signing.load(db, keyring=keyring, issuer="altscore.in", now=NOW)
    return Engine(database, keyring, keys)
