"""
What the sandbox answers (GUARD API, Sandbox; contract U8): the three published CPFs, and a table for all others.

A CPF's row is the first byte of its SHA-256 modulo the number of rows, so any valid CPF always gives the same outcome,
and each outcome can be provoked at will. Nothing is asked of any source, and no model is used.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal

import msgspec

from altcredit.engine.underwriting.application import Application, is_cpf
from altcredit.engine.underwriting.decision import NONE, Decision, Outcome
from altcredit.engine.underwriting.reasons import CODES, Reason

Environment = Literal["development", "sandbox", "production"]


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """
    One outcome of the sandbox.

    ``delays``: how many times the sandbox's delay the answer takes. ``withheld``: the first attempt at the callback is
    counted as failed without being sent. ``fails``: the pipeline never finishes (status ``failed``).
    """

    name: str
    outcome: Outcome
    pd: float | None = None
    risk_band: int | None = None
    limit_brl: int | None = None
    reasons: tuple[str, ...] = ()
    delays: int = 1
    withheld: bool = False
    fails: bool = False


_GOOD, _POOR = ("POSITIVE_HISTORY", "LOW_UTILISATION"), ("NEGATIVE_RECORDS", "LOW_BUREAU_SCORE")


def _approved(name: str, pd: float, band: int, limit: int) -> Rehearsal:
    return Rehearsal(name=name, outcome="approved", pd=pd, risk_band=band, limit_brl=limit, reasons=_GOOD)


def _rejected(name: str, pd: float, band: int, reasons: tuple[str, ...] = _POOR) -> Rehearsal:
    return Rehearsal(name=name, outcome="rejected", pd=pd, risk_band=band, limit_brl=0, reasons=reasons)


_ORDINARY = _approved("band 3", 0.015, 3, 2_000)
_FILTERED = Rehearsal(name="filtered", outcome="filtered", reasons=_POOR)
ROWS: tuple[Rehearsal, ...] = (
    _approved("band 1", 0.004, 1, 8_000),
    _approved("band 2", 0.009, 2, 5_000),
    _ORDINARY,
    _approved("band 4", 0.03, 4, 1_000),
    _approved("band 5", 0.06, 5, 500),
    _rejected("band 6", 0.12, 6),
    _rejected("band 7", 0.25, 7),
    _rejected("limit of zero in band 3", 0.015, 3, ("HIGH_DEBT_TO_INCOME",)),
    _FILTERED,
    Rehearsal(name="not calculable", outcome="not_calculable", reasons=("THIN_FILE",)),
    msgspec.structs.replace(_ORDINARY, name="slow source", delays=6),
    msgspec.structs.replace(_ORDINARY, name="failing callback", withheld=True),
    msgspec.structs.replace(_ORDINARY, name="failing pipeline", fails=True),
)
PUBLISHED: dict[str, Rehearsal] = {
    "41955366004": _FILTERED,
    "14779111030": _rejected("published rejection", 0.25, 7),
    "39549600017": _approved("published approval", 0.015, 3, 500),
}


def rehearsal(application: Application, *, environment: Environment) -> Rehearsal | None:
    """
    Return what an application's CPF stands for, or None where it is to be underwritten in earnest.

    The sandbox knows an outcome for every CPF, development for the published ones alone, production for none. A
    filtered one is filtered with ``costSavingEnabled`` only, and an ordinary application without. What the customer
    desires caps an approved limit; less than R$200, which in earnest would be a rejection, does not: a published CPF
    does as published, whatever is desired.
    """
    if environment == "production":
        return None
    everybody = environment == "sandbox"
    found = PUBLISHED.get(application.cpf) or (ROWS[_row(application.cpf)] if everybody else None)
    if found is not None and found.outcome == "filtered" and not application.cost_saving_enabled:
        found = _ORDINARY if everybody else None
    if found is None or not found.limit_brl or application.srd is None:
        return found
    desired = application.srd.desired_credit_limit
    if desired is None or desired < 200:
        return found
    return msgspec.structs.replace(found, limit_brl=min(found.limit_brl, int(desired // 50) * 50))


def rehearsed(found: Rehearsal) -> Decision:
    """Return an outcome of the sandbox as a decision, which says that no policy and no model stand behind it."""
    return Decision(
        outcome=found.outcome,
        score=NONE if found.pd is None else found.pd,
        risk_band=NONE if found.risk_band is None else found.risk_band,
        limit=NONE if found.limit_brl is None else found.limit_brl,
        rejected_by="band" if found.outcome == "rejected" else None,
        knocked_out_by=None,
        bounds=None,
        reasons=tuple(
            Reason(code=code, direction=CODES[code].direction, rank=rank, impact=None)
            for rank, code in enumerate(found.reasons, start=1)
        ),
        screening=None,
        sources={},
        sources_missing=(),
        model_version=None,
        model_sha256=None,
        expert_only=False,
        policy_version="sandbox",
        policy_sha256="",
        inputs_sha256="",
    )


def _row(cpf: str) -> int:
    return hashlib.sha256(cpf.encode()).digest()[0] % len(ROWS)


def examples(count: int = 3) -> Iterator[tuple[Rehearsal, tuple[str, ...]]]:
    """Yield each outcome of the table with the first valid CPFs that give it, counted up from 100.000.000."""
    found: dict[int, list[str]] = {row: [] for row in range(len(ROWS))}
    first = 100_000_000
    while any(len(cpfs) < count for cpfs in found.values()):
        cpf = next(cpf for check in range(100) if is_cpf(cpf := f"{first:09d}{check:02d}"))
        if len(found[_row(cpf)]) < count:
            found[_row(cpf)].append(cpf)
        first += 1
    for row, cpfs in found.items():
        yield ROWS[row], tuple(cpfs)
