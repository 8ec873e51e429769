"""What an erasure is: its dated steps, its clock and its certificate. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec
import rfc8785

from altcredit.engine.compliance.policy import Retention

Name = Literal["halt", "scores", "lake", "key", "backups"]
STEPS: Final[tuple[Name, ...]] = ("halt", "scores", "lake", "key", "backups")
SCHEMA: Final = "altcredit.erasure-certificate.v1"

_SAYS: Final[Mapping[Name, str]] = {
    "halt": "Consents ended, look-ups by GSTIN, phone and code removed, scores withdrawn",
    "scores": "Scores and features deleted that no lender was told; features stripped from those that one was",
    "lake": "Rows dropped from bronze and silver by rewriting files; the old files deleted; quarantine cleaned",
    "key": "Sealed identity destroyed with its data key; sightings by distributors deleted",
    "backups": "The last backup that could hold any of it has reached the age at which backups are deleted",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step: when it is due, when it was done, and what it found and did."""

    step: Name
    due_at: datetime
    done_at: datetime | None = None
    facts: dict[str, Any] = {}


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What went when, what stays and why: JCS bytes (RFC 8785) and a DER signature (ECDSA P-256, purpose receipt)."""

    record: bytes
    signature: bytes
    key_id: str


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """
    A shop's erasure (contract D1). Ids are opaque: once the key is destroyed, nothing says whose they were.

    ``behind``: by how much the system's clock was set back since the request. The erasure's own time is the system's
    plus that, so that a clock set back gives nobody more time.
    """

    erasure_id: str
    retailer_id: str
    retailer_ids: tuple[str, ...]
    distributor_ids: tuple[str, ...]
    requested_by: str
    approved_by: str | None
    reason: str
    policy_version: str
    requested_at: datetime
    due_at: datetime
    completed_at: datetime | None
    steps: tuple[Step, ...]
    certificate: Certificate | None = None
    set_back: timedelta = timedelta()
    behind: timedelta = timedelta()

    @property
    def next(self) -> Step | None:
        """The first step that is not done."""
        return next((one for one in self.steps if one.done_at is None), None)

    def is_due(self, now: datetime) -> bool:
        """
        Tell whether the next step is to be done now, by the erasure's own time.

        The last one waits for backups to age, which are told by the system's clock: their wait is never cut short by a
        clock that was ahead for a while and then put right.
        """
        step = self.next
        return step is not None and step.due_at <= (now if step.step == "backups" else now + self.behind)

    def overdue(self, now: datetime) -> bool:
        """Tell whether the promise of the law is broken, or a step is late, by the erasure's own time."""
        if self.completed_at is not None:
            return self.completed_at > self.due_at
        own = now + self.behind
        return own > self.due_at or any(one.done_at is None and own > one.due_at + _LATE for one in self.steps)


_LATE: Final = timedelta(days=1)


def schedule(policy: Retention, *, requested_at: datetime) -> tuple[Step, ...]:
    """Return the dated steps of a request, the halt done."""
    days = policy.erasure
    after = {
        "halt": 0,
        "scores": days.scores_after_days,
        "lake": days.lake_after_days,
        "key": days.key_after_days,
        "backups": days.key_after_days + policy.backups.keep_days,
    }
    return tuple(Step(step=name, due_at=requested_at + timedelta(days=after[name])) for name in STEPS)


def certified(erasure: Erasure, policy: Retention, *, completed_at: datetime) -> bytes:
    """Return the certificate's bytes, which are signed: the JCS form of what was done."""
    return rfc8785.dumps(
        {
            "schema": SCHEMA,
            "erasure_id": erasure.erasure_id,
            "retailer_ids": list(erasure.retailer_ids),
            "requested_at": _stamp(erasure.requested_at),
            "due_at": _stamp(erasure.due_at),
            "completed_at": _stamp(completed_at),
            "in_time": completed_at <= erasure.due_at,
            "reason": erasure.reason,
            "policy_version": erasure.policy_version,
            "backups_kept_days": policy.backups.keep_days,
            "went": [
                {
                    "step": one.step,
                    "what": _SAYS[one.step],
                    "done_at": _stamp(one.done_at or completed_at),
                    "facts": one.facts,
                }
                for one in erasure.steps
            ],
            "stays": [{"what": one.what, "years": one.years, "why": one.why} for one in policy.stays],
        }
    )


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
