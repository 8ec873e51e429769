"""
The consent notice: its wordings (``notices.toml``), filled in truly, and fingerprinted.

What is shown greets the shop by its name; what is signed has ``BUSINESS`` there, and a salted hash of the name instead
(docs/decisions/0011-the-name-in-the-notice.md).
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Formatter
from typing import Final, Literal, Self

import msgspec
import rfc8785

from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.settings import Settings

Language = Literal["en", "hi"]
Kind = Literal["consent", "model_development"]

# Contract C2: training on a ledger needs this purpose, asked for by a question of its own.
MODEL_DEVELOPMENT: Final = "model_development"
BUSINESS: Final = "⟦business⟧"
"""Stands in the signed text where the shop was called by its name."""
MAX_LENGTH: Final = 1_024
"""What the body of a WhatsApp message with buttons holds, in characters; see ``length``."""
MAX_NAME: Final = 80
_NAMELESS: Final[Mapping[Language, str]] = {"en": "dear shopkeeper", "hi": "दुकानदार"}
_JOINERS: Final = "\u200c\u200d"  # Devanagari is written with them


class NoticeTooLong(Refusal):
    """The notice names so many parties that no message with buttons holds it."""


class NoticeNotSetUp(Refusal):
    """The operator has not said who asks for consent, and where rights are claimed: nobody may be asked."""


class Words(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text in both languages."""

    en: str
    hi: str

    def of(self, language: Language) -> str:
        return (self.hi if language == "hi" else self.en).lstrip("\n")


