"""A question to a source as it is kept, and what an application learns from it."""

from datetime import datetime
from typing import Any, Literal

import msgspec

State = Literal["asked", "answered", "failed"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an application has of one source.

    ``copied``: a valid answer of an earlier application was used, at no price. ``in_doubt``: the source may have been
    reached without its answer having reached us. Where the question was put again under its key and answered, it was
    paid once; where it failed, ``price_centavos`` is what the source may bill. ``problem`` says why there is no answer
    and holds nothing personal.
    """

    state: Literal["answered", "failed", "not_asked"]
    answer: Any = None
    price_centavos: int = 0
    copied: bool = False
    in_doubt: bool = False
    problem: str | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether its price may be billed or not: the source may have done the work, and no answer came of it."""
        return self.in_doubt and self.state == "failed"


class Looking(msgspec.Struct, frozen=True, kw_only=True):
    """What an application wants to know of its own questions, and of the same ones that others put."""

    request_id: str
    partner_id: str
    question_hashes: tuple[bytes, ...]
    now: datetime


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A question about to be put, or the copy of an answer that makes it needless."""

    query_id: str
    request_id: str
    partner_id: str
    subject_hash: bytes
    question_hash: bytes
    source: str
    asked_at: datetime
    copied_from: str | None = None
    valid_until: datetime | None = None
    sealed: bytes | None = None


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a question."""

    query_id: str
    state: State
    price_centavos: int
    in_doubt: bool
    tries: int
    problem: str | None
    finished_at: datetime
    valid_until: datetime | None
    sealed: bytes | None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A question as the table has it, with its sealed answer."""

    query_id: str
    request_id: str
    source: str
    state: State
    price_centavos: int
    in_doubt: bool
    problem: str | None
    copied_from: str | None
    valid_until: datetime | None
    sealed: bytes | None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question of an application, without its answer."""

    query_id: str
    source: str
    state: State
    price_centavos: int
    copied_from: str | None
    in_doubt: bool
    tries: int
    problem: str | None
    asked_at: datetime
    finished_at: datetime | None
    superseded_at: datetime | None
    """When a person had a question that had failed put anew: another one has taken its place."""


class SourceCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one source was asked and cost over a time."""

    source: str
    asked: int
    answered: int
    failed: int
    copied: int
    in_doubt: int
    retries: int
    """Calls beyond the first of each question."""
    cost_centavos: int
    """What was answered, and so is billed."""
    in_doubt_centavos: int
    """What may be billed beside that: failed questions that the source may have worked on."""
