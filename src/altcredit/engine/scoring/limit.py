"""
The recommended credit limit (contract A14; API-ALTSCORE-001, section 03).

What the model and the ledgers say is stored with the assessment (:func:`base_limit`). What may change between two
reads, the lender's own cap, the age of the data, the overdue balance, is applied by the reader (:func:`recommended`).
"""

import hashlib
import math
from importlib.resources import files
from typing import Annotated

import msgspec

from altcredit.engine.scoring.scale import Band
from altcredit.runtime.named_file import read_as
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

STEP_INR = 1_000
MONTHS = 6

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Months = Annotated[float, msgspec.Meta(ge=0, le=12)]


class PolicyInvalid(Refusal):
    """A limit policy cannot be used; the message names the field."""


class BandMonths(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Months of trade that a limit may cover, by band."""

    A: Months
    B: Months
    C: Months
    D: Months


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The values that a lender of record may choose; ``policy.toml`` beside this module says what each one means.

    ``sha256`` is that of the file, 64 hex digits: the version is the operator's word, this is what was in force.
    """

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    # The published contract hard-caps the limit at 30 % of six months' trade: a policy may only be stricter.
    gmv_share: Annotated[float, msgspec.Meta(gt=0, le=0.30)]
    el_budget_inr: Annotated[int, msgspec.Meta(gt=0)]
    lgd: Share
    pd_in_default: Annotated[float, msgspec.Meta(ge=0.21, lt=1)]
    band_months: BandMonths
    sha256: str = ""


def policy_from(text: str) -> Policy:
    """
    Read a policy from the text of a TOML file.

    :raises PolicyInvalid: it is not TOML, a field is missing, unknown or out of range, or a worse band gets more.
    """
    try:
        policy = msgspec.toml.decode(text, type=Policy)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PolicyInvalid(f"Limit policy: {error}") from error
    if policy.sha256:
        raise PolicyInvalid("Limit policy: sha256 is not for the file to say")
    months = policy.band_months
    if not months.A >= months.B >= months.C >= months.D:
        raise PolicyInvalid("Limit policy: a worse band must not get more months of trade than a better one")
    return msgspec.structs.replace(policy, sha256=hashlib.sha256(text.encode()).hexdigest())


POLICY = policy_from(files("altcredit.engine.scoring").joinpath("policy.toml").read_text(encoding="utf-8"))


def policy_of(settings: Settings) -> Policy:
    """
    Return the limit policy of this deployment: the operator's own file, or the one that comes with the product.

    A process reads it once, at its start; a new one counts from the next start on.

    :raises PolicyInvalid: naming the file, and the field.
    """
    name = settings.limit_policy
    return read_as(name, policy_from, invalid=PolicyInvalid) if name else POLICY


class BaseLimit(msgspec.Struct, frozen=True, kw_only=True):
    """What an assessment alone allows, in whole rupees, and the three bounds it is the least of."""

    base_inr: int
    gmv_cap_inr: int
    """Share of six months' trade: the hard cap."""
    trade_cap_inr: int
    """Months of trade that the band allows."""
    loss_cap_inr: int
    """What keeps the expected loss within budget."""


class LimitCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How a limit that the lender has in mind compares (contract A6)."""

    requested_inr: int
    within_recommendation: bool
    cap_inr: int
    """The hard cap (30 % of six months' trade), which no override may pass."""


def _rupees(amount: float) -> int:
    # Whole rupees, down, but not a rupee down for the last bit of a binary fraction: 0.29 x 100 is 29.
    return math.floor(round(amount, 6))


def base_limit(*, gmv_6m_inr: int, gmv_month_median_inr: int, band: Band, pd: float, policy: Policy) -> BaseLimit:
    """
    Return min(share of G6, f x M, EL budget / (PD x LGD)), never negative: contract A14 without what readers apply.

    G6 is six months' net trade in rupees, M the smaller of its mean and its median month.
    """
    gmv_cap = _rupees(policy.gmv_share * max(gmv_6m_inr, 0))
    month = max(min(gmv_6m_inr / MONTHS, gmv_month_median_inr), 0)
    trade_cap = _rupees(getattr(policy.band_months, band) * month)
    loss_cap = _rupees(policy.el_budget_inr / (pd * policy.lgd))
    return BaseLimit(
        base_inr=min(gmv_cap, trade_cap, loss_cap),
        gmv_cap_inr=gmv_cap,
        trade_cap_inr=trade_cap,
        loss_cap_inr=loss_cap,
    )


def recommended(base_inr: int, lender_cap_inr: int | None, low_confidence: bool, overdue_inr: int) -> int:
    """
    Return the recommended limit in rupees, in steps of 1,000: across all lenders, and never applied by itself.

    ``lender_cap_inr`` is the lender's own bound (None: it has none); low confidence halves; what is overdue is taken
    off.
    """
    limit = base_inr if lender_cap_inr is None else min(base_inr, lender_cap_inr)
    if low_confidence:
        limit //= 2
    return max(limit - max(overdue_inr, 0), 0) // STEP_INR * STEP_INR


def limit_check(*, requested_inr: int, recommended_inr: int, hard_cap_inr: int) -> LimitCheck:
    """Compare the lender's limit with the recommendation, which it never raises (contract A6)."""
    return LimitCheck(
        requested_inr=requested_inr, within_recommendation=requested_inr <= recommended_inr, cap_inr=hard_cap_inr
    )
