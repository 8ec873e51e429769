"""The consent notice: template, rendering, fingerprint (notice_v1, English and Hindi)."""

import hashlib
from collections.abc import Sequence
from string import Formatter
from typing import Literal

import msgspec

Language = Literal["en", "hi"]

VERSION = "notice-v1"

# A WhatsApp interactive body holds 1,024 characters; both texts stay below it with ordinary names.
_TEXT: dict[Language, str] = {
    "en": (
        "{fiduciary} asks your permission.\n"
        "DATA we will use: your bills, payments and returns with {distributors} (last 24 months), your GSTIN if any,"
        " and your mobile number in coded form.\n"
        "PURPOSE: to prepare a credit score for: {purpose}. Nothing else.\n"
        "WHO will see the score: {lenders}. They do not see your bills.\n"
        "VALID for {days} days. You may say no; your supply is not affected by your answer.\n"
        "WITHDRAW at any time, as easily as you agree: reply STOP. Scoring stops within 1 hour.\n"
        "YOUR RIGHTS: see, correct or erase your data, or raise a grievance."
        " You can also complain to the Data Protection Board."
    ),
    "hi": (
        "{fiduciary} आपकी अनुमति चाहता है।\n"
        "डेटा: {distributors} के साथ आपके बिल, भुगतान और माल वापसी (पिछले 24 महीने), GSTIN (यदि हो)"
        " और कोड रूप में आपका मोबाइल नंबर।\n"
        "उद्देश्य: {purpose} के लिए क्रेडिट स्कोर बनाना। इसके अलावा कुछ नहीं।\n"
        "स्कोर कौन देखेगा: {lenders}। वे आपके बिल नहीं देखेंगे।\n"
        "अवधि: {days} दिन। आप मना कर सकते हैं; इससे आपकी आपूर्ति पर असर नहीं पड़ेगा।\n"
        "वापस लेना: कभी भी, उतनी ही आसानी से – STOP लिखें। 1 घंटे में स्कोरिंग बंद हो जाएगी।\n"
        "आपके अधिकार: अपना डेटा देखना, सुधारना, मिटवाना या शिकायत करना। आप डेटा संरक्षण बोर्ड में भी शिकायत कर सकते हैं।"
    ),
}
_MODEL_DEVELOPMENT: dict[Language, str] = {
    "en": "May the coded data from your trade with {distributors} also help {fiduciary} to improve the score's model,"
    " for {days} days? Your score does not depend on it.",
    "hi": "क्या {distributors} के साथ आपके व्यापार का कोड रूप में डेटा {fiduciary} के स्कोर मॉडल को बेहतर बनाने में भी {days}"
    " दिन तक काम आ सकता है? आपका स्कोर इस पर निर्भर नहीं है।",
}

# Contract C2: training on a ledger needs this purpose, asked for by a line of its own.
MODEL_DEVELOPMENT = "model_development"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """The exact text that was shown, in one language."""

    version: str
    language: Language
    text: str

    @property
    def sha256(self) -> str:
        """Fingerprint of the text's UTF-8 bytes, lower-case hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def render(
    *,
    language: Language,
    fiduciary: str,
    distributors: Sequence[str],
    lenders: Sequence[str],
    purpose: str,
    days: int,
) -> Notice:
    """Return the notice for these parties; names are shown as given, joined by commas."""
    given = values(distributors=distributors, lenders=lenders, purpose=purpose, days=days)
    text = _template(language, purpose).format(fiduciary=fiduciary, **given)
    return Notice(version=VERSION, language=language, text=text)


def values(*, distributors: Sequence[str], lenders: Sequence[str], purpose: str, days: int) -> dict[str, str]:
    """Return what is filled in from grant to grant, by the name of its place."""
    return {
        "distributors": ", ".join(distributors),
        "purpose": purpose.replace("_", " "),
        "lenders": ", ".join(lenders),
        "days": str(days),
    }


def places(*, language: Language, purpose: str) -> tuple[str, ...]:
    """Return the names of the places of a notice, in the order in which they first occur in it."""
    named = [name for _, name, _, _ in Formatter().parse(_template(language, purpose)) if name and name != "fiduciary"]
    return tuple(dict.fromkeys(named))


def numbered(*, language: Language, fiduciary: str, purpose: str) -> str:
    """Return the notice with ``{{1}}``, ``{{2}}`` … at its places: the form in which WhatsApp approves templates."""
    given = {name: f"{{{{{at}}}}}" for at, name in enumerate(places(language=language, purpose=purpose), start=1)}
    return _template(language, purpose).format(fiduciary=fiduciary, **given)


def _template(language: Language, purpose: str) -> str:
    return (_MODEL_DEVELOPMENT if purpose == MODEL_DEVELOPMENT else _TEXT)[language]
