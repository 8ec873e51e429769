"""The templates to have approved at WhatsApp, in the form in which its API creates them (``…/message_templates``)."""

from typing import Any, Final

from altcredit.engine.messaging.sign_in import CODE_LASTS
from altcredit.engine.messaging.wording import TEXTS, Language, Wording, numbered, places

LANGUAGES: Final[tuple[Language, ...]] = ("en", "hi")
# WhatsApp's reviewers ask for an example of each value.
_EXAMPLES: Final = {
    "distributor": "Sharma Traders",
    "explanation": "700 → 724",
    "fiduciary": "AltCredit",
    "grievance_id": "grv_5d1e8a2f4c6d8e0b",
    "note": "The distributor has been asked for the missing bills.",
    "resolution": "The missing payments have been added.",
}


def definitions() -> list[dict[str, Any]]:
    """Return every template in every language: name, language, category and components."""
    named = [text for text in TEXTS.values() if text.template]
    return [_one_time_code(text, of) if text.copies else _utility(text, of) for text in named for of in LANGUAGES]


def _utility(text: Wording, language: Language) -> dict[str, Any]:
    body = text.of(language)
    examples = [_EXAMPLES[place] for place in places(body)]
    components: list[dict[str, Any]] = [
        {"type": "BODY", "text": numbered(body), "example": {"body_text": [examples]}},
    ]
    if text.buttons:
        buttons = [{"type": "QUICK_REPLY", "text": TEXTS[key].of(language)} for key in text.buttons]
        components.append({"type": "BUTTONS", "buttons": buttons})
    return {"name": text.template, "language": language, "category": "UTILITY", "components": components}


def _one_time_code(text: Wording, language: Language) -> dict[str, Any]:
    """Codes go by WhatsApp's own wording: category AUTHENTICATION, with a button that copies the code."""
    lasts = int(CODE_LASTS.total_seconds())
    (button,) = (TEXTS[key].of(language) for key in text.buttons)
    return {
        "name": text.template,
        "language": language,
        "category": "AUTHENTICATION",
        "message_send_ttl_seconds": lasts,
        "components": [
            {"type": "BODY", "add_security_recommendation": True},
            {"type": "FOOTER", "code_expiration_minutes": lasts // 60},
            {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": button}]},
        ],
    }
