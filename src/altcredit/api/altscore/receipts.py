"""Decision receipts: what a lender was told of a score and what it was made from, signed (contract, "Receipt")."""

from typing import Annotated

import msgspec

from altcredit.api.altscore.credentials import LENDER
from altcredit.api.altscore.score import LIMITS, RetailerId, asker, peek
from altcredit.api.contract import Call, Route
from altcredit.engine import consent, scoring

ScoreId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^scr_[A-Za-z0-9]{1,64}$",
        description="As in an answer of score or history.",
        examples=["scr_0a1b2c3d4e5f6071"],
    ),
]


class ReceiptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which score."""

    score_id: ScoreId


class ReceiptModel(msgspec.Struct, frozen=True, kw_only=True):
    """The model that scored; ``sha256`` is the digest of its card."""

    version: str
    sha256: str


class ReceiptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt: verify ``signature`` over the JCS form of everything else with the public key ``key_id``."""

    score_id: ScoreId
    retailer_id: RetailerId
    lender_id: str
    altscore: Annotated[int, msgspec.Meta(ge=300, le=900)]
    risk_band: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["A", "B", "C", "D"]})]
    probability_of_default: Annotated[float, msgspec.Meta(ge=0, le=1)]
    pd_horizon_days: int
    recommended_limit_inr: Annotated[int, msgspec.Meta(ge=0)]
    base_limit_inr: Annotated[int, msgspec.Meta(ge=0, description="Before the lender's cap, stale data, arrears.")]
    lender_cap_inr: int | None
    overdue_inr: int
    low_confidence: bool
    reason_codes: Annotated[list[str], msgspec.Meta(description="Positive ones first, as in the score.")]
    model: ReceiptModel
    policy_version: str
    inputs_sha256: Annotated[str, msgspec.Meta(description="SHA-256 of what the score was made from, hex.")]
    consent_id: str
    scored_at: str
    issued_at: str
    key_id: Annotated[str, msgspec.Meta(description="RFC 7638 thumbprint of the public key.")]
    public_keys: Annotated[str, msgspec.Meta(description="Where the public key is found.")]
    signature: Annotated[str, msgspec.Meta(description="ECDSA P-256 over the receipt's JCS form, DER, hex.")]


async def read_receipt(call: Call, asked: ReceiptRequest) -> ReceiptAnswer:
    database, asking = call.platform.database, asker(call)
    reading = await scoring.read_receipt(
        database, keyring=call.platform.keyring, asker=asking, score_id=asked.score_id, now=call.now
    )
    call.allowance = reading.allowance
    receipt, signature = await scoring.issue_receipt(
        database,
        signing=call.platform.signing,
        asker=asking,
        row=reading.require(),
        address=call.platform.settings.base_url.rstrip("/"),
        now=call.now,
    )
    return msgspec.convert({**msgspec.to_builtins(receipt), "signature": signature.hex()}, ReceiptAnswer)


ROUTES = (
    Route(
        method="GET",
        path="/v1/score/{score_id}/receipt",
        operation="readReceipt",
        tag="Score",
        summary="Read a score's signed receipt",
        description=(
            "What the lender is told of a score and what it was made from, signed; the same receipt every time."
            " Consent is verified on every call; unknown scores and those of retailers who did not consent are"
            " answered alike. It counts as a score read."
        ),
        handler=read_receipt,
        asks=ReceiptRequest,
        answers=ReceiptAnswer,
        credentials=(LENDER,),
        refusals=(consent.NotGranted, scoring.ClientInactive, scoring.DataInsufficient),
        peeks=peek,
        limits=LIMITS,
    ),
)
