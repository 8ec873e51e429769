"""
Simulated card applicants with a known probability of default, the same for a seed and a CPF wherever they appear.

Hidden traits make both the true probability and, with noise, what an applicant reports and what each source has on
record. So what a model learns, and what a reason says, can be held against the truth. Amounts are in R$.
"""

import hashlib
import math
import random
from collections.abc import Iterator
from typing import Any

import msgspec

from altcredit.engine.sources import SOURCES, Subject
from altcredit.engine.underwriting import Address, Application, Authorizations, Contact, ReportedData, is_cpf
from altcredit.simulator.applicant_draws import Draws
from altcredit.simulator.applicant_records import records_of
from altcredit.simulator.applicant_traits import Traits, traits_of

# What is said of an applicant who does not overstate is this close to the truth.
_ROUNDED = 0.05


class Applicant(msgspec.Struct, frozen=True, kw_only=True):
    """
    One person: hidden truth, what they report, and what each source has on record.

    ``consents`` are the authorisations that they give when asked (references by name, as in ``Subject``).
    """

    cpf: str
    traits: Traits
    true_pd: float
    srd: ReportedData
    consents: dict[str, str]
    phone: str | None
    device_id: str | None
    records: dict[str, Any]
    """Everything on record, by source; :meth:`answers` gives what a source may tell."""

    def answers(self, subject: Subject) -> dict[str, Any]:
        """
        Return what each source answers about this person to this question.

        A source whose authorisation the subject lacks is left out, as it would not be asked; what a question does not
        carry (postcode, phone, device) is not known to the source it would go to.
        """
        allowed = subject.authorisations
        found = {
            name: self.records[name] for name, source in SOURCES.items() if not source.needs or source.needs in allowed
        }
        if subject.zip_code is None:
            found["registration"] = msgspec.structs.replace(found["registration"], address_matches=None)
        if "positiveHistory" not in allowed:
            found["positive_registry"] = msgspec.structs.replace(found["positive_registry"], history=None)
        unknown: dict[str, None] = {} if subject.device_id else {"device_risk": None}
        if subject.phone is None:
            unknown |= dict.fromkeys(("line_months", "prepaid", "linked_to_cpf", "sim_swapped_days"))
        found["device_phone"] = msgspec.structs.replace(found["device_phone"], **unknown)
        return found

    def application(self, *, customer_uuid: str, cost_saving_enabled: bool = False) -> Application:
        """Return the application that this person would make, with the authorisations that they would give."""
        consents = self.consents
        return Application(
            customer_uuid=customer_uuid,
            cpf=self.cpf,
            cost_saving_enabled=cost_saving_enabled,
            srd=self.srd,
            authorizations=Authorizations(
                scr=consents.get("scr"),
                positive_history=consents.get("positiveHistory"),
                open_finance=consents.get("openFinance"),
            ),
            contact=Contact(phone=self.phone, device_id=self.device_id),
        )

    def subject(self) -> Subject:
        """Return the question that follows from :meth:`application`."""
        return Subject(
            cpf=self.cpf,
            zip_code=self.srd.address.zip_code if self.srd.address else None,
            phone=self.phone,
            device_id=self.device_id,
            authorisations=self.consents,
        )

    def default_within_12m(self, draw: float) -> bool:
        """Tell whether this person is 90+ days past due within 12 months; ``draw`` is uniform in [0, 1)."""
        return draw < self.true_pd


def applicant(cpf: str, *, seed: int) -> Applicant:
    """Return the person behind a CPF in the world of ``seed``: the same one at every call (some 60 µs)."""
    digest = hashlib.blake2b(f"{seed}|{cpf}".encode(), digest_size=8).digest()
    draws = Draws(int.from_bytes(digest, "big"))
    traits = traits_of(draws)
    srd = _reported(traits, draws)
    return Applicant(
        cpf=cpf,
        traits=traits,
        true_pd=traits.true_pd(),
        srd=srd,
        consents=_consents(cpf, traits, draws),
        phone=f"+55{draws.whole(11, 99)}9{draws.whole(10_000_000, 99_999_999)}" if draws.chance(0.9) else None,
        device_id=f"dev-{draws.whole(0, 2**40):010x}" if draws.chance(0.75) else None,
        records=records_of(traits, draws),
    )


def cpfs(seed: int) -> Iterator[str]:
    """Yield CPFs with valid check digits, without end, in an order that the seed decides; repeats are possible."""
    rng = random.Random(seed)  # noqa: S311 - simulated data, not a secret
    while True:
        digits = [rng.randrange(10) for _ in range(9)]
        for place in (9, 10):
            total = sum(digit * weight for digit, weight in zip(digits, range(place + 1, 1, -1), strict=True))
            digits.append(total * 10 % 11 % 10)
        text = "".join(map(str, digits))
        if is_cpf(text):
            yield text


def _reported(t: Traits, draws: Draws) -> ReportedData:
    """Return what the applicant says: some overstate their income, most make their spends look smaller."""

    def told(amount: float, given: float) -> float | None:
        value = round(amount * draws.factor(0.2), 2)
        return value if draws.chance(given) else None

    income = t.income * (t.overstates or draws.factor(_ROUNDED))
    service = t.service_share * t.income
    place = Address(city="Curitiba", state="PR", zip_code=f"{draws.whole(1_000, 99_999):05d}-000")
    return ReportedData(
        gross_income=round(income, -1),
        housing_spends=told(0.25 * t.income * math.exp(-0.2 * t.affluence), 0.75),
        card_spends=told(0.85 * service * t.card_part, 0.7),
        loan_spends=told(0.85 * service * (1 - t.card_part), 0.7),
        address=place if draws.chance(0.9) else None,
        occupation=t.occupation if draws.chance(0.9) else None,
        desired_credit_limit=told(t.income * math.exp(0.3 + 0.15 * t.burden), 0.8),
    )


def _consents(cpf: str, t: Traits, draws: Draws) -> dict[str, str]:
    """Return the authorisations given: by about half, and a little less readily by whoever has something to hide."""
    ease = {"scr": 0.75, "positiveHistory": 0.3, "openFinance": -0.2}
    willing = 0.25 * t.discipline - 0.15 * t.burden
    return {name: f"{name}-{cpf[:6]}" for name, at in ease.items() if draws.chance(1 / (1 + math.exp(-at - willing)))}
