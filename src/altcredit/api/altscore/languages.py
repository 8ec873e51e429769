from typing import Literal

from altcredit.api.contract import Call, Language

LANGUAGES: tuple[Language, ...] = ("en", "hi")


def spoken(call: Call) -> Literal["en", "hi"]:
    """Return the language that the caller asked for, of those that AltScore speaks."""
    return "hi" if call.language == "hi" else "en"
