"""
The true ledger of a simulated population, as columns.

A *line* is a shop's account with one distributor. Days are whole days since 1970-01-01, amounts are integer paise,
and -1 stands for "none" in integer columns.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Bills(msgspec.Struct, kw_only=True):
    """Invoices in the order they were written; a bill's number is its position."""

    line: Ints
    day: Ints
    due: Ints
    amount: Ints
    cash: Flags
    disputed: Flags

    def __len__(self) -> int:
        return len(self.line)


class Credits(msgspec.Struct, kw_only=True):
    """Payments and credit notes, one row for each bill they settle; ``returned_on`` is the day a cheque came back."""

    line: Ints
    bill: Ints
    day: Ints
    amount: Ints
    note: Flags
    returned_on: Ints

    def __len__(self) -> int:
        return len(self.line)


class History(msgspec.Struct, kw_only=True):
    bills: Bills
    credits: Credits


T = TypeVar("T", bound=msgspec.Struct)


def stack(parts: Sequence[T]) -> T:
    """Return one struct of columns from several of the same kind (at least one)."""
    kind = type(parts[0])
    return kind(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in kind.__struct_fields__})


def take(columns: T, index: NDArray[np.int64] | NDArray[np.bool_]) -> T:
    """Return the rows of a struct of columns that ``index`` (positions or a mask) selects."""
    return type(columns)(**{name: getattr(columns, name)[index] for name in columns.__struct_fields__})


def no_bills() -> Bills:
    """Return an empty table of bills."""
    none, flags = np.empty(0, np.int64), np.empty(0, np.bool_)
    return Bills(line=none, day=none, due=none, amount=none, cash=flags, disputed=flags)


def no_credits() -> Credits:
    """Return an empty table of credits."""
    none = np.empty(0, np.int64)
    return Credits(line=none, bill=none, day=none, amount=none, note=np.empty(0, np.bool_), returned_on=none)
