"""The published answer, byte for byte (GUARD API, Response; contract U5, U6)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from altcredit.engine.underwriting.decision import NONE


class CallbackResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The decision. ``score``, ``riskBand`` and ``limit`` are -1 together, or real together."""

    cost_saving_enabled: bool
    score: float | int
    risk_band: int
    limit: int
    reason_codes: tuple[str, ...] = ()


class Callback(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is posted to the partner; ``outcome`` is there in failure callbacks alone, which a partner opts in to."""

    customer_uuid: str
    started: str
    finished: str
    service_type: str
    response: CallbackResponse
    outcome: str | None = None


def stamp(at: datetime) -> str:
    """Return a time as published: ``2014-06-25T00:00:00.000Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def body(
    *,
    customer_uuid: str,
    started_at: datetime,
    finished_at: datetime,
    cost_saving: bool,
    score: float,
    risk_band: int,
    limit_brl: int,
    reason_codes: tuple[str, ...] = (),
    failed: bool = False,
) -> bytes:
    """Return the callback's JSON. ``score``, ``risk_band`` and ``limit_brl`` are -1 all three or none (contract U5)."""
    response = CallbackResponse(
        cost_saving_enabled=cost_saving,
        score=score if score >= 0 else int(score),  # -1, as published, and not -1.0
        risk_band=risk_band,
        limit=limit_brl,
        reason_codes=reason_codes,
    )
    return msgspec.json.encode(
        Callback(
            customer_uuid=customer_uuid,
            started=stamp(started_at),
            finished=stamp(finished_at),
            service_type="GUARD_SCORE",
            response=response,
            outcome="failed" if failed else None,
        )
    )


def of_row(row: Mapping[str, Any], *, finished_at: datetime, failed: bool = False) -> bytes:
    """Return the callback's JSON for an application as the table has it; without a PD all three are -1."""
    return body(
        customer_uuid=row["customer_uuid"],
        started_at=row["started_at"] or row["accepted_at"],
        finished_at=finished_at,
        cost_saving=row["cost_saving"],
        score=row.get("pd", NONE),
        risk_band=row.get("risk_band", NONE),
        limit_brl=row.get("limit_brl", NONE),
        failed=failed,
    )
