"""What is sent: a text, a question with buttons, or a template, within the limits of WhatsApp's Cloud API."""

from typing import Any, TypeAlias

import msgspec

MAX_TEXT = 4_096
MAX_QUESTION = 1_024
MAX_FOOTER = 60
MAX_TITLE = 20
MAX_BUTTONS = 3


class Text(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """A message of up to 4,096 characters."""

    body: str

    def __post_init__(self) -> None:
        assert 0 < len(self.body) <= MAX_TEXT, f"a text of {len(self.body)} characters"


class Button(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` comes back when it is pressed."""

    id: str
    title: str

    def __post_init__(self) -> None:
        assert 0 < len(self.title) <= MAX_TITLE, f"the button {self.title!r} is too long"


class Question(msgspec.Struct, frozen=True, kw_only=True, tag="question"):
    """Up to 1,024 characters with up to three buttons."""

    body: str
    footer: str
    buttons: tuple[Button, ...]

    def __post_init__(self) -> None:
        assert 0 < len(self.body) <= MAX_QUESTION, f"a question of {len(self.body)} characters"
        assert len(self.footer) <= MAX_FOOTER, f"a footer of {len(self.footer)} characters"
        assert 0 < len(self.buttons) <= MAX_BUTTONS


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A wording that WhatsApp approved: the only kind that may be sent beyond 24 hours after the user last wrote."""

    name: str
    language: str
    values: tuple[str, ...]
    payloads: tuple[str, ...] = ()


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
        interactive: dict[str, Any] = {
            "type": "button",
            "body": {"text": message.body},
            "action": {"buttons": buttons},
        }
        if message.footer:
            interactive["footer"] = {"text": message.footer}
        return {**common, "type": "interactive", "interactive": interactive}
    return {**common, "type": "template", "template": _template(message)}


def _template(message: Template) -> dict[str, Any]:
    components: list[dict[str, Any]] = []
    if message.values:
        components.append(
            {"type": "body", "parameters": [{"type": "text", "text": _one_line(value)} for value in message.values]}
        )
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


def _one_line(value: str) -> str:
    """Return a value as parameters may be: no line breaks, tabs or runs of spaces."""
    return " ".join(value.split()) or "–"
