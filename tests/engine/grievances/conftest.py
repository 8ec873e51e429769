"""A lender, a shop with consent and a score, without HTTP."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.conftest import Shop as ShopOfApi
from tests.api.conftest import a_model, a_standing

from altcredit.engine import consent, grievances, identity, retailers, scoring
from altcredit.engine.grievances import Case, Party
from altcredit.runtime.db import Database
from altcredit.runtime.keys import Keyring
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import Settings

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
STAFF = "staff:stf_0123456789abcdef"


class Desk(msgspec.Struct, kw_only=True):
    """What the tests of grievances act on."""

    platform: Platform
    lender: str = ""
    other_lender: str = ""
    numbers: Any = msgspec.field(default_factory=lambda: itertools.count(1))

    @property
    def database(self) -> Database:
        return self.platform.database

    @property
    def keyring(self) -> Keyring:
        return self.platform.keyring

    async def shop(self, *, consents: bool = True) -> ShopOfApi:
        """Add a shop; with consent to the lender unless said otherwise."""
        number = next(self.numbers)
        phone_hash = hashlib.sha256(f"91900000{number:04d}".encode()).hexdigest()
        distributor_id = f"dist_{number:016x}"
        (retailer_id,) = await retailers.resolve(
            self.database, keyring=self.keyring, distributor_id=distributor_id,
            shops=[retailers.ShopKey(ref=f"R{number}", phone_hash=phone_hash, name=f"Shop {number}")], now=NOW,
        )  # fmt: skip
        shop = ShopOfApi(retailer_id=retailer_id, gstin="", phone_hash=phone_hash, distributor_id=distributor_id)
        if consents:
            await self.consent(shop, self.lender)
        return shop

    async def consent(self, shop: ShopOfApi, lender: str) -> consent.Granted:
        async with self.database.transaction() as db:
            return await consent.grant(
                db, keyring=self.keyring, signing=self.platform.signing, fiduciary=consent.Fiduciary.of(Settings()), actor="test",
                phone_hash=shop.phone_hash, distributor_id=shop.distributor_id, retailer_ref=None,
                lender_scope=[lender], purpose="working_capital_loan", channel="whatsapp", message_id="wamid.x",
                language="en", now=NOW,
            )  # fmt: skip

    async def score(self, shop: ShopOfApi, *, pd: float = 0.082, at: datetime = NOW) -> str:
        standing = a_standing(shop)
        estimate = scoring.Estimate(
            pd=pd, contributions={"avg_days_late_180d": -0.6, "return_rate_180d": 0.3}, base=-2.1151
        )
        assessment = scoring.assess(standing, estimate, model=a_model(), policy=scoring.POLICY)
        assert assessment is not None
        async with self.database.transaction() as db:
            (score_id,) = await scoring.record(db, assessments=[(assessment, standing)], now=at)
        return score_id

    async def file(
        self, shop: ShopOfApi, score_id: str | None, *, filer: Party | None = None, at: datetime = NOW, **changes: Any
    ) -> Case:
        asked: dict[str, Any] = {
            "filer": filer or Party(kind="lender", id=self.lender),
            "retailer_id": shop.retailer_id,
            "score_id": score_id,
            "grievance_type": "incorrect_data",
            "description": "Payment records missing for March",
            "language": "en",
            "now": at,
        }
        async with self.database.transaction() as db:
            return await grievances.file(db, keyring=self.keyring, **{**asked, **changes})

    async def act(self, what: str, case: Case, *, at: datetime = NOW, **asked: Any) -> Case:
        """Do something to a case as staff, in a transaction of its own."""
        async with self.database.transaction() as db:
            done: Case = await getattr(grievances, what)(
                db, keyring=self.keyring, grievance_id=case.grievance_id, actor=STAFF, now=at, **asked
            )
            return done

    async def find(self, case: Case, reader: Party, *, at: datetime = NOW) -> Case:
        async with self.database.transaction() as db:
            return await grievances.find(
                db, keyring=self.keyring, grievance_id=case.grievance_id, reader=reader, now=at
            )

    async def sweep(self, at: datetime) -> list[tuple[str, str]]:
        async with self.database.transaction() as db:
            return [(one.grievance_id, one.clock) for one in await grievances.escalate_overdue(db, now=at)]


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> Any:
    settings = Settings(database_url=database_url, home=str(tmp_path))
    platform = await Platform.open(settings, database_url, now=NOW - timedelta(days=1))
    desk = Desk(platform=platform)
    async with platform.database.transaction() as db:
        for name in ("lender", "other_lender"):
            issued = await identity.add_lender(
                db, keyring=platform.keyring, name=name, actor="test", now=NOW - timedelta(days=1)
            )
            setattr(desk, name, issued.client_id)
    yield desk
    await platform.close()
