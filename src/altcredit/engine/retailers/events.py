"""What the register of retailers announces."""

from typing import ClassVar

from altcredit.runtime.outbox import Fact


class RetailerLinked(Fact, frozen=True, kw_only=True):
    """A shop that was known without a GSTIN has one now."""

    TYPE: ClassVar = "retailer.linked"
    KEY: ClassVar = "retailer_id"

    retailer_id: str


class RetailerMerged(Fact, frozen=True, kw_only=True):
    """Two ids turned out to be one shop: `retailer_id` answers for both, `absorbed_id` keeps answering as its alias."""

    TYPE: ClassVar = "retailer.merged"
    KEY: ClassVar = "retailer_id"

    merge_id: int
    retailer_id: str
    absorbed_id: str
    evidence: str


class RetailerParted(Fact, frozen=True, kw_only=True):
    """A merge was undone: the two ids are two shops again."""

    TYPE: ClassVar = "retailer.parted"
    KEY: ClassVar = "retailer_id"

    merge_id: int
    retailer_id: str
    absorbed_id: str
