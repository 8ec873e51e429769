"""How long what GUARD keeps of a person is kept, as data (``retention.toml``)."""

from datetime import datetime, timedelta
from importlib.resources import files
from typing import Annotated, Final

import msgspec


class Keeping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many days something is kept, and why."""

    days: Annotated[int, msgspec.Meta(ge=1, le=36_525)]
    why: Annotated[str, msgspec.Meta(min_length=1)]

    def before(self, now: datetime) -> datetime:
        """Return the time before which nothing of it is kept."""
        return now - timedelta(days=self.days)


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole policy; ``retention.toml`` beside this module says what each is and why it is kept so long."""

    requests: Keeping
    features: Keeping
    reviews: Keeping
    answers: Keeping
    callbacks: Keeping


RETENTION: Final = msgspec.toml.decode(
    files("altcredit.engine.underwriting").joinpath("retention.toml").read_bytes(), type=Retention
)
