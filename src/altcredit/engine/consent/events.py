"""What consent announces."""

from typing import ClassVar

from altcredit.runtime.outbox import Fact


class ConsentGranted(Fact, frozen=True, kw_only=True):
    """A retailer consented to lenders' use of its ledger (`lenders` is empty for consents to the platform itself)."""

    TYPE: ClassVar = "consent.granted"
    KEY: ClassVar = "retailer_id"

    consent_id: str
    retailer_id: str
    lenders: tuple[str, ...]
    purpose: str
    channel: str


class ConsentRevoked(Fact, frozen=True, kw_only=True):
    """A consent ended; reads under it are refused from now on."""

    TYPE: ClassVar = "consent.revoked"
    KEY: ClassVar = "retailer_id"

    consent_id: str
    retailer_id: str
    lenders: tuple[str, ...]
    reason: str
