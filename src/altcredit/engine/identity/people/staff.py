from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from altcredit.engine.identity.client import Status
from altcredit.engine.identity.permissions import ROLES, Role
from altcredit.runtime.refusal import Refusal

SESSION_LIFETIME = timedelta(minutes=15)  # section 02: short-lived, non-renewable
ASSERTION_LIFETIME = timedelta(seconds=60)


class SessionMissing(Refusal):
    """No session is shown."""


class SessionInvalid(Refusal):
    """What is shown names no session that lives."""


class SessionExpired(Refusal):
    """The session's 15 minutes are over, it was ended, or the clock is no longer to be trusted with it."""


class PermissionDenied(Refusal):
    """The person's roles do not allow this."""


class AssertionMissing(Refusal):
    """This action needs a fresh assertion by the hardware key."""


class AssertionInvalid(Refusal):
    """The assertion is not by this person's key over this action and request, or was used before."""


class AssertionStale(Refusal):
    """The assertion was asked for more than a minute ago."""


class StaffUnknown(Refusal):
    """There is no such member of staff."""


class StaffTaken(Refusal):
    """Somebody with this NameID is a member of staff already."""


class RolesInvalid(Refusal):
    """A role is unknown, or none is named."""


class NameIdInvalid(Refusal):
    """A NameID is 1 to 256 visible characters."""


class SamlRefused(Refusal):
    """The identity provider's message is not one that is believed; the message says why, for the log."""


class MetadataInvalid(Refusal):
    """The file of the identity provider's metadata cannot be used; the message says why."""


class KeyRootsInvalid(Refusal):
    """The file of authenticators' roots cannot be used; the message says why."""


class KeyRefused(Refusal):
    """The key's answer does not prove what was asked."""


class SignInNotSetUp(Refusal):
    """No identity provider is named by the settings."""


class SignInUnknown(Refusal):
    """There is no such sign-in under way at this step: begin again."""


class NotStaff(Refusal):
    """The identity provider vouches for somebody who is not, or no longer, of the staff."""


class KeyMissing(Refusal):
    """The person has no key yet; a ticket lets them enrol one."""


class TicketInvalid(Refusal):
    """The ticket is not for this person, was used, or is older than it may be."""


class KeyTaken(Refusal):
    """The key is enrolled already."""


class AdminExists(Refusal):
    """There is an administrator with a key: everybody else is invited by them."""


class LastAdmin(Refusal):
    """Without this person there would be no active administrator."""


class OwnChange(Refusal):
    """Nobody changes their own roles, status or keys."""


class SecondPersonNeeded(Refusal):
    """The same person has asked for this already; another one has to agree."""


class StaffKeyUnknown(Refusal):
    """The person has no such live key."""


class StaffMember(msgspec.Struct, frozen=True, kw_only=True):
    """A person who works here. ``name_id`` is who they are to the identity provider."""

    staff_id: str
    name_id: str
    name: str
    roles: tuple[Role, ...]
    status: Status = "active"
    created_at: datetime


class StaffKey(msgspec.Struct, frozen=True, kw_only=True):
    """A person's hardware key; ``attested_by`` is the authority that vouched for its make."""

    key_id: str
    attested_by: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class StaffAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A member of staff with their keys, those that were revoked too."""

    staff_id: str
    name_id: str
    name: str
    roles: tuple[Role, ...]
    status: Status
    created_at: datetime
    keys: tuple[StaffKey, ...]


class StaffSession(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who signed in by single sign-on and hardware key; it ends at ``expires_at`` at the latest."""

    staff_id: str
    name_id: str
    roles: tuple[Role, ...]
    session_id: str
    signed_in_at: datetime
    expires_at: datetime


class IssuedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A new session and its token (``ses_`` and 64 hex digits), which is shown this once."""

    session: StaffSession
    token: str


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that a key has signed for one action on one request: what to write into the audit row."""

    key_id: str
    challenge: str
    request_sha256: str


def checked_roles(asked: Iterable[str]) -> tuple[Role, ...]:
    """Return the roles, in the order of the table and without repetition. Raises RolesInvalid."""
    chosen = set(asked)
    if not chosen or not chosen <= set(ROLES):
        raise RolesInvalid(f"roles are one or more of {', '.join(ROLES)}")
    return tuple(role for role in ROLES if role in chosen)


def checked_name_id(name_id: str) -> str:
    """Return the NameID if it could be one. Raises NameIdInvalid."""
    if not 1 <= len(name_id) <= 256 or not name_id.isprintable() or name_id != name_id.strip():
        raise NameIdInvalid("a NameID is 1 to 256 visible characters, as the identity provider sends it")
    return name_id
