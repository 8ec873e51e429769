import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from altcredit.runtime.refusal import Refusal

Kind = Literal["lender", "service"]
Status = Literal["active", "suspended"]

SCOPES = frozenset({"consent:grant", "consent:check", "consent:revoke"})
MINUTE_LIMIT = 100  # section 09: requests a minute, and a day, per lender
DAY_LIMIT = 5_000

_ID = re.compile(r"(lender|svc|dist|partner)_[A-Za-z0-9]{1,60}")


class IdInvalid(Refusal):
    """A chosen id is not of the form prefix_ and letters and digits (contract A1)."""


class IdTaken(Refusal):
    """A chosen id is in use already."""


class ScopeUnknown(Refusal):
    """There is no such scope."""


class LimitInvalid(Refusal):
    """A limit is negative."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """
    A lender or a service: whoever fetches tokens (section 02).

    ``minute_limit`` and ``day_limit`` count requests; ``max_limit_inr`` is the lender's own cap on a recommended
    limit (contract A14), None for none. Services have scopes (contract C6), lenders have none.
    """

    client_id: str
    kind: Kind
    name: str
    scopes: tuple[str, ...] = ()
    status: Status = "active"
    minute_limit: int = MINUTE_LIMIT
    day_limit: int = DAY_LIMIT
    max_limit_inr: int | None = None
    created_at: datetime


class IssuedClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client's id and its secret (64 hex digits), which is shown this once."""

    client_id: str
    client_secret: str


def checked_id(chosen: str, *, prefix: str) -> str:
    """Return the id if it has the prefix and the form of ids. Raises IdInvalid."""
    if not _ID.fullmatch(chosen) or not chosen.startswith(prefix + "_"):
        raise IdInvalid(f"an id here is {prefix}_ followed by 1 to 60 letters and digits")
    return chosen


def checked_scopes(asked: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes, sorted and without repetition. Raises ScopeUnknown."""
    scopes = set(asked)
    if not scopes <= SCOPES:
        raise ScopeUnknown(f"unknown scope: {', '.join(sorted(scopes - SCOPES))}")
    return tuple(sorted(scopes))


def check_limits(*limits: int | None) -> None:
    """Raise LimitInvalid for a negative limit, or one that is no 31-bit number; None is no limit."""
    for limit in limits:
        if limit is not None and not 0 <= limit < 2**31:
            raise LimitInvalid("a limit is a whole number from 0 to 2147483647")


class ClientInactive(Refusal):
    """The token is genuine, but its client is suspended or the token was withdrawn."""
