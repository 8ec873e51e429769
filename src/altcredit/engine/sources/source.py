"""What a data source is: a declaration, which ``client.py`` asks over HTTP and one test suite holds every source to."""

from datetime import timedelta
from typing import Any, Literal

import msgspec

Tier = Literal["screen", "full"]
Authorisation = Literal["scr", "positiveHistory", "openFinance"]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a source is asked about, and what the applicant allowed (references of authorisations by their name)."""

    cpf: str
    zip_code: str | None = None
    phone: str | None = None
    device_id: str | None = None
    authorisations: dict[str, str] = {}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """
    One source: what it costs, how long an answer stays valid, what it needs, and the form of its answer.

    ``asks`` lists the fields of a subject that are sent beside the CPF. Without the ``needs`` authorisation the source
    is not asked at all; ``extends`` is one that widens the question where it was given. ``unknown`` is the answer where
    the source does not know the person; None: not knowing the person is a failure of the source. Price, timeout and
    validity are defaults that a deployment sets in its file of sources.
    """

    name: str
    tier: Tier
    price_centavos: int
    timeout_seconds: float
    valid_for: timedelta
    answer: type[Any]
    asks: tuple[str, ...] = ()
    needs: Authorisation | None = None
    extends: Authorisation | None = None
    unknown: Any = None
