"""
What WhatsApp's Cloud API refuses, as far as messages and templates of ours can go wrong (error codes of v23.0).

``approve`` judges a template as its reviewers' machine does; ``taken`` judges a message, against the approved ones.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

Json = dict[str, Any]

_PLACE: Final = re.compile(r"\{\{([0-9]+)\}\}")
_MAX_BODY, _MAX_TEXT, _MAX_FOOTER, _MAX_CODE = 1_024, 4_096, 60, 15
_MAX_REPLY, _MAX_BUTTON, _MAX_ID, _MAX_BUTTONS = 20, 25, 256, 3
_CODE_TEXT: Final = {
    "en": "*{{1}}* is your verification code. For your security, do not share this code.",
    "hi": "*{{1}}* आपका सत्यापन कोड है। अपनी सुरक्षा के लिए, यह कोड शेयर न करें।",
}


class Message(msgspec.Struct, kw_only=True):
    """A message as a phone shows it. ``buttons``: what pressing them sends, by title."""

    wamid: str
    kind: str
    text: str
    buttons: dict[str, str] = {}
    template: str | None = None
    state: str = "sent"


class Refused(Exception):
    """An error of the API: HTTP status, code, title and details."""

    def __init__(self, status: int, code: int, title: str, details: str = "") -> None:
        super().__init__(title)
        self.status, self.code, self.title, self.details = status, code, title, details

    @property
    def body(self) -> Json:
        """The JSON that the API answers."""
        error: Json = {"message": f"(#{self.code}) {self.title}", "type": "OAuthException", "code": self.code}
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        return {"error": {**error, "fbtrace_id": "AzStandIn"}}


def invalid(details: str) -> Refused:
    """Return the error of a parameter that is no such thing."""
    return Refused(400, 100, "Invalid parameter", details)


def _value(details: str) -> Refused:
    return Refused(400, 131009, "Parameter value is not valid", details)


def _count(where: str, given: int, expected: int) -> Refused:
    details = (
        f"{where}: number of localizable_params ({given}) does not match the expected number of params ({expected})"
    )
    return Refused(400, 132000, "Number of parameters does not match the expected number of params", details)


def length(text: str) -> int:
    """Return the length in UTF-16 units: the stricter reading of "characters"."""
    return len(text.encode("utf-16-le")) // 2


# Templates


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A template that was approved: its body with ``{{n}}``, its buttons in their order."""

    name: str
    language: str
    category: str
    body: str
    buttons: tuple[Json, ...]

    @property
    def places(self) -> int:
        return len(_PLACE.findall(self.body))

    @property
    def is_code(self) -> bool:
        return self.category == "AUTHENTICATION"


def approved(definitions: Iterable[Json]) -> dict[tuple[str, str], Template]:
    """Return the templates by name and language. Raises Refused: one would not be approved."""
    return {(one["name"], one["language"]): approve(one) for one in definitions}


def approve(definition: Json) -> Template:
    """Return a template as it is created by ``…/message_templates``. Raises Refused where WhatsApp rejects it."""
    _only(definition, {"name", "language", "category", "components", "message_send_ttl_seconds"}, "template")
    name, category = definition["name"], definition["category"]
    if not re.fullmatch(r"[a-z0-9_]{1,512}", name):
        raise invalid("name: lower-case letters, digits and underscores")
    parts = {one["type"]: one for one in definition["components"]}
    if len(parts) != len(definition["components"]) or "BODY" not in parts or set(parts) - set(_COMPONENTS):
        raise invalid("components: one BODY, at most one FOOTER and one BUTTONS")
    code = category == "AUTHENTICATION"
    if not code and ("message_send_ttl_seconds" in definition and category != "UTILITY"):
        raise invalid("message_send_ttl_seconds: not for this category")
    if code and not 30 <= definition.get("message_send_ttl_seconds", 600) <= 900:
        raise invalid("message_send_ttl_seconds: 30 to 900")
    body = _code_body(definition["language"], parts) if code else _body(parts["BODY"])
    buttons = tuple(parts.get("BUTTONS", {}).get("buttons", ()))
    _check_buttons(buttons, code=code)
    return Template(name=name, language=definition["language"], category=category, body=body, buttons=buttons)


_COMPONENTS: Final = ("BODY", "FOOTER", "BUTTONS")


