"""Both products over real HTTPS: one server and one database a test run, every test with clients and shops of its own."""

import asyncio
import hashlib
import hmac
import itertools
import json
import ssl
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from tests.conftest import new_database

from altcredit.api.process import Addresses, serve_platform
from altcredit.engine import consent, identity, retailers, scoring
from altcredit.runtime.certificates import Authority, Certificate
from altcredit.runtime.platform import Platform, opened
from altcredit.runtime.settings import Settings
from altcredit.runtime.tls import Tls

PURPOSE = "working_capital_loan"


class Shop(msgspec.Struct, kw_only=True):
    """A shop that a distributor knows."""

    retailer_id: str
    gstin: str
    phone_hash: str
    distributor_id: str


class Feed:
    """A distributor's end of the line: certificate, API key, signing secret, and an open connection."""

    def __init__(self, issued: identity.IssuedDistributor, client: httpx2.AsyncClient) -> None:
        self.issued, self.client = issued, client
        self.distributor_id = issued.distributor_id

    def body(self, **fields: Any) -> bytes:
        """A batch of the last fortnight, as sent."""
        today = datetime.now(UTC).date()
        period = {"sync_from": f"{today - timedelta(days=14)}T00:00:00Z", "sync_to": f"{today}T00:00:00Z"}
        return json.dumps({"distributor_id": self.distributor_id, **period, **fields}).encode()

    def headers(self, raw: bytes, batch_id: str, *, at: datetime | None = None, v2: bool = True) -> dict[str, str]:
        """Return the headers of a batch, signed at a moment (now) by both signatures or the first alone."""
        headers = {
            "content-type": "application/json",
            "x-api-key": self.issued.api_key,
            "x-payload-signature": self.sign(raw),
            "x-erp-type": "csv",
            "x-batch-id": batch_id,
        }
        if v2:
            sent = int((at or datetime.now(UTC)).timestamp())
            headers["x-payload-signature-v2"] = f"t={sent},v2={self.sign(f'{sent}.{batch_id}.'.encode() + raw)}"
        return headers

    def sign(self, message: bytes) -> str:
        return hmac.new(self.issued.signing_secret.encode(), message, hashlib.sha256).hexdigest()

    async def send(
        self, raw: bytes | None = None, *, batch_id: str | None = None, at: datetime | None = None, v2: bool = True,
        change: dict[str, str | None] | None = None, **fields: Any,
    ) -> httpx2.Response:  # fmt: skip
        """Send a batch; ``change`` replaces headers, or (None) leaves them out."""
        body = self.body(**fields) if raw is None else raw
        headers = self.headers(body, batch_id or str(uuid.uuid4()), at=at, v2=v2)
        for name, value in (change or {}).items():
            headers.pop(name, None)
            if value is not None:
                headers[name] = value
        return await self.client.post("/v1/ingest/batch", content=body, headers=headers)

    async def status(self, batch_id: str, *, language: str = "en") -> httpx2.Response:
        headers = {"x-api-key": self.issued.api_key, "accept-language": language}
        return await self.client.get(f"/v1/ingest/batch/{batch_id}/status", headers=headers)


