"""How a refusal becomes an answer (contract A3, U12): one table a product, one body for all."""

from collections.abc import Mapping
from typing import Any

import msgspec

from altcredit.api.contract import (
    BodyMalformed,
    BodyTooLarge,
    Call,
    Language,
    MediaTypeUnsupported,
    MethodNotAllowed,
    NotFound,
    Unavailable,
)
from altcredit.runtime.idempotency import IdempotencyConflict
from altcredit.runtime.quotas import RateLimitExceeded
from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.strict_json import Malformed

_encode = msgspec.json.Encoder().encode


class Error(msgspec.Struct, frozen=True):
    """Status, code and message of one kind of refusal, in the languages that its product speaks."""

    status: int
    code: str
    en: str
    hi: str = ""
    pt: str = ""

    def message(self, language: Language) -> str:
        return {"en": self.en, "hi": self.hi, "pt": self.pt}[language]


class ErrorContent(msgspec.Struct, frozen=True):
    """What went wrong: a stable code, a sentence in the language asked for, every offending field."""

    code: str
    message: str
    details: list[Detail]


class ErrorAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success; ``result`` is what an earlier, identical request achieved."""

    error: ErrorContent
    request_id: str
    result: dict[str, Any] | None = None


INTERNAL = Error(
    500, "INTERNAL_ERROR", "Unexpected server error.", "सर्वर में अनपेक्षित त्रुटि।", "Erro inesperado do servidor."
)
_MALFORMED = Error(
    400,
    "INVALID_REQUEST",
    "The request is malformed or lacks a field.",
    "अनुरोध अमान्य है या कोई फ़ील्ड नहीं है।",
    "A requisição está malformada ou falta um campo.",
)
COMMON: dict[type[Refusal], Error] = {
    BodyMalformed: _MALFORMED,
    Malformed: _MALFORMED,
    BodyTooLarge: Error(
        413,
        "PAYLOAD_TOO_LARGE",
        "The request body is too large.",
        "अनुरोध का आकार बहुत बड़ा है।",
        "O corpo da requisição é grande demais.",
    ),
    MediaTypeUnsupported: Error(
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        "Content-Type must be application/json.",
        "Content-Type application/json होना चाहिए।",
        "Content-Type deve ser application/json.",
    ),
    MethodNotAllowed: Error(
        405,
        "METHOD_NOT_ALLOWED",
        "The path does not know this method.",
        "इस पते पर यह विधि मान्य नहीं है।",
        "O caminho não aceita este método.",
    ),
    NotFound: Error(
        404, "NOT_FOUND", "There is nothing at this path.", "इस पते पर कुछ नहीं है।", "Não há nada neste caminho."
    ),
    IdempotencyConflict: Error(
        409,
        "IDEMPOTENCY_CONFLICT",
        "This X-Request-ID was used for another request.",
        "यह X-Request-ID किसी और अनुरोध के लिए प्रयोग हो चुका है।",
        "Este X-Request-ID já foi usado em outra requisição.",
    ),
    RateLimitExceeded: Error(
        429,
        "RATE_LIMIT_EXCEEDED",
        "The rate limit is used up.",
        "अनुरोधों की सीमा समाप्त हो गई है।",
        "O limite de requisições foi atingido.",
    ),
    Unavailable: Error(
        503,
        "SERVICE_UNAVAILABLE",
        "The service is temporarily unavailable.",
        "सेवा अभी उपलब्ध नहीं है।",
        "O serviço está temporariamente indisponível.",
    ),
}


class Errors:
    """The refusals that a surface knows, each with its answer in ``languages``; ``challenge`` is its 401's scheme."""

    def __init__(self, own: Mapping[type[Refusal], Error], *, languages: tuple[Language, ...], challenge: str) -> None:
        self.table = {**COMMON, **own}
        self.languages = languages
        self._challenge = (b"www-authenticate", f'{challenge} realm="altcredit"'.encode())

    def of(self, refusal: type[Refusal]) -> Error:
        """Return how ``refusal`` is answered; a subclass is answered as its nearest listed ancestor."""
        for kind in refusal.__mro__:
            error = self.table.get(kind)
            if error is not None:
                return error
        raise KeyError(f"{refusal.__name__} has no line in the table of errors")

    def answer(self, problem: Exception, call: Call) -> tuple[int, str, bytes, list[tuple[bytes, bytes]]]:
        """Return status, code, body and extra headers for what was raised."""
        if isinstance(problem, Refusal):
            error, details = self.of(type(problem)), problem.details
        else:
            error, details = INTERNAL, ()
        message = error.message(call.language)
        receipt = getattr(problem, "receipt", None)
        result = None if receipt is None else msgspec.to_builtins(receipt)
        body = _encode(ErrorAnswer(ErrorContent(error.code, message, list(details)), call.request_id, result))
        return error.status, error.code, body, self._headers(problem, call, error.status)

    def _headers(self, problem: Exception, call: Call, status: int) -> list[tuple[bytes, bytes]]:
        if isinstance(problem, RateLimitExceeded):
            wait = max(1, int((problem.allowance.reset - call.now).total_seconds()) + 1)
            return [(b"retry-after", b"%d" % wait)]
        if isinstance(problem, MethodNotAllowed):
            return [(b"allow", ", ".join(problem.allowed).encode())]
        if status == 503:
            return [(b"retry-after", b"30")]
        if status == 401:
            return [self._challenge]
        return []


def documented(error: Error) -> dict[str, Any]:
    """Return an example of the error's body for the OpenAPI document."""
    return {
        "error": {"code": error.code, "message": error.en, "details": []},
        "request_id": "req_a3f8c2d1b4e59607",
    }
