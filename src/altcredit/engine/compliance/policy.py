"""The retention policy: versioned data in ``retention.toml``, read once."""

from datetime import timedelta
from importlib.resources import files
from typing import Final

import msgspec

LONGEST_ERASURE_DAYS: Final = 30


class ErasureDays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Days after a request for erasure by which each step is due."""

    within_days: int
    scores_after_days: int
    lake_after_days: int
    key_after_days: int


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keep_days: int


class ExportDays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    within_days: int
    keep_days: int


class Stays(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that outlives an erasure, for so many years (0: without limit), and the reason."""

    what: str
    years: int
    why: str


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    what: str
    period: str
    done_by: str


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept for how long, and when an erased shop's data goes."""

    version: str
    erasure: ErasureDays
    backups: Keep
    export: ExportDays
    stays: tuple[Stays, ...]
    kept: tuple[Kept, ...]

    @property
    def backups_kept(self) -> timedelta:
        return timedelta(days=self.backups.keep_days)


class RetentionInvalid(Exception):
    """The policy promises what its own dates cannot keep."""


def parse(text: str) -> Retention:
    """
    Read a policy.

    :raises RetentionInvalid: a backup with an erased shop's data could outlive the erasure's deadline, or the steps are
        out of order.
    """
    policy = msgspec.toml.decode(text, type=Retention)
    days = policy.erasure
    ordered = 0 <= days.scores_after_days <= days.lake_after_days <= days.key_after_days
    if not ordered or days.key_after_days + policy.backups.keep_days > days.within_days:
        raise RetentionInvalid("the key's destruction and the age of backups do not fit into the days of an erasure")
    if days.within_days > LONGEST_ERASURE_DAYS:
        raise RetentionInvalid(f"an erasure ends within {LONGEST_ERASURE_DAYS} days (contract D1)")
    return policy


POLICY: Final = parse(files("altcredit.engine.compliance").joinpath("retention.toml").read_text("utf-8"))
