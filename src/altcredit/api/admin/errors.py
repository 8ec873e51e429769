"""How the Admin API says no: one line a refusal. Staff work in English."""

from altcredit.api.refusals import Error
from altcredit.api.staff.errors import ERRORS as OF_STAFF
from altcredit.engine import compliance, consent, delivery, grievances, identity, registry, retailers, underwriting
from altcredit.runtime.certificates import CsrInvalid
from altcredit.runtime.refusal import Refusal

ERRORS: dict[type[Refusal], Error] = {
    # 401 and 403: those that every route of staff may meet
    **OF_STAFF,
    # 400: it does not fit
    identity.IdInvalid: Error(400, "INVALID_ID", "The id has not the form of such an id."),
    identity.LimitInvalid: Error(400, "INVALID_LIMIT", "A limit is a whole number from 0 to 2147483647."),
    identity.ScopeUnknown: Error(400, "SCOPE_UNKNOWN", "There is no such scope."),
    identity.AddressesInvalid: Error(400, "INVALID_ADDRESSES", "Addresses are 1 to 256 networks in CIDR notation."),
    CsrInvalid: Error(400, "INVALID_CSR", "The CSR is unreadable, not signed by its own key, or its key is too weak."),
    delivery.EndpointRefused: Error(
        400, "CALLBACK_REFUSED", "Callbacks may not go there, or the test event was not answered with 2xx."
    ),
    compliance.BreachInvalid: Error(400, "BREACH_INVALID", "The breach cannot be as described; see the details."),
    compliance.PeriodInvalid: Error(400, "INVALID_PERIOD", "The period ends before it begins."),
    underwriting.VerdictImpossible: Error(400, "VERDICT_IMPOSSIBLE", "This verdict does not fit this application."),
    # 404: there is none
    identity.DistributorUnknown: Error(404, "DISTRIBUTOR_UNKNOWN", "There is no such distributor."),
    identity.CredentialUnknown: Error(404, "CREDENTIAL_UNKNOWN", "The distributor has no such live credential."),
    identity.ClientUnknown: Error(404, "CLIENT_UNKNOWN", "There is no such client."),
    identity.PartnerUnknown: Error(404, "PARTNER_UNKNOWN", "There is no such partner."),
    registry.ModelUnknown: Error(404, "MODEL_UNKNOWN", "There is no such model."),
    consent.ConsentUnknown: Error(404, "CONSENT_UNKNOWN", "There is no such consent."),
    underwriting.ReviewUnknown: Error(404, "REVIEW_UNKNOWN", "There is no such open review."),
    grievances.CaseUnknown: Error(404, "GRIEVANCE_UNKNOWN", "There is no such grievance."),
    retailers.RetailerUnknown: Error(404, "RETAILER_UNKNOWN", "There is no such retailer."),
    compliance.ErasureUnknown: Error(404, "ERASURE_UNKNOWN", "There is no erasure of such a retailer."),
    compliance.RetailerErased: Error(404, "RETAILER_ERASED", "The retailer is erased, or being erased."),
    delivery.EndpointMissing: Error(404, "CALLBACK_MISSING", "The partner has no callback URL."),
    compliance.BreachUnknown: Error(404, "BREACH_UNKNOWN", "There is no such breach."),
    # 409: not as things are
    grievances.CaseClosed: Error(409, "GRIEVANCE_CLOSED", "The grievance is resolved."),
    grievances.NotUnderReview: Error(409, "NOT_UNDER_REVIEW", "Take the case up first: a person must review it."),
    grievances.RescorePending: Error(409, "RESCORE_PENDING", "The correction has not reached a new score yet."),
    compliance.BreachClosed: Error(409, "BREACH_CLOSED", "The breach is closed."),
    compliance.BreachNotNotified: Error(409, "NOT_NOTIFIED", "Tell the Board and the people concerned first."),
    identity.IdTaken: Error(409, "ID_TAKEN", "The id is in use already."),
    delivery.SecretsMissing: Error(409, "SECRETS_MISSING", "The partner has no webhook secret yet."),
    registry.AlreadyChampion: Error(409, "ALREADY_CHAMPION", "The model is the champion already."),
    registry.OriginUnproven: Error(409, "ORIGIN_UNPROVEN", "The model did not learn from consented ledgers."),
    registry.NotCompared: Error(409, "NOT_COMPARED", "The model was not compared with the champion of now."),
    registry.GateClosed: Error(409, "GATE_CLOSED", "The model does not show what a champion must; see the details."),
    registry.NothingBefore: Error(409, "NOTHING_BEFORE", "There is no earlier champion to roll back to."),
}