def _code_body(language: str, parts: Mapping[str, Json]) -> str:
    _only(parts["BODY"], {"type", "add_security_recommendation"}, "BODY of an authentication template")
    minutes = parts.get("FOOTER", {}).get("code_expiration_minutes", 10)
    if not 1 <= minutes <= 90:
        raise invalid("code_expiration_minutes: 1 to 90")
    return _CODE_TEXT[language]


def _body(part: Json) -> str:
    text = part["text"]
    numbers = [int(one) for one in _PLACE.findall(text)]
    if not 0 < length(text) <= _MAX_BODY:
        raise invalid("BODY: 1 to 1,024 characters")
    if re.match(r"\s*\{\{", text) or re.search(r"\}\}\W*$", text):
        raise invalid("BODY: variables can't be at the start or end of the template")
    if re.search(r"\}\}\s*\{\{", text):
        raise invalid("BODY: variables can't be next to each other")
    if numbers != list(range(1, len(numbers) + 1)):
        raise invalid("BODY: variables must be numbered in their order")
    if len(re.sub(_PLACE, " ", text).split()) < 2 * len(numbers) + 1:
        raise invalid("BODY: too many variables for its length")
    if numbers and [len(one) for one in part.get("example", {}).get("body_text", ())] != [len(numbers)]:
        raise invalid("BODY: an example for each variable is missing")
    return str(text)


def _check_buttons(buttons: Sequence[Json], *, code: bool) -> None:
    kinds = {one["type"] for one in buttons}
    if code and ([one.get("otp_type") for one in buttons] != ["COPY_CODE"] or kinds != {"OTP"}):
        raise invalid("BUTTONS: an authentication template has one button of type OTP")
    if not code and kinds - {"QUICK_REPLY"}:
        raise invalid("BUTTONS: no such type here")
    if any(not 0 < length(one["text"]) <= _MAX_BUTTON for one in buttons):
        raise invalid("BUTTONS: 1 to 25 characters")


# Messages


def taken(body: Json, wamid: str, templates: Mapping[tuple[str, str], Template]) -> Message:
    """Return a message as it will be shown. Raises Refused where WhatsApp does not take it."""
    kind = body.get("type", "text")
    _only(body, {"messaging_product", "recipient_type", "to", "type", kind}, "message")
    if body.get("messaging_product") != "whatsapp":
        raise invalid("messaging_product must be whatsapp")
    if body.get("recipient_type", "individual") != "individual":
        raise invalid("recipient_type must be individual")
    if not isinstance(body.get("to"), str) or not re.fullmatch(r"\+?[1-9][0-9]{6,14}", body["to"]):
        raise _value("to: not a phone number")
    if kind not in ("text", "interactive", "template"):
        raise invalid(f"type: {kind} is not known")
    part = body.get(kind)
    if not isinstance(part, dict):
        raise Refused(400, 131008, "Required parameter is missing", f"Parameter of type {kind} is missing")
    try:
        if kind == "template":
            return _template(part, wamid, templates)
        return _text(part, wamid) if kind == "text" else _interactive(part, wamid)
    except (KeyError, TypeError, AttributeError) as missing:
        raise Refused(400, 131008, "Required parameter is missing", f"{kind}: {missing}") from missing


def _text(part: Json, wamid: str) -> Message:
    _only(part, {"body", "preview_url"}, "text")
    if not 0 < length(part["body"]) <= _MAX_TEXT:
        raise _value("Param text['body'] must be 1 to 4096 characters long")
    return Message(wamid=wamid, kind="text", text=part["body"])


def _interactive(part: Json, wamid: str) -> Message:
    _only(part, {"type", "header", "body", "footer", "action"}, "interactive")
    if part["type"] != "button":
        raise invalid("interactive.type: this stand-in knows button alone")
    _only(part["action"], {"buttons"}, "action")
    replies = [_reply(one) for one in part["action"]["buttons"]]
    titles, ids = {title for title, _ in replies}, {id_ for _, id_ in replies}
    if not 1 <= len(replies) <= _MAX_BUTTONS or len(titles) != len(replies) or len(ids) != len(replies):
        raise _value("Invalid buttons count: 1 to 3, each with a title and an id of its own")
    for name, most in (("body", _MAX_BODY), ("footer", _MAX_FOOTER)):
        if (name == "body" or name in part) and not 0 < length(part[name]["text"]) <= most:
            raise _value(f"{name.title()} text length invalid. Min length: 1, Max length: {most}")
    return Message(wamid=wamid, kind="interactive", text=part["body"]["text"], buttons=dict(replies))


