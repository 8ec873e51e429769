"""How the staff sign-in says no: one line a refusal. The admin surface adds its own to these."""

from altcredit.api.refusals import Error, Errors
from altcredit.api.staff.credentials import OriginForeign
from altcredit.api.staff.forms import FormMalformed
from altcredit.engine import identity
from altcredit.runtime.refusal import Refusal

_SSO = Error(401, "SSO_REFUSED", "Single sign-on did not prove who you are. Sign in again.")
_SIGN_IN = Error(401, "SIGN_IN_UNKNOWN", "No sign-in is under way here, or it took too long. Sign in again.")
_NOT_SET_UP = Error(503, "SIGN_IN_NOT_SET_UP", "Staff sign-in is not set up, or its files cannot be read.")

ERRORS: dict[type[Refusal], Error] = {
    # 401: who are you
    identity.SessionMissing: Error(401, "SESSION_MISSING", "Sign in: no session is shown."),
    identity.SessionInvalid: Error(401, "SESSION_INVALID", "Sign in again: the session is not valid."),
    identity.SessionExpired: Error(401, "SESSION_EXPIRED", "Sign in again: the session has ended."),
    identity.SamlRefused: _SSO,
    identity.SignInUnknown: _SIGN_IN,
    identity.KeyRefused: Error(401, "KEY_REFUSED", "The key does not prove what was asked, or is of no accepted make."),
    # 403: you may not
    identity.NotStaff: Error(403, "NOT_STAFF", "You are not, or no longer, a member of staff here."),
    identity.KeyMissing: Error(403, "KEY_MISSING", "You have no key yet: a ticket lets you enrol one."),
    identity.TicketInvalid: Error(403, "TICKET_INVALID", "The ticket is not for you, was used, or has expired."),
    identity.PermissionDenied: Error(403, "PERMISSION_DENIED", "Your roles do not allow this."),
    identity.AssertionMissing: Error(403, "ASSERTION_MISSING", "This needs your hardware key, over this request."),
    identity.AssertionInvalid: Error(
        403, "ASSERTION_INVALID", "The key's assertion is not for this request, or was used before."
    ),
    identity.AssertionStale: Error(403, "ASSERTION_STALE", "The key's assertion is more than a minute old."),
    identity.OwnChange: Error(403, "OWN_CHANGE", "Nobody changes their own roles, status or keys."),
    identity.SecondPersonNeeded: Error(403, "SECOND_PERSON_NEEDED", "You have signed; somebody else must sign too."),
    OriginForeign: Error(403, "ORIGIN_FOREIGN", "The request comes from a page of another site."),
    # 400, 404, 409: it does not fit
    FormMalformed: Error(400, "INVALID_REQUEST", "The form lacks a field, or has one twice."),
    identity.RolesInvalid: Error(400, "ROLES_INVALID", "Roles are one or more of those that exist."),
    identity.NameIdInvalid: Error(400, "NAME_ID_INVALID", "A NameID is 1 to 256 visible characters."),
    identity.StaffUnknown: Error(404, "STAFF_UNKNOWN", "There is no such member of staff."),
    identity.StaffKeyUnknown: Error(404, "KEY_UNKNOWN", "The person has no such key."),
    identity.StaffTaken: Error(409, "STAFF_EXISTS", "Somebody with this NameID is a member of staff already."),
    identity.LastAdmin: Error(409, "LAST_ADMIN", "There would be no administrator left."),
    identity.KeyTaken: Error(409, "KEY_TAKEN", "This key is enrolled already."),
    # 503: not now
    identity.SignInNotSetUp: _NOT_SET_UP,
    identity.MetadataInvalid: _NOT_SET_UP,
    identity.KeyRootsInvalid: _NOT_SET_UP,
}
ERROR_TABLE = Errors(ERRORS, languages=("en",), challenge="Bearer")
