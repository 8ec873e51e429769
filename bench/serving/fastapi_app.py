"""
The handler that most teams would write: FastAPI, pydantic, SQLAlchemy's ORM on asyncpg, doing the same work.

Same tables, same rules, same durable access row, metrics and a JSON log line. It is given our token verification with
its cache, so that the comparison is of the serving path and not of RSA.
"""

import json
import logging
import os
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from prometheus_client import Counter, Histogram
from pydantic import BaseModel, Field
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from altcredit.engine import consent, scoring
from altcredit.runtime.ids import new_id
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import load

REQUESTS = Counter("anchor_requests", "Requests.", ["status"])
LATENCY = Histogram("anchor_seconds", "Latency.")
logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.INFO)
log = logging.getLogger("anchor")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: DateTime(timezone=True), str: Text}


class Client(Base):
    __tablename__ = "client"
    client_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    minute_limit: Mapped[int] = mapped_column(Integer)
    day_limit: Mapped[int] = mapped_column(Integer)
    max_limit_inr: Mapped[int | None] = mapped_column(BigInteger)


class DeniedToken(Base):
    __tablename__ = "denied_token"
    jti: Mapped[str] = mapped_column(primary_key=True)


class Minute(Base):
    __tablename__ = "quota_minute"
    subject: Mapped[str] = mapped_column(primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    taken: Mapped[int] = mapped_column(Integer)


class Window(Base):
    __tablename__ = "quota_window"
    subject: Mapped[str] = mapped_column(primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    taken: Mapped[int] = mapped_column(Integer)


class Head(Base):
    __tablename__ = "consent_head"
    head_key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    retailer_id: Mapped[str]
    purposes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    consent_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    expires_at: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)))


class Current(Base):
    __tablename__ = "current_score"
    retailer_id: Mapped[str] = mapped_column(primary_key=True)
    score_id: Mapped[str]
    scored_at: Mapped[datetime]
    altscore: Mapped[int] = mapped_column(SmallInteger)
    risk_band: Mapped[str]
    pd: Mapped[float] = mapped_column(Float)
    base_limit_inr: Mapped[int] = mapped_column(BigInteger)
    hard_cap_inr: Mapped[int] = mapped_column(BigInteger)
    overdue_inr: Mapped[int] = mapped_column(BigInteger)
    reasons: Mapped[str]
    completeness: Mapped[float] = mapped_column(Float)
    reduced_confidence: Mapped[bool] = mapped_column(Boolean)
    score_version: Mapped[str]
    policy_version: Mapped[str]
    feed: Mapped[list[str]] = mapped_column(ARRAY(Text))


class Feed(Base):
    __tablename__ = "distributor_feed"
    distributor_id: Mapped[str] = mapped_column(primary_key=True)
    watermark: Mapped[Any] = mapped_column(Date)


class Access(Base):
    __tablename__ = "score_access"
    at: Mapped[datetime] = mapped_column(primary_key=True)
    lender_id: Mapped[str]
    operation: Mapped[str]
    requested_id: Mapped[str]
    retailer_id: Mapped[str | None]
    purpose: Mapped[str]
    outcome: Mapped[str]
    consent_id: Mapped[str | None]
    score_id: Mapped[str | None]
    request_id: Mapped[str] = mapped_column(primary_key=True)


class ScoreRequest(BaseModel):
    retailer_id: str = Field(pattern=r"^ret_[0-9a-f]{16}$")
    purpose: str = Field(min_length=1, max_length=64)
    requested_limit_inr: int | None = Field(default=None, ge=0)


class Reason(BaseModel):
    code: str
    direction: str
    rank: int
    label_en: str
    label_hi: str
    label: str
    tip: str
    impact_points: float | None


class ScoreAnswer(BaseModel):
    retailer_id: str
    altscore: int
    risk_band: str
    probability_of_default: float
    pd_horizon_days: int
    recommended_limit_inr: int
    reason_codes: list[Reason]
    data_freshness_days: int
    low_confidence: bool
    score_version: str
    policy_version: str
    score_id: str
    scored_at: str
    request_id: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> Any:
    settings = load({name: value for name, value in os.environ.items() if name.startswith("ALTCREDIT_")})
    platform = await Platform.open(settings, settings.database_url, now=datetime.now(UTC))
    engine = create_async_engine(settings.database_url.replace("postgresql", "postgresql+asyncpg"), pool_size=16)
    app.state.platform, app.state.sessions = platform, async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()
    await platform.close()


