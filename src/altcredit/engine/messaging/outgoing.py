"""What is sent: a text, a question with buttons, or a template, within the limits of WhatsApp's Cloud API."""

from typing import Any, TypeAlias

import msgspec

from altcredit.engine import consent

MAX_TEXT = 4_096
MAX_QUESTION = consent.MAX_LENGTH
MAX_TITLE = 20
MAX_BUTTONS = 3
MAX_VALUE = 400
MAX_CODE = 15


class Text(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """A message of up to 4,096 characters."""

    body: str

    def __post_init__(self) -> None:
        assert 0 < consent.length(self.body) <= MAX_TEXT, f"a text of {len(self.body)} characters"


class Button(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` comes back when it is pressed."""

    id: str
    title: str

    def __post_init__(self) -> None:
        assert 0 < len(self.title) <= MAX_TITLE, f"the button {self.title!r} is too long"


class Question(msgspec.Struct, frozen=True, kw_only=True, tag="question"):
    """Up to 1,024 characters with up to three buttons."""

    body: str
    buttons: tuple[Button, ...]

    def __post_init__(self) -> None:
        assert 0 < consent.length(self.body) <= MAX_QUESTION, f"a question of {len(self.body)} characters"
        assert 0 < len(self.buttons) <= MAX_BUTTONS


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """
    A wording that WhatsApp approved: the only kind that may be sent beyond 24 hours after the user last wrote.

    ``payloads``: what comes back when its buttons are pressed. ``copies``: its button copies the value, which is a
    one-time code: such templates are of the category AUTHENTICATION, and their words are WhatsApp's.
    """

    name: str
    language: str
    values: tuple[str, ...]
    payloads: tuple[str, ...] = ()
    copies: bool = False

    def __post_init__(self) -> None:
        assert not self.copies or (len(self.values) == 1 and 0 < len(self.values[0]) <= MAX_CODE), "no one-time code"


Free: TypeAlias = Text | Question


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message to a number: as ``free`` within the 24 hours, else as ``template``, else not at all."""

    to: str
    free: Free | None = None
    template: Template | None = None


def wire(to: str, message: Free | Template) -> dict[str, Any]:
    """Return the JSON body that WhatsApp takes for a message."""
    common = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": to}
    if isinstance(message, Text):
        return {**common, "type": "text", "text": {"preview_url": False, "body": message.body}}
    if isinstance(message, Question):
        buttons = [{"type": "reply", "reply": {"id": one.id, "title": one.title}} for one in message.buttons]
        interactive = {"type": "button", "body": {"text": message.body}, "action": {"buttons": buttons}}
        return {**common, "type": "interactive", "interactive": interactive}
    return {**common, "type": "template", "template": _template(message)}


def _template(message: Template) -> dict[str, Any]:
    values = [{"type": "text", "text": one_line(value)} for value in message.values]
    components: list[dict[str, Any]] = [{"type": "body", "parameters": values}] if values else []
    if message.copies:  # the code goes twice: to be read, and to be copied
        components.append({"type": "button", "sub_type": "url", "index": "0", "parameters": values})
    components += [
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": str(index),
            "parameters": [{"type": "payload", "payload": payload}],
        }
        for index, payload in enumerate(message.payloads)
    ]
    return {"name": message.name, "language": {"code": message.language}, "components": components}


def one_line(value: str) -> str:
    """Return a value as parameters may be: no line breaks, tabs or runs of spaces, and not too long."""
    line = " ".join(value.split()) or "–"
    return consent.cut(line, MAX_VALUE)
