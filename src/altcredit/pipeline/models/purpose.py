"""
What a product's models are for: everything in which AltScore's and GUARD's training differ, as one value each.

The code that trains, calibrates, explains, compares and monitors is the same for all of them.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from altcredit.engine import underwriting
from altcredit.engine.registry import Product
from altcredit.pipeline import features
from altcredit.pipeline.features.catalogue import CATALOGUE
from altcredit.pipeline.models.expert import EXPERT, Scorecard, scorecard_from
from altcredit.pipeline.models.frame import HORIZON_DAYS, LONGEST_WINDOW_DAYS
from altcredit.pipeline.models.inputs import Input


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is learnt, from what, and how it may be used.

    ``horizon_days`` is also the gap between the windows that train, calibrate and test. ``requires`` names sources
    without which no probability is calculated. ``withheld`` names sources that may be withheld: whoever shows one is
    never held to be riskier than the same applicant without it (model.py says how). ``described``: the columns whose
    medians the card keeps. ``sources_of_code``: folders whose files made the model.
    """

    product: Product
    learnt_name: str
    """Version of a model that has learnt from outcomes, with its number to be filled in."""
    expert_name: str
    inputs: tuple[Input, ...]
    expert: Scorecard
    definition_of_default: dict[str, Any]
    horizon_days: int
    longest_window_days: int
    limits_of_use: tuple[str, ...]
    learnt_from: dict[str, str]
    """What the card says of a model's data, by its origin."""
    described: tuple[str, ...]
    requires: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    sources_of_code: tuple[Path, ...] = ()


_HERE = Path(__file__).parent
_UNDERWRITING = Path(str(files(underwriting)))

INPUTS: tuple[Input, ...] = tuple(
    Input(name=feature.name, family=feature.family, monotone=feature.monotone)
    for feature in CATALOGUE.values()
    if feature.model_input
)
"""AltScore's: every feature of the catalogue that is not a mere fact."""

ALTSCORE = Purpose(
    product="altscore",
    learnt_name="altscore-xgb-v{}-prod",
    expert_name="altscore-expert-v{}",
    inputs=INPUTS,
    expert=EXPERT,
    definition_of_default={
        "horizon_days": HORIZON_DAYS,
        "days_past_due": 30,
        "material_floor_inr": 1000,
        "material_share_of_mean_month": 0.10,
        "balance": "undisputed, credit bills, order of time per retailer and distributor",
    },
    horizon_days=HORIZON_DAYS,
    longest_window_days=LONGEST_WINDOW_DAYS,
    limits_of_use=(
        "Shops that buy on credit from connected distributors, with 90 days of history and 6 matured credit bills.",
        "Probability of trade-credit default within 90 days; not of default on a loan of another kind or term.",
        "Not for decisions about persons in any other capacity, and never the only basis of a refusal.",
    ),
    learnt_from={
        "expert": "Points set by experts, not proven by outcomes: low confidence, band B at best.",
        "simulated": "Learnt from simulated ledgers: for development, tests and demonstrations only.",
        "public": "Learnt from a public data set: for checks of the training code only.",
        "ledgers": "Learnt from consented ledgers of the distributors connected at the time.",
    },
    described=tuple(CATALOGUE),
    sources_of_code=(Path(str(files(features))), _HERE),
)


def _guard(product: Product, *, name: str, screen: bool) -> Purpose:
    chosen = [one for one in underwriting.CATALOGUE.values() if one.model_input and (one.screen or not screen)]
    sources = {one.source for one in chosen}
    return Purpose(
        product=product,
        learnt_name=f"{name}-xgb-v{{}}",
        expert_name=f"{name}-expert-v{{}}",
        inputs=tuple(
            Input(name=one.name, family=one.family, monotone=one.monotone, source=one.source, neutral=one.neutral)
            for one in chosen
        ),
        expert=scorecard_from(_HERE.joinpath(f"{product}.toml").read_text(encoding="utf-8")),
        definition_of_default={"horizon_days": 365, "days_past_due": 90, "of": "the card that is applied for"},
        horizon_days=365,
        longest_window_days=365,
        limits_of_use=(
            "Natural persons who apply for a credit card, with a CPF and an answer of the bureau of negative records.",
            "Probability of 90 or more days past due within 12 months of the card's opening.",
            *(
                ("Decides only whether the full sources are asked; its probability is never published.",)
                if screen
                else ("A filtered or rejected applicant can ask for a person's review (LGPD, art. 20).",)
            ),
        ),
        learnt_from={
            "expert": "Points set by experts, not proven by outcomes: band 3 at best.",
            "simulated": "Learnt from simulated applicants: for development, sandbox, tests and demonstrations only.",
            "public": "Learnt from a public data set: for checks of the training code only.",
            "ledgers": "Learnt from the outcomes of cards granted before.",
        },
        described=tuple(underwriting.CATALOGUE),
        requires=underwriting.REQUIRED,
        withheld=tuple(source for source in underwriting.WITHHELD if source in sources),
        sources_of_code=(_UNDERWRITING, _HERE),
    )


GUARD = _guard("guard", name="guard", screen=False)
GUARD_SCREEN = _guard("guard_screen", name="guard-screen", screen=True)

PURPOSES: dict[Product, Purpose] = {one.product: one for one in (ALTSCORE, GUARD, GUARD_SCREEN)}
