"""The policy file: every value that a lender of record may choose, with a version that each decision records."""

import hashlib
import itertools
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from altcredit.runtime.named_file import read_as
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Reais = Annotated[int, msgspec.Meta(gt=0, le=1_000_000)]
Situation = Literal["pending", "suspended", "cancelled", "null", "deceased"]

BANDS = 7


class PolicyInvalid(Refusal):
    """An underwriting policy cannot be used; the message names the field."""


class BandPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bands 1 to 7 of a probability of default (contract U10)."""

    edges: Annotated[tuple[Probability, ...], msgspec.Meta(min_length=BANDS - 1, max_length=BANDS - 1)]
    approved_to: Annotated[int, msgspec.Meta(ge=1, le=BANDS - 1)]
    best_unproven: Annotated[int, msgspec.Meta(ge=1, le=BANDS)]


class LimitPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What bounds a first limit (contract U10)."""

    income_share: Annotated[
        tuple[Annotated[float, msgspec.Meta(gt=0, le=10)], ...], msgspec.Meta(min_length=1, max_length=BANDS)
    ]
    capacity_share: Share
    unseen_service_share: Share
    cap_brl: Reais
    step_brl: Reais
    floor_brl: Reais


class FunnelPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is filtered out before the full sources are asked."""

    cut_pd: Probability
    pass_at_random: Share
    knock_outs: tuple[Situation, ...]


class ReviewPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a person has to have looked at a decision."""

    due_days: Annotated[int, msgspec.Meta(ge=1, le=90)]


class Economics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Assumptions of the report; no decision uses them."""

    margin_share: Annotated[float, msgspec.Meta(ge=0, le=10)]
    lgd: Share


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The whole policy; ``policy.toml`` beside this module says what each value means.

    ``sha256`` is that of the file, 64 hex digits: the version is the operator's word, this is what was in force.
    """

    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    bands: BandPolicy
    limit: LimitPolicy
    funnel: FunnelPolicy
    review: ReviewPolicy
    economics: Economics
    sha256: str = ""


def policy_from(text: str) -> Policy:
    """
    Read a policy from the text of a TOML file.

    :raises PolicyInvalid: it is not TOML, a field is missing, unknown or out of range, or two values contradict.
    """
    try:
        policy = msgspec.toml.decode(text, type=Policy)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PolicyInvalid(f"Underwriting policy: {error}") from error
    if policy.sha256:
        raise PolicyInvalid("Underwriting policy: sha256 is not for the file to say")
    edges, shares = policy.bands.edges, policy.limit.income_share
    if any(right <= left for left, right in itertools.pairwise(edges)):
        raise PolicyInvalid("Underwriting policy: the bands' edges must rise")
    if len(shares) != policy.bands.approved_to:
        raise PolicyInvalid("Underwriting policy: limit.income_share needs one value for each approved band")
    if any(right > left for left, right in itertools.pairwise(shares)):
        raise PolicyInvalid("Underwriting policy: a worse band must not get a larger share of income than a better one")
    if policy.limit.floor_brl % policy.limit.step_brl:
        raise PolicyInvalid("Underwriting policy: limit.floor_brl must be a multiple of limit.step_brl")
    return msgspec.structs.replace(policy, sha256=hashlib.sha256(text.encode()).hexdigest())


POLICY = policy_from(files("altcredit.engine.underwriting").joinpath("policy.toml").read_text(encoding="utf-8"))


def policy_of(settings: Settings) -> Policy:
    """
    Return the policy of this deployment: the operator's own file, or the one that comes with the product.

    A process reads it once, at its start; a new one counts from the next start on.

    :raises PolicyInvalid: naming the file, and the field.
    """
    name = settings.underwriting_policy
    return read_as(name, policy_from, invalid=PolicyInvalid) if name else POLICY
