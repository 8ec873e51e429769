"""The words of every message, in English and Hindi; ``texts.toml`` holds them."""

from collections.abc import Mapping
from importlib.resources import files
from string import Formatter
from typing import Literal

import msgspec

from altcredit.engine import consent
from altcredit.engine.messaging.outgoing import MAX_TEXT, Template

Language = Literal["en", "hi"]


class Wording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One text in both languages.

    ``template``: the name under which WhatsApp approved it, if it did; ``buttons``: the texts on its buttons, by key.
    ``copies``: it says a one-time code, and its template is WhatsApp's own wording with a button that copies the code.
    """

    en: str
    hi: str
    template: str | None = None
    buttons: tuple[str, ...] = ()
    copies: bool = False

    def of(self, language: Language) -> str:
        return self.hi if language == "hi" else self.en


TEXTS: Mapping[str, Wording] = msgspec.toml.decode(
    files("altcredit.engine.messaging").joinpath("texts.toml").read_bytes(), type=dict[str, Wording]
)


def say(key: str, language: Language, **values: object) -> str:
    """Return a text with its places filled in, cut at what a message may hold."""
    return consent.cut(TEXTS[key].of(language).format(**values), MAX_TEXT)


def template(key: str, language: Language, payloads: tuple[str, ...] = (), /, **values: object) -> Template | None:
    """
    Return a text as the template that is approved for it; None where none is.

    :param payloads: what comes back when its buttons are pressed, one each.
    """
    wording = TEXTS[key]
    if wording.template is None:
        return None
    assert wording.copies or len(payloads) == len(wording.buttons), f"{key} has {len(wording.buttons)} buttons"
    given = tuple(str(values[place]) for place in places(wording.of(language)))
    return Template(name=wording.template, language=language, values=given, payloads=payloads, copies=wording.copies)


def places(text: str) -> tuple[str, ...]:
    """Return the names of a text's places, in the order in which they first occur."""
    return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(text) if name))


def numbered(text: str) -> str:
    """Return a text in the form in which WhatsApp approves templates: ``{{1}}``, ``{{2}}`` … at its places."""
    return text.format(**{name: f"{{{{{at}}}}}" for at, name in enumerate(places(text), start=1)})
