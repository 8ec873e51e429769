"""
The training frame and its windows.

One row a retailer or applicant and as-of date: ``subject_id`` (or ``retailer_id``), ``as_of`` (date), ``default`` (the
label by the product's definition of default; missing where nobody could tell), ``mature`` (bool; without the column
every label counts), the catalogue's features. Optional: ``in_default`` (at ``as_of``), ``feed`` (the main distributors
of the shop) or ``distributor_id`` (the one), ``true_pd`` (simulated data only).
"""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import msgspec
import numpy as np
import pandas as pd

from altcredit.pipeline.models.inputs import Floats
from altcredit.runtime.refusal import Refusal

HORIZON_DAYS = 90
LONGEST_WINDOW_DAYS = 120

MIN_BAD_TRAIN, MIN_BAD_TEST = 200, 100

SUBJECT = "subject_id"
KEYS = (SUBJECT, "as_of", "default")
SEVERAL = "several"

WindowName = Literal["train", "calibrate", "test"]


class FrameInvalid(Refusal):
    """A training frame cannot be used; the message says what is wrong with it."""


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """First and last as-of date of each window."""

    train: tuple[date, date]
    calibrate: tuple[date, date]
    test: tuple[date, date]


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """
    Return the rows with a mature label, ``as_of`` as datetime64, ``defaulted`` as bool, sorted by date and shop.

    A label that is not mature is left out even where the default is seen already: the shops that will not default are
    not known yet, and the rest would be too bad a sample. What has been labelled before is returned as it is.

    :raises FrameInvalid: columns are missing, no row has a label, or a shop has two rows of one date.
    """
    if "defaulted" in frame.columns:
        return frame
    frame = frame.rename(columns={"retailer_id": SUBJECT})
    absent = [name for name in KEYS if name not in frame.columns]
    if absent:
        raise FrameInvalid(f"The training frame lacks {', '.join(absent)}")
    known = frame["default"].notna()
    if "mature" in frame.columns:
        known &= frame["mature"].fillna(False).astype(bool)
    rows = frame[known].rename(columns={"default": "defaulted"})
    if rows.empty:
        raise FrameInvalid("No row of the training frame has a mature label")
    rows["as_of"] = pd.to_datetime(rows["as_of"])
    rows["defaulted"] = rows["defaulted"].astype(bool)
    if "distributor_id" not in rows.columns and "feed" in rows.columns:
        rows["distributor_id"] = [feed[0] if len(feed) == 1 else SEVERAL for feed in rows["feed"]]
    if rows.duplicated([SUBJECT, "as_of"]).any():
        raise FrameInvalid("A retailer or applicant has several rows of one as-of date")
    return rows.sort_values(["as_of", SUBJECT], kind="stable", ignore_index=True)


def windows_of(
    as_of: Sequence[date], *, gap_days: int = HORIZON_DAYS, longest_days: int = LONGEST_WINDOW_DAYS
) -> Windows | None:
    """
    Split as-of dates into train, calibrate and test, a horizon apart; None where the dates do not span that much.

    So no outcome of one window is known in the next. Of what remains after the two gaps, calibrate and test get a
    quarter each, at most ``longest_days``.
    """
    days = sorted(set(as_of))
    spare = (days[-1] - days[0]).days - 2 * gap_days if days else -1
    if spare < 0:
        return None
    width, gap = timedelta(days=min(spare // 4, longest_days)), timedelta(days=gap_days)
    test = [day for day in days if day >= days[-1] - width]
    before = [day for day in days if day <= test[0] - gap]
    if not before:
        return None
    calibrate = [day for day in before if day >= before[-1] - width]
    train = [day for day in days if day <= calibrate[0] - gap]
    if not train:
        return None
    return Windows(train=(train[0], train[-1]), calibrate=(calibrate[0], calibrate[-1]), test=(test[0], test[-1]))


def part(rows: pd.DataFrame, window: tuple[date, date]) -> pd.DataFrame:
    """Return the labelled rows of a window."""
    first, last = pd.Timestamp(window[0]), pd.Timestamp(window[1])
    return rows[rows["as_of"].between(first, last)].reset_index(drop=True)


def weights(rows: pd.DataFrame) -> Floats:
    """Return 1 / rows of the shop: a shop counts once, however many dates it has."""
    count = rows.groupby(SUBJECT)[SUBJECT].transform("size")
    result: Floats = (1.0 / count).to_numpy(dtype=np.float64)
    return result


def bad_shops(rows: pd.DataFrame) -> int:
    """Return how many distinct shops default in these rows."""
    return int(rows.loc[rows["defaulted"], SUBJECT].nunique())


def held_out(subjects: pd.Series) -> pd.Series:
    """Tell which fifth of the shops early stopping looks at: the same shops in every run, all dates of a shop."""
    fold = subjects.map(lambda subject: hashlib.sha256(str(subject).encode()).digest()[0] % 5 == 0)
    return fold.astype(bool)


def cure_rate(frame: pd.DataFrame, *, least: int = 30) -> float | None:
    """
    Return the share of shops in default that are out of it 90 days later, or None with fewer than ``least`` of them.

    Needs ``in_default`` on as-of dates 90 days apart.
    """
    if "in_default" not in frame.columns:
        return None
    state = frame.loc[frame["in_default"].notna(), ["retailer_id", "as_of", "in_default"]].copy()
    state["as_of"] = pd.to_datetime(state["as_of"])
    state["in_default"] = state["in_default"].astype(bool)
    then = state[state["in_default"]].assign(as_of=lambda rows: rows["as_of"] + pd.Timedelta(days=HORIZON_DAYS))
    pairs = then.merge(state, on=["retailer_id", "as_of"], suffixes=("", "_later"))
    if pairs["retailer_id"].nunique() < least:
        return None
    return float(1 - pairs["in_default_later"].mean())


def digest(frame: pd.DataFrame, columns: Sequence[str]) -> str:
    """Return the sha256 of these columns, whatever the order of the rows."""
    hashes = pd.util.hash_pandas_object(frame[list(columns)].astype({"as_of": "str"}), index=False).to_numpy()
    return hashlib.sha256(np.sort(hashes).tobytes()).hexdigest()
