"""What scoring announces."""

from typing import ClassVar

from altcredit.runtime.outbox import Fact


class ScoreUpdated(Fact, frozen=True, kw_only=True):
    """Retailers were scored anew, `count` of them at once; `score_id` is the first of theirs."""

    TYPE: ClassVar = "score.updated"
    KEY: ClassVar = "score_id"

    score_id: str
    count: int
    score_version: str
