"""What can be done with consent: grant, revoke, check, show, and ask what may be used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from altcredit.engine import audit, identity, retailers
from altcredit.engine.consent import store
from altcredit.engine.consent.events import ConsentGranted, ConsentRevoked
from altcredit.engine.consent.ledger import (
    HALT_WITHIN,
    PLATFORM,
    VALIDITY,
    Active,
    Consent,
    live,
    signed_bytes,
    with_grant,
    without,
)
from altcredit.engine.consent.notice import MODEL_DEVELOPMENT, Fiduciary, Language, Notice, render
from altcredit.runtime import outbox
from altcredit.runtime.db import Connection
from altcredit.runtime.ids import new_id, new_secret
from altcredit.runtime.keys import Keyring
from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.signing import SigningKeys

SEAL: Final = "consent.business"


class NotGranted(Refusal):
    """No live consent covers this lender, or there is no such retailer; the caller cannot tell which."""


class ScopeMismatch(Refusal):
    """A live consent covers this lender, but for another purpose."""


class RetailerUnknown(Refusal):
    """No shop has this phone at this distributor."""


class RetailerAmbiguous(Refusal):
    """Several shops of this distributor share the phone; name one by ``retailer_ref``."""


class LenderUnknown(Refusal):
    """``lender_scope`` names somebody who is not an active lender here."""


class ConsentUnknown(Refusal):
    """There is no such consent."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop is asked to agree to. ``distributor``: the name of the one through whom it is asked."""

    retailer_id: str
    lender_scope: tuple[str, ...]
    distributor_ids: tuple[str, ...]
    purpose: str
    notice: Notice
    distributor: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The new consent and the proof of it. ``signature`` is DER (ECDSA P-256 over the JCS record)."""

    consent: Consent
    signature: bytes
    key_id: str


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """An ended consent; reads are refused from ``revoked_at`` on, all processing ends by ``halt_by`` at the latest."""

    consent_id: str
    revoked_at: datetime
    halt_by: datetime


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A consent's signed bytes with what is needed to verify them."""

    record: bytes
    signature: bytes
    key_id: str
    revoked_at: datetime | None


def head_key(keyring: Keyring, retailer_id: str, lender_id: str) -> bytes:
    """Return the key of the one row that says what a lender may do with a retailer."""
    return keyring.hmac("consent-head", retailer_id, lender_id)


def gst_head_key(keyring: Keyring, gstin: str, lender_id: str) -> bytes:
    """Return the key of the row that lets a lender find a retailer by GSTIN."""
    return keyring.hmac("consent-gst-head", gstin, lender_id)


async def grant(
    db: Connection,
    *,
    keyring: Keyring,
    signing: SigningKeys,
    fiduciary: Fiduciary,
    actor: str,
    phone_hash: str,
    distributor_id: str,
    retailer_ref: str | None,
    lender_scope: Sequence[str],
    purpose: str,
    channel: str,
    message_id: str,
    language: Language,
    now: datetime,
) -> Granted:
    """
    Record a shop's consent: an immutable signed record that supersedes the one of the same lender and purpose.

    API-ALTSCORE-001, section 04; contract C1 to C3.

    :raises RetailerUnknown: no shop has this phone at this distributor.
    :raises RetailerAmbiguous: several have.
    :raises LenderUnknown: a named lender is not an active client.
    :raises NoticeTooLong: the notice names more than a message holds.
    :raises NoticeNotSetUp: the operator has not said who asks.
    """
    shown = await draft(
        db,
        keyring=keyring,
        fiduciary=fiduciary,
        phone_hash=phone_hash,
        distributor_id=distributor_id,
        retailer_ref=retailer_ref,
        lender_scope=lender_scope,
        purpose=purpose,
        language=language,
    )
    return await agree(
        db,
        keyring=keyring,
        signing=signing,
        actor=actor,
        draft=shown,
        channel=channel,
        message_id=message_id,
        now=now,
    )


