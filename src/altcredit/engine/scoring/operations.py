"""What can be done with scores: record assessments, read one, read a history, look a retailer up."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from altcredit.engine import consent
from altcredit.engine.identity import ClientInactive
from altcredit.engine.scoring import store
from altcredit.engine.scoring.assessment import PD_HORIZON_DAYS, Assessment, inputs_of, is_low_confidence
from altcredit.engine.scoring.events import ScoreUpdated
from altcredit.engine.scoring.limit import LimitCheck, limit_check, recommended
from altcredit.engine.scoring.reasons import Reason
from altcredit.engine.scoring.receipt import PUBLIC_KEYS, ModelReference, Receipt, moment, signed_bytes
from altcredit.engine.scoring.standing import Standing
from altcredit.runtime import outbox
from altcredit.runtime.db import Connection, Database, Record
from altcredit.runtime.ids import new_id
from altcredit.runtime.keys import Keyring
from altcredit.runtime.quotas import Allowance, Quota, RateLimitExceeded, allowance
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.signing import SigningKeys

INDIA = ZoneInfo("Asia/Kolkata")
_decode_reasons = msgspec.json.Decoder(tuple[Reason, ...]).decode
_CHUNK = 2000


class NotScored(Refusal):
    """The retailer consented, but there is no assessment yet."""


class DataInsufficient(Refusal):
    """There is an assessment, and it found too little to score (or the feed is too old to rely on)."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A score as one lender sees it now."""

    score_id: str
    altscore: int
    risk_band: str
    probability_of_default: float
    recommended_limit_inr: int
    limit_check: LimitCheck | None
    reasons: tuple[Reason, ...]
    data_freshness_days: int
    low_confidence: bool
    score_version: str
    policy_version: str
    scored_at: datetime
    consent_id: str


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """The last score of a calendar month (IST)."""

    month: str
    altscore: int
    risk_band: str
    score_version: str
    score_id: str


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An assessment as it was recorded, whichever is current now; the score is None where there was too little data."""

    score_id: str
    retailer_id: str
    scored_at: datetime
    altscore: int | None
    risk_band: str | None
    probability_of_default: float | None
    reasons: tuple[Reason, ...]
    insufficient: str | None
    score_version: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one statement brought back. ``allowance`` is known whatever the outcome."""

    row: Record
    allowance: Allowance

    def require(self) -> Record:
        """
        Return the row, if its outcome is a success.

        :raises RateLimitExceeded, consent.NotGranted, consent.ScopeMismatch, NotScored, DataInsufficient:
            as the statement judged (contract A2).
        """
        outcome = self.row["outcome"]
        if outcome == "OK":
            return self.row
        if outcome == "RATE_LIMIT_EXCEEDED":
            raise RateLimitExceeded(self.allowance)
        raise _OUTCOMES[outcome]


