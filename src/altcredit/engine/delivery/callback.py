"""Callbacks and where they go, as partners and operators see them (contract U12)."""

from datetime import datetime
from typing import Literal

import msgspec

from altcredit.engine.delivery.retry import State

Kind = Literal["result", "failure", "review"]
EndpointState = Literal["active", "disabled"]

ANSWER_CHARACTERS = 2_048


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """
    A body to be delivered.

    ``withheld``: the first attempt counts as failed without being made, which is how the sandbox lets a partner see a
    retry (contract U8).
    """

    partner_id: str
    request_id: str
    kind: Kind
    body: bytes
    withheld: bool = False


class Attempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """
    One try: ``status`` of the receiver's answer, or the ``problem`` that kept it from coming.

    ``answer`` is the beginning of what the receiver said, as text that is safe to show (``shown``).
    """

    at: datetime
    status: int | None
    latency_ms: int
    problem: str | None = None
    answer: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken it (2xx)."""
        return self.status is not None and 200 <= self.status < 300


class Delivery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One callback. ``attempts`` are all of them, replays included, the oldest first."""

    id: str
    request_id: str
    webhook_id: str
    kind: Kind
    state: State
    created_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    attempts: tuple[Attempt, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Some deliveries, the newest first; ``cursor`` fetches the next ones, None: there are no more."""

    deliveries: tuple[Delivery, ...]
    cursor: str | None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """
    Where a partner's callbacks go.

    ``failing_since``: the last attempt failed; it is then sent one at a time, and nothing before ``resumes_at``.
    """

    partner_id: str
    url: str
    state: EndpointState
    verified_at: datetime
    failing_since: datetime | None = None
    resumes_at: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None


class IssuedSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What a partner verifies callbacks with: a shared secret, shown this once, and a public key; either suffices."""

    secret: str
    public_key: str


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, for an operator: counts, and the time of the oldest callback that has not arrived."""

    pending: int
    failed: int
    oldest_pending_at: datetime | None
    endpoints_failing: int
    endpoints_disabled: int


def shown(body: bytes) -> str:
    r"""
    Return the beginning of a receiver's answer as printable text of at most 2,048 characters.

    Bytes that are no UTF-8, and characters that do not print (controls, escapes, directions of writing), appear as
    ``\x1b``. Markup is left for whoever shows it to escape.
    """
    text = body[:ANSWER_CHARACTERS].decode("utf-8", "backslashreplace")
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return printable[:ANSWER_CHARACTERS]