async def draft(
    db: Connection,
    *,
    keyring: Keyring,
    fiduciary: Fiduciary,
    phone_hash: str,
    distributor_id: str,
    retailer_ref: str | None,
    lender_scope: Sequence[str],
    purpose: str,
    language: Language,
) -> Draft:
    """
    Return what a shop would agree to: the notice to show, word for word, and what it names (contract C1, C2).

    Raises as :func:`grant`.
    """
    lenders = await _lender_names(db, lender_scope)
    retailer_id = await _shop(db, keyring, distributor_id, phone_hash, retailer_ref)
    linked = tuple(await retailers.distributors_of_phone(db, keyring=keyring, phone_hash=phone_hash))
    known = await identity.distributor_names(db, distributor_ids=linked)
    distributor = known.get(distributor_id, distributor_id)
    notice = render(
        language=language,
        fiduciary=fiduciary,
        business=(await retailers.profile(db, keyring=keyring, retailer_id=retailer_id)).name,
        distributor=distributor,
        distributors=[known.get(one, one) for one in linked],
        lenders=lenders,
        purpose=purpose,
        days=VALIDITY.days,
    )
    return Draft(
        retailer_id=retailer_id,
        lender_scope=tuple(lender_scope),
        distributor_ids=linked,
        purpose=purpose,
        notice=notice,
        distributor=distributor,
    )


async def agree(
    db: Connection,
    *,
    keyring: Keyring,
    signing: SigningKeys,
    actor: str,
    draft: Draft,
    channel: str,
    message_id: str,
    now: datetime,
) -> Granted:
    """
    Record that a shop agreed to what it was shown; the record is bound to that very text and names nobody beyond it.

    The shop's own name is not in the record: a salted hash of it is, and what opens that is sealed beside it, for the
    shop and until its erasure (decision 0011).

    :raises LenderUnknown: a named lender is not an active client any more.
    :raises retailers.RetailerUnknown: the shop is no more.
    """
    await _lender_names(db, draft.lender_scope)
    retailer_id = (await retailers.profile(db, keyring=keyring, retailer_id=draft.retailer_id)).retailer_id
    await store.serialise(db, retailer_id)
    lender_scope, purpose = draft.lender_scope, draft.purpose
    heads = tuple(lender_scope) or (PLATFORM,)
    before = {lender: await store.head(db, head_key(keyring, retailer_id, lender)) for lender in heads}
    superseded = {one.consent_id for active in before.values() for one in active if one.purpose == purpose}
    consent = Consent(
        consent_id=new_id("cns"),
        retailer_id=retailer_id,
        lender_scope=tuple(lender_scope),
        distributor_ids=draft.distributor_ids,
        purpose=purpose,
        channel=channel,
        message_id=message_id,
        granted_at=now.replace(microsecond=0),
        expires_at=now.replace(microsecond=0) + VALIDITY,
        notice=draft.notice,
        salt=new_secret(),
        supersedes=tuple(sorted(superseded)),
    )
    record = signed_bytes(consent)
    key_id, signature = signing.sign("consent", record)
    opening = consent.disclosure
    sealed = None if opening is None else keyring.seal(opening.encoded.encode(), owner=consent.consent_id, purpose=SEAL)
    await store.insert(db, consent, record, signature, key_id, sealed_business=sealed, granted_at=now)
    grant_ = Active(purpose=purpose, consent_id=consent.consent_id, expires_at=consent.expires_at)
    await _put(db, keyring, retailer_id, {lender: with_grant(active, grant_) for lender, active in before.items()})
    details = {"retailer_id": retailer_id, "lenders": list(lender_scope), "purpose": purpose, "channel": channel}
    await audit.append(db, actor=actor, action="consent.granted", subject=consent.consent_id, details=details, now=now)
    fact = ConsentGranted(
        consent_id=consent.consent_id,
        retailer_id=retailer_id,
        lenders=tuple(lender_scope),
        purpose=purpose,
        channel=channel,
    )
    await outbox.publish(db, fact, now=now)
    return Granted(consent=consent, signature=signature, key_id=key_id)


async def revoke(
    db: Connection,
    *,
    keyring: Keyring,
    actor: str,
    consent_id: str,
    reason: str,
    message_id: str | None,
    now: datetime,
) -> Revoked:
    """
    End a consent and with it its chain: the next read is refused. Revoking twice changes nothing.

    API-ALTSCORE-001, section 04; contract C3, C4.

    :raises ConsentUnknown: there is no such consent.
    """
    row = await store.find(db, consent_id, lock=True)
    if row is None:
        raise ConsentUnknown
    if row["revoked_at"] is not None:
        return Revoked(consent_id=consent_id, revoked_at=row["revoked_at"], halt_by=row["revoked_at"] + HALT_WITHIN)
    retailer_id = (await retailers.profile(db, keyring=keyring, retailer_id=row["retailer_id"])).retailer_id
    await store.serialise(db, retailer_id)
    left = {
        lender: without(await store.head(db, head_key(keyring, retailer_id, lender)), row["purpose"])
        for lender in row["lender_ids"] or [PLATFORM]
    }
    await _put(db, keyring, retailer_id, left)
    details = {"reason": reason, "wa_message_id": message_id, "actor": actor}
    await store.revoke(db, consent_id, now, msgspec.json.encode(details).decode())
    await audit.append(db, actor=actor, action="consent.revoked", subject=consent_id, details=details, now=now)
    lenders = tuple(row["lender_ids"])
    fact = ConsentRevoked(consent_id=consent_id, retailer_id=retailer_id, lenders=lenders, reason=reason)
    await outbox.publish(db, fact, now=now)
    return Revoked(consent_id=consent_id, revoked_at=now, halt_by=now + HALT_WITHIN)


