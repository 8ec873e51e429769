"""The hidden truth of a simulated applicant, and the probability of default that follows from it."""

import math
from typing import Literal

import msgspec

from altcredit.simulator.applicant_draws import Draws

Occupation = Literal[
    "Company Employee", "Retired", "Self-Employment", "Public Sector", "Multiple sources of income", "Other"
]
_STEADY: tuple[Occupation, ...] = ("Public Sector", "Retired", "Company Employee", "Company Employee")
_LOOSE: tuple[Occupation, ...] = ("Self-Employment", "Company Employee", "Multiple sources of income", "Other")
_MINIMUM_WAGE = 1_500.0


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """
    What nobody sees directly. Standard normal: ``affluence``, ``discipline`` (pays on time), ``burden`` (debt for the
    income), ``stability`` (of job, home and income), ``luck`` (which no source shows).
    """

    affluence: float
    discipline: float
    burden: float
    stability: float
    luck: float
    income: float
    """True monthly income."""
    service_share: float
    """Share of true income that goes into debt service."""
    card_part: float
    """Part of that which is for cards."""
    overstates: float | None
    """Factor by which the reported income is too high; None: reported as it is."""
    fraud: bool
    """The person who applies is not the person of the CPF."""
    thin: bool
    """Little or nothing on record anywhere."""
    history_months: int
    occupation: Occupation

    def true_pd(self) -> float:
        """Return the probability of 90+ days past due within 12 months."""
        strain = max(self.burden, 0.0) * max(-self.stability, 0.0)
        log_odds = (
            -3.0
            - 0.90 * self.discipline
            + 0.60 * self.burden
            - 0.45 * self.stability
            - 0.30 * self.affluence
            - 0.35 * self.luck
            + 0.35 * strain
            + 0.40 * self.thin
            + 0.35 * (self.overstates is not None)
            + 2.60 * self.fraud
        )
        return 1 / (1 + math.exp(-log_odds))


def traits_of(draws: Draws) -> Traits:
    """Draw a person."""
    affluence, discipline, luck = draws.normal(), draws.normal(), draws.normal()
    burden = -0.3 * discipline + 0.954 * draws.normal()
    stability = 0.3 * affluence + 0.954 * draws.normal()
    thin = draws.chance(0.10)
    overstates = 1.15 + 1.2 * draws.uniform() ** 2 if draws.chance(0.22 + 0.04 * burden) else None
    choice = _STEADY if draws.normal() < stability else _LOOSE
    return Traits(
        affluence=affluence,
        discipline=discipline,
        burden=burden,
        stability=stability,
        luck=luck,
        income=max(3_300 * math.exp(0.6 * affluence), _MINIMUM_WAGE * (0.7 + 0.6 * draws.uniform())),
        service_share=min(0.10 * math.exp(0.65 * burden), 0.9),
        card_part=0.2 + 0.6 * draws.uniform(),
        overstates=overstates,
        fraud=draws.chance(0.012),
        thin=thin,
        history_months=draws.whole(0, 10) if thin else int(6 + 70 * math.exp(0.6 * draws.normal() + 0.15 * affluence)),
        occupation=choice[draws.whole(0, 3)],
    )