class Installation:
    """A running AltScore, and what a test needs to bring about in it."""

    numbers = itertools.count(1)

    def __init__(self, platform: Platform, where: Addresses, authority: Authority) -> None:
        self.platform = platform
        self.base_url, self.admin_url = where.public, where.admin
        self.authority = authority
        self.context = ssl.create_default_context(cadata=authority.pem)

    def client(self, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.base_url, verify=self.context, headers=headers, timeout=10)

    @asynccontextmanager
    async def presenting(self, certificate: Certificate | None, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
        """Lend a client that presents a certificate."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        if certificate is not None:
            assert certificate.key_pem is not None
            with tempfile.TemporaryDirectory() as folder:
                chain = Path(folder) / "chain.pem"
                chain.write_text(certificate.pem + certificate.key_pem)
                context.load_cert_chain(chain)
        async with httpx2.AsyncClient(base_url=self.base_url, verify=context, headers=headers, timeout=30) as client:
            yield client

    @asynccontextmanager
    async def distributor(self, *, batches_per_hour: int = 1000) -> AsyncIterator[Feed]:
        """Lend the feed of a new distributor."""
        async with self.platform.database.transaction() as db:
            issued = await identity.add_distributor(
                db,
                keyring=self.platform.keyring,
                authority=self.authority,
                name="Distributor",
                batches_per_hour=batches_per_hour,
                actor="test",
                now=datetime.now(UTC),
            )
        async with self.presenting(issued.certificate) as client:
            yield Feed(issued, client)

    async def lender(self, **limits: Any) -> identity.IssuedClient:
        async with self.platform.database.transaction() as db:
            return await identity.add_lender(
                db, keyring=self.platform.keyring, actor="test", name="Lender", now=datetime.now(UTC), **limits
            )

    async def service(self, *scopes: str) -> identity.IssuedClient:
        async with self.platform.database.transaction() as db:
            return await identity.add_service(
                db, keyring=self.platform.keyring, actor="test", name="Service", scopes=scopes, now=datetime.now(UTC)
            )

    async def signed_in(self, issued: identity.IssuedClient) -> httpx2.AsyncClient:
        async with self.client() as client:
            answer = await client.post(
                "/v1/auth/token", json={"client_id": issued.client_id, "client_secret": issued.client_secret}
            )
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        return self.client(authorization=f"Bearer {token}", **{"x-client-id": issued.client_id})

    async def partner(self, *addresses: str, **options: Any) -> identity.IssuedPartner:
        """Add a GUARD partner, which calls from loopback unless said otherwise."""
        async with self.platform.database.transaction() as db:
            return await identity.add_partner(
                db, keyring=self.platform.keyring, name="Partner", actor="test", now=datetime.now(UTC),
                addresses=addresses or ("127.0.0.1/32",), **options,
            )  # fmt: skip

    async def shop(self, *, gst: bool = True) -> Shop:
        number = next(self.numbers)
        phone = hashlib.sha256(f"91900000{number:04d}".encode()).hexdigest()
        gstin = a_gstin(number)
        distributor_id = f"dist_{number:016x}"
        (retailer_id,) = await retailers.resolve(
            self.platform.database,
            keyring=self.platform.keyring,
            distributor_id=distributor_id,
            shops=[retailers.ShopKey(gstin=gstin if gst else None, ref=f"R{number}", phone_hash=phone, name="Shop")],
            now=datetime.now(UTC),
        )
        async with self.platform.database.transaction() as db:
            await db.execute(
                "INSERT INTO distributor_feed (distributor_id, coverage, watermark, lag_days, lag_p90_days, returns_seen, last_batch_at)"
                " VALUES ($1, '{}', $2, '{}', 1, true, now())",
                distributor_id,
                datetime.now(UTC).date() - timedelta(days=3),
            )
        return Shop(retailer_id=retailer_id, gstin=gstin, phone_hash=phone, distributor_id=distributor_id)

    async def consent(self, shop: Shop, *lenders: str, purpose: str = PURPOSE) -> consent.Granted:
        async with self.platform.database.transaction() as db:
            return await consent.grant(
                db,
                keyring=self.platform.keyring,
                signing=self.platform.signing,
                fiduciary=consent.Fiduciary.of(Settings()),
                actor="test",
                phone_hash=shop.phone_hash,
                distributor_id=shop.distributor_id,
                retailer_ref=None,
                lender_scope=lenders,
                purpose=purpose,
                channel="whatsapp",
                message_id="wamid.test",
                language="en",
                now=datetime.now(UTC),
            )

    async def score(self, shop: Shop, *, at: datetime | None = None, **changes: Any) -> scoring.Assessment:
        """Record an assessment of a good shop, with ``changes`` to its standing."""
        standing = a_standing(shop, **changes)
        estimate = scoring.Estimate(
            pd=0.082, contributions={"avg_days_late_180d": -0.6, "return_rate_180d": 0.3}, base=-2.1151
        )
        assessment = scoring.assess(standing, estimate, model=a_model(), policy=scoring.POLICY)
        assert assessment is not None
        async with self.platform.database.transaction() as db:
            await scoring.record(db, assessments=[(assessment, standing)], now=at or datetime.now(UTC))
        return assessment


def a_gstin(number: int) -> str:
    """Return a valid GSTIN, a new one for each number."""
    letters = "".join(chr(65 + number // 26**place % 26) for place in range(5))
    first = f"27{letters}{number % 10000:04d}F1Z"
    return next(first + last for last in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" if retailers.is_gstin(first + last))


def a_model() -> scoring.ModelInfo:
    return scoring.ModelInfo(
        version="altscore-xgb-v1-prod",
        sha256="0" * 64,
        expert_only=False,
        cure_rate=0.4,
        families={"avg_days_late_180d": "payment_timing", "return_rate_180d": "returns"},
        benchmark={"avg_days_late_180d": 6.0, "return_rate_180d": 0.03, "vintage_months": 12.0},
    )


def a_standing(shop: Shop, **changes: Any) -> scoring.Standing:
    fields: dict[str, Any] = {
        "retailer_id": shop.retailer_id,
        "as_of": date(2026, 11, 20),
        "features": {"avg_days_late_180d": 1.2, "return_rate_180d": 0.09, "distributor_count": 1.0},
        "completeness": 84.2,
        "history_days": 400,
        "matured_credit_bills": 40,
        "has_payment_data": True,
        "in_default": False,
        "gmv_6m_inr": 900_000,
        "gmv_month_median_inr": 150_000,
        "overdue_inr": 0,
        "feed": (shop.distributor_id,),
    }
    return scoring.Standing(**{**fields, **changes})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Installation]:
    """Lend the installation of some settings: both listeners over real TLS, over the database that they name."""
    async with opened(settings, settings.database_url) as platform:
        tls = Tls.open(settings, keyring=platform.keyring, now=datetime.now(UTC))
        ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        serving = asyncio.create_task(serve_platform(platform, tls, stop=stop, ready=ready.set_result))
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        where = ready.result() if ready.done() else await serving
        assert where is not None
        authority = Authority.open(settings, keyring=platform.keyring, now=datetime.now(UTC))
        yield Installation(platform, where, authority)
        stop.set()
        await serving


@asynccontextmanager
async def installed(server: str, home: Path, **changes: Any) -> AsyncIterator[Installation]:
    """Lend an installation with its own database, development keys and certificates."""
    async with new_database(server) as dsn:
        settings = Settings(home=str(home), port=0, admin_port=0, database_url=dsn, log_level="error", **changes)
        async with running(settings) as installation:
            yield installation


@pytest.fixture(scope="session")
async def altscore(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """A running installation, as AltScore's clients see it."""
    async with installed(server, tmp_path_factory.mktemp("home")) as installation:
        yield installation