async def check(db: Connection, *, keyring: Keyring, retailer_id: str, lender_id: str, now: datetime) -> Active | None:
    """Return the grant that lets this lender in longest, or nothing. API-ALTSCORE-001, section 04."""
    active = await store.head(db, head_key(keyring, retailer_id, lender_id))
    open_ = [one for one in active if one.expires_at > now]
    return max(open_, key=lambda one: one.expires_at, default=None)


async def show(db: Connection, *, consent_id: str) -> Exported:
    """
    Return a consent's signed record (contract, "Names that others rely on").

    :raises ConsentUnknown: there is no such consent.
    """
    row = await store.find(db, consent_id)
    if row is None:
        raise ConsentUnknown
    return Exported(
        record=row["record"], signature=row["signature"], key_id=row["key_id"], revoked_at=row["revoked_at"]
    )


async def scorable(
    db: Connection, *, now: datetime, retailer_ids: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return who may be scored now, each with the distributors whose ledgers may be used (contract C2)."""
    return await store.scope(db, now=now, model_development=False, retailer_ids=retailer_ids)


async def trainable(db: Connection, *, now: datetime) -> dict[str, tuple[str, ...]]:
    """Return whose ledgers may be used to develop models, each with the distributors that the consent names."""
    return await store.scope(db, now=now, model_development=True, retailer_ids=None)


async def relink(db: Connection, *, keyring: Keyring, retailer_id: str) -> None:
    """
    Make the look-up rows of a shop anew from the ledger, by what is now known of its identity.

    Called when a GSTIN becomes known, when two ids turn out to be one shop, and when they are parted again: every id
    and GSTIN of the shop then answers alike, and none that is no longer its own.
    """
    shop = await retailers.profile(db, keyring=keyring, retailer_id=retailer_id)
    await store.serialise(db, shop.retailer_id)
    await store.clear_heads(db, shop.ids)
    await _put(db, keyring, shop.retailer_id, live(await store.entries(db, shop.ids)))


async def _put(db: Connection, keyring: Keyring, retailer_id: str, live: dict[str, tuple[Active, ...]]) -> None:
    shop = await retailers.profile(db, keyring=keyring, retailer_id=retailer_id)
    for lender, active in live.items():
        for one in shop.ids:
            key = head_key(keyring, one, lender)
            await store.put_head(db, key, retailer_id=retailer_id, lender_id=lender, requested_id=one, active=active)
        latest = max((one.expires_at for one in active if one.purpose != MODEL_DEVELOPMENT), default=None)
        for gstin in shop.gstins if lender != PLATFORM else ():
            await store.put_gst_head(
                db, gst_head_key(keyring, gstin, lender), retailer_id=retailer_id, expires_at=latest
            )


async def _lender_names(db: Connection, lender_scope: Sequence[str]) -> list[str]:
    known = await identity.lender_names(db, lender_ids=lender_scope)
    unknown = [
        Detail(f"$.lender_scope[{index}]", "is not an active lender")
        for index, lender in enumerate(lender_scope)
        if lender not in known
    ]
    if unknown:
        raise LenderUnknown(details=tuple(unknown))
    return [known[lender] for lender in lender_scope]


async def _shop(
    db: Connection, keyring: Keyring, distributor_id: str, phone_hash: str, retailer_ref: str | None
) -> str:
    found = await retailers.by_phone(db, keyring=keyring, distributor_id=distributor_id, phone_hash=phone_hash)
    if len(found) > 1 and retailer_ref is not None:
        named = await retailers.by_ref(db, keyring=keyring, distributor_id=distributor_id, ref=retailer_ref)
        found = [one for one in found if one == named]
    if not found:
        raise RetailerUnknown
    if len(found) > 1:
        raise RetailerAmbiguous(details=(Detail("$.retailer_ref", f"{len(found)} shops share this phone"),))
    return found[0]