def _reply(button: Json) -> tuple[str, str]:
    if button["type"] != "reply":
        raise invalid("button.type must be reply")
    title, id_ = button["reply"]["title"], button["reply"]["id"]
    if not 0 < length(title) <= _MAX_REPLY or title != title.strip():
        raise _value("Button title length invalid. Min length: 1, Max length: 20")
    if not 0 < len(id_) <= _MAX_ID:
        raise _value("Button id length invalid. Min length: 1, Max length: 256")
    return title, id_


def _template(part: Json, wamid: str, templates: Mapping[tuple[str, str], Template]) -> Message:
    _only(part, {"name", "language", "components", "namespace"}, "template")
    name, language = part["name"], part["language"]["code"]
    template = templates.get((name, language))
    if template is None:
        details = f"template name ({name}) does not exist in {language}"
        raise Refused(404, 132001, "Template name does not exist in the translation", details)
    components = part.get("components", [])
    bodies = [one for one in components if one["type"].lower() == "body"]
    pressed = [one for one in components if one["type"].lower() == "button"]
    if len(bodies) + len(pressed) != len(components) or len(bodies) > 1:
        raise invalid("components: body and button are all that this template has")
    values = [_parameter(one, "text", "text") for body in bodies for one in body["parameters"]]
    if len(values) != template.places:
        raise _count("body", len(values), template.places)
    shown = _PLACE.sub(lambda place: values[int(place[1]) - 1], template.body)
    if length(shown) > _MAX_BODY:
        raise Refused(400, 132005, "Translated text too long", f"body: {length(shown)} of {_MAX_BODY} characters")
    buttons = _buttons(template, pressed, values)
    return Message(wamid=wamid, kind="template", text=shown, buttons=buttons, template=name)


def _buttons(template: Template, given: Sequence[Json], values: Sequence[str]) -> dict[str, str]:
    """Return what each button sends when it is pressed; one that copies a code sends nothing."""
    by_index = {str(one["index"]): one for one in given}
    if len(by_index) != len(given) or any(int(index) >= len(template.buttons) for index in by_index):
        raise _value("button: no such index")
    shown = {}
    for index, button in enumerate(template.buttons):
        wanted = "url" if template.is_code else "quick_reply"
        one = by_index.get(str(index))
        if one is None and template.is_code:
            details = f"buttons: Button at index {index} of type Url requires a parameter"
            raise Refused(400, 131008, "Required parameter is missing", details)
        if one is not None and one["sub_type"].lower() != wanted:
            raise _value(f"buttons: sub_type of the button at index {index} must be {wanted}")
        parameters = [] if one is None else one["parameters"]
        if one is not None and len(parameters) != 1:
            raise _count(f"buttons: button at index {index}", len(parameters), 1)
        kind = "text" if template.is_code else "payload"
        sent = _parameter(parameters[0], kind, kind) if parameters else button["text"]
        if template.is_code and (sent != values[0] or len(sent) > _MAX_CODE):
            raise _value("buttons: the code must be that of the body, of 15 characters at most")
        if not template.is_code:
            shown[button["text"]] = sent
    return shown


def _parameter(one: Json, kind: str, name: str) -> str:
    if one.get("type") != kind:
        details = f"Parameter of type {one.get('type')} where {kind} is expected"
        raise Refused(400, 132012, "Parameter format does not match format in the created template", details)
    value = one[name]
    if not isinstance(value, str) or not value:
        raise Refused(400, 131008, "Required parameter is missing", f"Parameter of type {kind} is missing text value")
    if re.search(r"[\n\r\t]| {5}", value):
        details = "Param text cannot have new-line/tab characters or more than 4 consecutive spaces"
        raise Refused(400, 132018, "There was an issue with the parameters in your template", details)
    return value


def _only(part: Json, known: set[str], where: str) -> None:
    for name in part:
        if name not in known:
            raise invalid(f'Unexpected key "{name}" on param "{where}"')