app = FastAPI(lifespan=lifespan)


async def session(request: Request) -> Any:
    async with request.app.state.sessions() as opened:
        yield opened


async def claims(
    request: Request, authorization: Annotated[str, Header()], x_client_id: Annotated[str, Header()]
) -> Any:
    found = request.app.state.platform.signing.verify_token(authorization.removeprefix("Bearer "), datetime.now(UTC))
    if found.sub != x_client_id:
        raise HTTPException(401)
    return found


async def take(db: AsyncSession, table: Any, subject: str, start: datetime) -> int:
    statement = insert(table).values(subject=subject, window_start=start, taken=1)
    statement = statement.on_conflict_do_update(
        index_elements=[table.subject, table.window_start], set_={"taken": table.taken + 1}
    ).returning(table.taken)
    return (await db.execute(statement)).scalar_one()


@app.post("/v1/score")
async def score(
    body: ScoreRequest,
    request: Request,
    db: Annotated[AsyncSession, Depends(session)],
    caller: Annotated[Any, Depends(claims)],
) -> ScoreAnswer:
    started, now = time.perf_counter(), datetime.now(UTC)
    platform: Platform = request.app.state.platform
    client = (await db.execute(select(Client).where(Client.client_id == caller.sub))).scalar_one()
    denied = (await db.execute(select(DeniedToken).where(DeniedToken.jti == caller.jti))).scalar_one_or_none()
    if denied or client.status != "active":
        raise HTTPException(401)
    subject = f"score|{client.client_id}"
    minute = await take(db, Minute, subject, now.replace(second=0, microsecond=0))
    day = await take(db, Window, subject, now.replace(hour=0, minute=0, second=0, microsecond=0))
    key = consent.head_key(platform.keyring, body.retailer_id, client.client_id)
    head = (await db.execute(select(Head).where(Head.head_key == key))).scalar_one_or_none()
    current = None
    if head is not None and body.purpose in head.purposes:
        found = await db.execute(select(Current).where(Current.retailer_id == head.retailer_id))
        current = found.scalar_one_or_none()
    ok = current is not None and minute <= client.minute_limit and day <= client.day_limit
    request_id = new_id("req")
    db.add(
        Access(
            at=now,
            lender_id=client.client_id,
            operation="score",
            requested_id=body.retailer_id,
            retailer_id=current.retailer_id if current else None,
            purpose=body.purpose,
            outcome="OK" if ok else "REFUSED",
            consent_id=head.consent_ids[0] if head else None,
            score_id=current.score_id if current else None,
            request_id=request_id,
        )
    )
    await db.commit()
    if not ok or current is None:
        raise HTTPException(403)
    feeds = (await db.execute(select(Feed).where(Feed.distributor_id.in_(current.feed)))).scalars().all()
    fresh = max((now + timedelta(hours=5.5)).date() - feed.watermark for feed in feeds).days
    low = current.reduced_confidence or fresh > 14
    answer = ScoreAnswer(
        retailer_id=body.retailer_id,
        altscore=current.altscore,
        risk_band=current.risk_band,
        probability_of_default=current.pd,
        pd_horizon_days=90,
        recommended_limit_inr=max(current.base_limit_inr // (2 if low else 1) - current.overdue_inr, 0) // 1000 * 1000,
        reason_codes=[
            Reason(
                **one,
                label_en=scoring.CODES[one["code"]].label_en,
                label_hi=scoring.CODES[one["code"]].label_hi,
                label=scoring.CODES[one["code"]].label_en,
                tip=scoring.CODES[one["code"]].tip_en,
            )
            for one in json.loads(current.reasons)
        ],
        data_freshness_days=fresh,
        low_confidence=low,
        score_version=current.score_version,
        policy_version=current.policy_version,
        score_id=current.score_id,
        scored_at=current.scored_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        request_id=request_id,
    )
    REQUESTS.labels("200").inc()
    LATENCY.observe(time.perf_counter() - started)
    log.info(json.dumps({"event": "request", "route": "/v1/score", "status": 200, "request_id": request_id}))
    return answer
