"""
What a consent record is, and what follows from a chain of them (contract C2, C3).

A record is immutable. Its signed bytes are its JCS form (RFC 8785), so anybody can verify it with a public key and
standard tools.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
import rfc8785

from altcredit.engine.consent.notice import Disclosure, Notice

# Version 2: a notice's text may leave the shop's name out, to which `business_sha256` binds it.
SCHEMA = "altcredit.consent.v2"
VALIDITY = timedelta(days=365)
HALT_WITHIN = timedelta(hours=1)

# Stands for the platform itself in the head of a consent that names no lender (purpose model_development).
PLATFORM = "-"


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """One grant, as agreed to. Times are UTC."""

    consent_id: str
    retailer_id: str
    lender_scope: tuple[str, ...]
    distributor_ids: tuple[str, ...]
    purpose: str
    channel: str
    message_id: str
    granted_at: datetime
    expires_at: datetime
    notice: Notice
    salt: str
    """256 random bits that hide the shop's name in the signed record."""
    supersedes: tuple[str, ...] = ()

    @property
    def disclosure(self) -> Disclosure | None:
        """What opens the name that was shown; None where none was."""
        return None if self.notice.business is None else Disclosure(salt=self.salt, name=self.notice.business)

    @property
    def heads(self) -> tuple[str, ...]:
        """The lenders that the grant lets in, or the platform itself."""
        return self.lender_scope or (PLATFORM,)


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """The live grant of one purpose to one lender."""

    purpose: str
    consent_id: str
    expires_at: datetime


def signed_bytes(consent: Consent) -> bytes:
    """Return the bytes that are signed: the JCS form of the record. Of the shop's name they hold a salted hash."""
    notice = {
        "version": consent.notice.version,
        "language": consent.notice.language,
        "sha256": consent.notice.sha256,
        "text": consent.notice.text,
    }
    if consent.disclosure is not None:
        notice["business_sha256"] = consent.disclosure.sha256
    return rfc8785.dumps(
        {
            "schema": SCHEMA,
            "consent_id": consent.consent_id,
            "retailer_id": consent.retailer_id,
            "lender_scope": list(consent.lender_scope),
            "distributor_ids": list(consent.distributor_ids),
            "purpose": consent.purpose,
            "consent_channel": consent.channel,
            "wa_message_id": consent.message_id,
            "granted_at": timestamp(consent.granted_at),
            "expires_at": timestamp(consent.expires_at),
            "notice": notice,
            "supersedes": list(consent.supersedes),
        }
    )


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC with whole seconds, as the published examples have it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ledger as far as it decides what is live. ``granted_at`` is exact, to order grants by."""

    consent_id: str
    lender_ids: tuple[str, ...]
    purpose: str
    granted_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def live(entries: Iterable[Entry]) -> dict[str, tuple[Active, ...]]:
    """
    Return the live grants by lender (or the platform), from all that a shop ever agreed to.

    Of each lender and purpose the newest grant counts, unless any grant of that chain was revoked since (contract C3).
    Whether it has expired is for the reader to judge.
    """
    chains: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        for lender in entry.lender_ids or (PLATFORM,):
            chains.setdefault((lender, entry.purpose), []).append(entry)
    found: dict[str, tuple[Active, ...]] = {lender: () for lender, _ in chains}
    for (lender, purpose), chain in chains.items():
        newest = max(chain, key=lambda one: (one.granted_at, one.consent_id))
        if not any(one.revoked_at is not None and one.revoked_at >= newest.granted_at for one in chain):
            active = Active(purpose=purpose, consent_id=newest.consent_id, expires_at=newest.expires_at)
            found[lender] = (*found[lender], active)
    return found


def with_grant(active: Iterable[Active], grant: Active) -> tuple[Active, ...]:
    """Return the chain's live grants after another one: it supersedes the one of the same purpose."""
    return (*(one for one in active if one.purpose != grant.purpose), grant)


def without(active: Iterable[Active], purpose: str) -> tuple[Active, ...]:
    """Return the chain's live grants after a revocation: it ends the purpose, whichever grant is its newest."""
    return tuple(one for one in active if one.purpose != purpose)