class Wordings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All wordings: of purposes by name, of notices by version and kind."""

    purposes: dict[str, Words]
    versions: dict[str, dict[Kind, Words]]


WORDINGS: Final = msgspec.toml.decode(
    files("altcredit.engine.consent").joinpath("notices.toml").read_bytes(), type=Wordings
)
VERSION: Final = list(WORDINGS.versions)[-1]


class Fiduciary(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for consent, and where a shop turns to with its rights. Empty: the operator has not said so."""

    name: str
    rights_url: str
    dpo_contact: str
    board_url: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the fiduciary that the settings name; outside production what they do not name is made up."""
        invented = settings.environment != "production"
        return cls(
            name=settings.fiduciary or ("AltCredit" if invented else ""),
            rights_url=settings.rights_url or ("https://altcredit.example/rights" if invented else ""),
            dpo_contact=settings.dpo_contact or ("dpo@altcredit.example" if invented else ""),
            board_url=settings.board_url or ("https://board.example" if invented else ""),
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """The settings that are still to be made before anybody may be asked."""
        named = {"FIDUCIARY": self.name, "RIGHTS_URL": self.rights_url, "DPO_CONTACT": self.dpo_contact}
        return tuple(f"ALTCREDIT_{name}" for name, value in {**named, "BOARD_URL": self.board_url}.items() if not value)


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """The exact text, in one language. ``text`` is what is signed; ``business`` is the name shown in its place."""

    version: str
    language: Language
    text: str
    business: str | None = None

    @property
    def shown(self) -> str:
        """The text as it is shown, word for word."""
        return self.text if self.business is None else self.text.replace(BUSINESS, self.business)

    @property
    def sha256(self) -> str:
        """Fingerprint of the signed text's UTF-8 bytes, lower-case hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Disclosure(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """
    The name in a notice, with the salt that hides it from guessing: a disclosure as in RFC 9901, section 4.2.1.

    ``salt``: 256 random bits. Once salt and name are destroyed, the digest in the signed record tells nothing.
    """

    salt: str
    claim: str = "business"
    name: str

    @property
    def encoded(self) -> str:
        """The base64url form (no padding) of the JSON array, which is hashed and handed out."""
        array = [self.salt, self.claim, self.name]
        return base64.urlsafe_b64encode(rfc8785.dumps(array)).rstrip(b"=").decode("ascii")

    @property
    def sha256(self) -> str:
        """The digest that the signed record holds, lower-case hex."""
        return hashlib.sha256(self.encoded.encode("ascii")).hexdigest()

    @classmethod
    def decoded(cls, encoded: str) -> "Disclosure":
        """Return what ``encoded`` says."""
        padded = encoded + "=" * (-len(encoded) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=cls)


def render(
    *,
    language: Language,
    fiduciary: Fiduciary,
    business: str | None,
    distributor: str,
    distributors: Sequence[str],
    lenders: Sequence[str],
    purpose: str,
    days: int,
) -> Notice:
    """
    Return the notice for these parties, in the newest version.

    :param business: the shop's name as its distributor has it, None where it is not known; ``distributor``: the one
        through whom the shop is asked; ``distributors``: all whose ledgers may be used.
    :raises NoticeNotSetUp: ``fiduciary`` lacks something.
    :raises NoticeTooLong: it would exceed ``MAX_LENGTH`` in either language, since the shop may ask for the other.
    """
    if fiduciary.missing:
        raise NoticeNotSetUp(f"The consent notice cannot be shown: set {', '.join(fiduciary.missing)}.")
    name = None if business is None else plain(business, at_most=MAX_NAME) or None
    parties = {
        "fiduciary": plain(fiduciary.name),
        "rights_url": fiduciary.rights_url,
        "dpo_contact": plain(fiduciary.dpo_contact),
        "board_url": fiduciary.board_url,
        "distributor": plain(distributor),
        "distributors": ", ".join(plain(one) for one in distributors),
        "lenders": ", ".join(plain(one) for one in lenders),
        "days": str(days),
    }
    made = {spoken: _filled(spoken, purpose, name, parties) for spoken in ("en", "hi")}
    longest = max(length(one.shown) for one in made.values())
    if longest > MAX_LENGTH:
        problem = f"the notice would have {longest:,} characters of {MAX_LENGTH:,}; ask for fewer lenders at a time"
        raise NoticeTooLong(details=(Detail("$.lender_scope", problem),))
    return made[language]


def _filled(language: Language, purpose: str, name: str | None, parties: dict[str, str]) -> Notice:
    text = _template(VERSION, language, purpose)
    called = BUSINESS if name else _NAMELESS[language]
    filled = text.format(**parties, business=called, purpose=purpose_words(purpose, language))
    return Notice(version=VERSION, language=language, text=filled, business=name if "{business}" in text else None)


def purpose_words(purpose: str, language: Language) -> str:
    """Return a purpose in words, to follow "a credit score for"; one without words of its own by its name."""
    known = WORDINGS.purposes.get(purpose)
    return known.of(language) if known else f"“{purpose.replace('_', ' ')}”"


def is_worded_as(*, version: str, language: Language, purpose: str, text: str) -> bool:
    """Tell whether a signed text is the wording of a version, with whatever parties."""
    if version not in WORDINGS.versions:
        return False
    parts = Formatter().parse(_template(version, language, purpose))
    pattern = "".join(re.escape(literal) + ("[^\n]+" if place else "") for literal, place, _, _ in parts)
    return re.fullmatch(pattern, text) is not None


def plain(name: str, *, at_most: int | None = None) -> str:
    """
    Return a name as it may stand in a notice: one line, nothing invisible, and not too long.

    Names come from distributors' books. None of them may look like a line of the notice, or turn its writing round.
    """
    kept = "".join(
        char if char in _JOINERS or unicodedata.category(char)[0] != "C" else " "
        for char in unicodedata.normalize("NFC", name)
        if char not in "⟦⟧"
    )
    line = " ".join(kept.split())
    return line if at_most is None else cut(line, at_most)


def length(text: str) -> int:
    """
    Return the length of a text as WhatsApp may count it: in UTF-16 units.

    Its documentation says "characters" and no more. UTF-16 units are never fewer than code points, so that what fits
    by this count fits by either; Devanagari counts the same in both, an emoji counts two.
    """
    return len(text.encode("utf-16-le")) // 2


def cut(text: str, at_most: int) -> str:
    """Return a text that is no longer than this (``length``); what is cut ends in an ellipsis."""
    if length(text) <= at_most:
        return text
    return text.encode("utf-16-le")[: 2 * (at_most - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def _template(version: str, language: Language, purpose: str) -> str:
    kind: Kind = "model_development" if purpose == MODEL_DEVELOPMENT else "consent"
    return WORDINGS.versions[version][kind].of(language)
