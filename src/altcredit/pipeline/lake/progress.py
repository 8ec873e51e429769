"""How long runs tell how far they are."""

from collections.abc import Callable

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """``rows`` of ``total`` rows of a stage are done, at ``rate`` rows a second since the stage began (or resumed)."""

    stage: str
    rows: int
    total: int
    rate: float


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report nothing."""
