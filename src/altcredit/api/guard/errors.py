"""How GUARD says no: one line a refusal (contract U1, U12)."""

from altcredit.api.refusals import Error
from altcredit.engine import delivery, identity, underwriting
from altcredit.runtime.idempotency import IdempotencyConflict
from altcredit.runtime.refusal import Refusal

ERRORS: dict[type[Refusal], Error] = {
    # One answer for an unknown token, a revoked one, a suspended partner and an address that is not in the list.
    identity.PartnerNotAuthorized: Error(
        401,
        "NOT_AUTHORIZED",
        "Token or address is not authorised.",
        pt="Token ou endereço não autorizado.",
    ),
    underwriting.RequestUnknown: Error(
        404, "REQUEST_UNKNOWN", "There is no such underwriting.", pt="Esta análise não existe."
    ),
    delivery.DeliveryUnknown: Error(
        404, "DELIVERY_UNKNOWN", "There is no such callback.", pt="Este callback não existe."
    ),
    underwriting.NotReviewable: Error(
        409,
        "NOT_REVIEWABLE",
        "Only a finished underwriting that was not approved can be reviewed, once at a time.",
        pt="Somente uma análise concluída e não aprovada pode ser revista, uma vez de cada vez.",
    ),
    IdempotencyConflict: Error(
        409,
        "IDEMPOTENCY_CONFLICT",
        "This Idempotency-Key was used for another request.",
        pt="Esta Idempotency-Key já foi usada em outra requisição.",
    ),
}
