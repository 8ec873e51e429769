"""
Lenders, retailers, consents and scores for the serving benchmark, written in bulk.

Retailers and assessments are made by the engine's own operations. Consents are written as the look-up rows that a grant
leaves behind: ten thousand signed grants, one transaction each, would take minutes and leave the same rows.
"""

import hashlib
import math
import random
from datetime import UTC, date, datetime, timedelta

import msgspec

from altcredit.engine import consent, identity, retailers, scoring
from altcredit.runtime.ids import new_id
from altcredit.runtime.platform import Platform
from altcredit.runtime.tokens import Claims

PURPOSE = "working_capital_loan"
LENDERS_PER_RETAILER = 4
UNLIMITED = 2_000_000_000


class Question(msgspec.Struct, frozen=True):
    """One call that is to be answered with a score."""

    lender_id: str
    token: str
    token_id: str
    retailer_id: str
    head_key: bytes


async def populate(platform: Platform, *, lenders: int, retailer_count: int, seed: int = 1) -> list[Question]:
    """Fill an empty installation; return one question a retailer, by one of the lenders it consented to."""
    now = datetime.now(UTC)
    random_ = random.Random(seed)
    tokens = [await lender(platform, now) for _ in range(lenders)]
    distributors = [f"dist_{number:016x}" for number in range(4)]
    keys = [retailers.ShopKey(ref=f"R{number}", name=f"Shop {number}") for number in range(retailer_count)]
    questions: list[Question] = []
    heads: list[tuple[object, ...]] = []
    assessed: list[tuple[scoring.Assessment, scoring.Standing]] = []
    for number, distributor in enumerate(distributors):
        await _feed(platform, distributor, now)
        ids = await retailers.resolve(
            platform.database,
            keyring=platform.keyring,
            distributor_id=distributor,
            shops=keys[number :: len(distributors)],
            now=now,
        )
        for retailer in ids:
            assessed.append(_assessed(retailer, distributor, random_))
            allowed = random_.sample(tokens, LENDERS_PER_RETAILER)
            rows = [
                (consent.head_key(platform.keyring, retailer, one[0]), retailer, one[0], retailer) for one in allowed
            ]
            heads += [(*row, [PURPOSE], [new_id("cns")], [now + timedelta(days=180)]) for row in rows]
            questions.append(Question(*allowed[0], retailer, rows[0][0]))
    async with platform.database.transaction() as db:
        await scoring.record(db, assessments=assessed, now=now)
        await db.copy_records_to_table("consent_head", records=heads)
    async with platform.database.reads.acquire() as db:
        await db.execute("VACUUM ANALYZE")
        await db.execute("CHECKPOINT")
    random_.shuffle(questions)
    return questions


async def lender(platform: Platform, now: datetime) -> tuple[str, str, str]:
    """Add a lender without limits; return its id, a token and the token's id."""
    async with platform.database.transaction() as db:
        issued = await identity.add_lender(
            db, keyring=platform.keyring, name="Lender", minute=UNLIMITED, day=UNLIMITED, actor="bench", now=now
        )
    token_id, at = new_id("tok"), int(now.timestamp())
    claims = Claims(
        sub=issued.client_id, iss=platform.signing.issuer, iat=at, exp=at + 3600, jti=token_id, kind="lender"
    )
    return issued.client_id, platform.signing.issue_token(claims), token_id


async def _feed(platform: Platform, distributor: str, now: datetime) -> None:
    async with platform.database.transaction() as db:
        await db.execute(
            "INSERT INTO distributor_feed (distributor_id, coverage, watermark, lag_days, lag_p90_days, returns_seen,"
            " last_batch_at) VALUES ($1, '{}', $2, '{}', 1, true, $3)",
            distributor,
            now.date() - timedelta(days=2),
            now,
        )


_MODEL = scoring.ModelInfo(
    version="altscore-xgb-v1-bench",
    sha256=hashlib.sha256(b"bench").hexdigest(),
    expert_only=False,
    cure_rate=0.4,
    families={"avg_days_late_180d": "payment_timing", "return_rate_180d": "returns"},
    benchmark={"avg_days_late_180d": 6.0, "return_rate_180d": 0.03, "vintage_months": 12.0},
)


def _assessed(retailer: str, distributor: str, random_: random.Random) -> tuple[scoring.Assessment, scoring.Standing]:
    standing = scoring.Standing(
        retailer_id=retailer,
        as_of=date(2026, 11, 20),
        features={
            "avg_days_late_180d": random_.uniform(0, 9),
            "return_rate_180d": random_.uniform(0, 0.1),
            "distributor_count": 1.0,
        },
        completeness=84.2,
        history_days=400,
        matured_credit_bills=40,
        has_payment_data=True,
        in_default=False,
        gmv_6m_inr=random_.randrange(200_000, 3_000_000),
        gmv_month_median_inr=random_.randrange(30_000, 500_000),
        overdue_inr=0,
        feed=(distributor,),
    )
    late, returned = random_.uniform(-0.8, 0.4), random_.uniform(-0.2, 0.3)
    base = -2.1151
    pd = 1 / (1 + math.exp(-(base + late + returned)))
    estimate = scoring.Estimate(
        pd=pd, contributions={"avg_days_late_180d": late, "return_rate_180d": returned}, base=base
    )
    assessment = scoring.assess(standing, estimate, model=_MODEL, policy=scoring.POLICY)
    assert assessment is not None
    return assessment, standing