_OUTCOMES: dict[str, type[Refusal]] = {
    "CONSENT_NOT_GRANTED": consent.NotGranted,
    "SCOPE_MISMATCH": consent.ScopeMismatch,
    "RETAILER_NOT_SCORED": NotScored,
    "DATA_INSUFFICIENT": DataInsufficient,
}


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Which lender asks, by which token, in which request."""

    lender_id: str
    token_id: str
    request_id: str


async def read(
    database: Database, *, keyring: Keyring, asker: Asker, retailer_id: str, purpose: str, now: datetime
) -> Reading:
    """
    Read a retailer's score for a lender: consent, quota, score and access row in one statement.

    API-ALTSCORE-001, section 03; contract A2, A7, A15. ``retailer_id`` is well-formed.

    :raises ClientInactive: the lender is suspended, or its token was withdrawn.
    """
    key = consent.head_key(keyring, retailer_id, asker.lender_id)
    today = now.astimezone(INDIA).date()
    row = await store.read(database, *_common(asker, key, now), retailer_id, purpose, today)
    return _reading(row, now)


def score(row: Record, *, requested_limit_inr: int | None) -> Score:
    """Return the answer of a successful reading: what depends on this lender and this moment is applied here."""
    low = is_low_confidence(reduced_confidence=row["reduced_confidence"], freshness_days=row["freshness_days"])
    limit = recommended(row["base_limit_inr"], row["max_limit_inr"], low, row["overdue_inr"])
    check = None
    if requested_limit_inr is not None:
        check = limit_check(requested_inr=requested_limit_inr, recommended_inr=limit, hard_cap_inr=row["hard_cap_inr"])
    return Score(
        score_id=row["score_id"],
        altscore=row["altscore"],
        risk_band=row["risk_band"],
        probability_of_default=row["pd"],
        recommended_limit_inr=limit,
        limit_check=check,
        reasons=_decode_reasons(row["reasons"]),
        data_freshness_days=row["freshness_days"],
        low_confidence=low,
        score_version=row["score_version"],
        policy_version=row["policy_version"],
        scored_at=row["scored_at"],
        consent_id=row["consent_id"],
    )


async def history(
    database: Database, *, keyring: Keyring, asker: Asker, retailer_id: str, months: int, now: datetime
) -> Reading:
    """Read up to ``months`` monthly snapshots, newest first (contract A12). Raises as :func:`read`."""
    key = consent.head_key(keyring, retailer_id, asker.lender_id)
    row = await store.read_history(database, *_common(asker, key, now), retailer_id, months)
    return _reading(row, now)


def months(row: Record) -> list[Month]:
    """Return the snapshots of a successful reading of a history."""
    return msgspec.json.decode(row["months"] or "[]", type=list[Month])


async def look_up(database: Database, *, keyring: Keyring, asker: Asker, gstin: str, now: datetime) -> Reading:
    """Find a retailer by GSTIN, if it consented to this lender (contract A13). Raises as :func:`read`."""
    key = consent.gst_head_key(keyring, gstin, asker.lender_id)
    # The GSTIN itself goes nowhere: the access row holds the first half of its keyed hash.
    row = await store.look_up(database, *_common(asker, key, now), key[:16].hex())
    return _reading(row, now)


async def read_receipt(database: Database, *, keyring: Keyring, asker: Asker, score_id: str, now: datetime) -> Reading:
    """
    Read what a receipt states of a score, under the consent rules of a history. Raises as :func:`read`.

    A score that is not there, and one of a retailer who did not consent to this lender, give the same outcome.
    """
    owner = await store.owner(database, score_id) or ""
    key = consent.head_key(keyring, owner, asker.lender_id)
    today = now.astimezone(INDIA).date()
    row = await store.read_receipt(database, *_common(asker, key, now), score_id, owner, today)
    return _reading(row, now)


async def issue_receipt(
    database: Database, *, signing: SigningKeys, asker: Asker, row: Record, address: str, now: datetime
) -> tuple[Receipt, bytes]:
    """
    Return the receipt of a successful reading and its signature: as it was first given to this lender, or a new one.

    ``address`` is that of this installation, without a path. What was signed once is kept, and so outlives its key.
    """
    if row["record"] is not None:
        return msgspec.json.decode(row["record"], type=Receipt), row["signature"]
    low = is_low_confidence(reduced_confidence=row["reduced_confidence"], freshness_days=row["freshness_days"] or 0)
    key_id = signing.active("receipt")
    receipt = Receipt(
        score_id=row["score_id"],
        retailer_id=row["retailer_id"],
        lender_id=asker.lender_id,
        altscore=row["altscore"],
        risk_band=row["risk_band"],
        probability_of_default=row["pd"],
        pd_horizon_days=PD_HORIZON_DAYS,
        recommended_limit_inr=recommended(row["base_limit_inr"], row["max_limit_inr"], low, row["overdue_inr"]),
        base_limit_inr=row["base_limit_inr"],
        lender_cap_inr=row["max_limit_inr"],
        overdue_inr=row["overdue_inr"],
        low_confidence=low,
        reason_codes=tuple(one.code for one in _decode_reasons(row["reasons"])),
        model=ModelReference(version=row["score_version"], sha256=row["model_sha256"]),
        policy_version=row["policy_version"],
        inputs_sha256=row["inputs_sha256"],
        consent_id=row["consent_id"],
        scored_at=moment(row["scored_at"]),
        issued_at=moment(now),
        key_id=key_id,
        public_keys=address + PUBLIC_KEYS,
    )
    record = signed_bytes(receipt)
    _, signature = signing.sign("receipt", record)
    kept, signature = await store.keep_receipt(database, receipt.score_id, asker.lender_id, record, signature, now)
    return msgspec.json.decode(kept, type=Receipt), signature


async def inputs(db: Connection, *, score_id: str) -> bytes:
    """
    Return what a score was made from, as the bytes whose digest its receipt carries, for the operator.

    :raises NotScored: there is no such score.
    """
    found = await store.standing(db, score_id)
    if found is None:
        raise NotScored(f"There is no score {score_id}")
    return inputs_of(msgspec.json.decode(found, type=Standing))


async def peek(database: Database, *, lender_id: str, now: datetime) -> Allowance | None:
    """Return what a lender has left, without counting."""
    row = await store.peek(database, lender_id, _MINUTE.start(now), _DAY.start(now))
    return None if row is None else _tighter(row, now)


async def latest(db: Connection, *, retailer_id: str) -> dict[str, Any]:
    """
    Return what is stored as a retailer's current assessment, for the operator.

    :raises NotScored: there is none.
    """
    row = await store.latest(db, retailer_id)
    if row is None:
        raise NotScored(f"{retailer_id} has no assessment")
    return {**dict(row), "reasons": msgspec.json.decode(row["reasons"])}


async def recorded(db: Connection, *, score_ids: Sequence[str]) -> dict[str, Recorded]:
    """Return the assessments that have these ids, by id. For explaining a score that may have been replaced since."""
    return {
        row["score_id"]: Recorded(
            score_id=row["score_id"],
            retailer_id=row["retailer_id"],
            scored_at=row["scored_at"],
            altscore=row["altscore"],
            risk_band=row["risk_band"],
            probability_of_default=row["pd"],
            reasons=_decode_reasons(row["reasons"]),
            insufficient=row["insufficient"],
            score_version=row["score_version"],
        )
        for row in await store.recorded(db, score_ids)
    }


async def record(db: Connection, *, assessments: Sequence[tuple[Assessment, Standing]], now: datetime) -> list[str]:
    """
    Store assessments, make them current, take the month's snapshot and announce them (event ``score.updated``).

    Returns the score ids, in order. Call it in one transaction with whatever decided them.
    """
    score_ids: list[str] = []
    for start in range(0, len(assessments), _CHUNK):
        chunk = [(new_id("scr"), one, standing) for one, standing in assessments[start : start + _CHUNK]]
        await store.insert(db, chunk, now)
        score_ids += [score_id for score_id, _, _ in chunk]
    if score_ids:
        version = assessments[0][0].score_version
        fact = ScoreUpdated(score_id=score_ids[0], count=len(score_ids), score_version=version)
        await outbox.publish(db, fact, now=now)
    return score_ids


async def withdraw(db: Connection, *, retailer_ids: Sequence[str]) -> None:
    """
    Take current scores back: what may be used of these retailers' trade has become too little for any assessment.

    What was recorded stays on record; the next read answers that there is no score yet.
    """
    await store.withdraw(db, retailer_ids)


async def add_access_partitions(db: Connection, *, today: date, months_ahead: int = 2) -> None:
    """Create the access log's partitions of this month and the coming ones. Doing it again changes nothing."""
    month = today.replace(day=1)
    for _ in range(months_ahead + 1):
        await store.add_access_partition(db, month)
        month = (month + timedelta(days=32)).replace(day=1)


def _per_minute(limit: int) -> Quota:
    return Quota(name="minute", limit=limit, seconds=60)


def _per_day(limit: int) -> Quota:
    return Quota(name="day", limit=limit, seconds=86_400)


# Windows only; the limits are each lender's own (contract A15).
_MINUTE, _DAY = _per_minute(0), _per_day(0)


def _common(asker: Asker, key: bytes, now: datetime) -> tuple[str, str, datetime, datetime, bytes, datetime, str]:
    return asker.lender_id, asker.token_id, _MINUTE.start(now), _DAY.start(now), key, now, asker.request_id


def _tighter(row: Record, now: datetime) -> Allowance:
    minute_limit, day_limit, minute_taken = row["minute_limit"], row["day_limit"], row["minute_taken"]
    # The day is not counted for a request that the minute already refused.
    day_taken = row["day_taken"] or 0
    if day_taken > day_limit or max(day_limit - day_taken, 0) < max(minute_limit - minute_taken, 0):
        return allowance(_per_day(day_limit), day_taken, now)
    return allowance(_per_minute(minute_limit), minute_taken, now)


def _reading(row: Record | None, now: datetime) -> Reading:
    if row is None:
        raise ClientInactive
    return Reading(row=row, allowance=_tighter(row, now))
