"""Simulated applications of past years as a training frame: features as GUARD makes them, outcome, and the truth."""

import random
from datetime import date, timedelta
from itertools import islice

import pandas as pd

from altcredit.engine.underwriting import CATALOGUE, features
from altcredit.simulator.applicants import applicant, cpfs

HORIZON = timedelta(days=365)
# Train, calibrate and test lie a year apart, so it takes some years of applications to fill all three.
YEARS = 7
# Share of questions that a source leaves unanswered for good.
FAILED = 0.01


def portfolio_of_applicants(seed: int, n: int, today: date) -> pd.DataFrame:
    """
    Return ``n`` applications of the seven years whose outcomes are known by ``today``, one row an applicant.

    Columns: ``subject_id``, ``as_of`` (date), ``default`` (90+ days past due within 12 months), ``mature``,
    ``true_pd``, and every feature of the catalogue, with what applicants withheld and sources failed to answer missing.
    """
    rng = random.Random(seed)  # noqa: S311 - simulated data, not a secret
    last = today - HORIZON
    rows = []
    for number, cpf in enumerate(islice(cpfs(seed), n)):
        person = applicant(cpf, seed=seed)
        as_of = last - timedelta(days=rng.randrange(YEARS * 365))
        answers = {name: one for name, one in person.answers(person.subject()).items() if rng.random() >= FAILED}
        application = person.application(customer_uuid=f"simulated-{number}")
        rows.append(
            {
                "subject_id": f"app_{number:08d}",
                "as_of": as_of,
                "default": person.default_within_12m(rng.random()),
                "mature": True,
                "true_pd": person.true_pd,
                **features(application, answers, today=as_of),
            }
        )
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(CATALOGUE, "float64")) if rows else frame
