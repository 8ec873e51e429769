"""The stand-in for WhatsApp refuses what WhatsApp refuses, in its words; everything of ours it takes."""

from typing import Any

import msgspec
import pytest

from altcredit.engine import messaging
from altcredit.engine.messaging.outgoing import Button, Question, Template, Text, wire
from altcredit.simulator.whatsapp_rules import Refused, approve, approved, taken

PHONE = "919812345678"
DEFINITIONS = messaging.definitions()
TEMPLATES = approved(DEFINITIONS)
UTILITY = next(one for one in DEFINITIONS if one["name"] == "consent_invitation_v1" and one["language"] == "en")
CODE = next(one for one in DEFINITIONS if one["category"] == "AUTHENTICATION" and one["language"] == "hi")


def refusal(body: dict[str, Any]) -> tuple[int, int]:
    """Return status and code of the error that a message is refused with; (200, 0) where it is taken."""
    try:
        taken(body, "wamid.1", TEMPLATES)
    except Refused as refused:
        return refused.status, refused.code
    return 200, 0


def changed(body: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    """Return a deep copy with one member set, or (``...``) left out."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    place: Any = made
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


QUESTION = wire(PHONE, Question(body="?", buttons=(Button(id="a", title="Yes"), Button(id="b", title="No"))))
INVITED = wire(
    PHONE, Template(name="consent_invitation_v1", language="en", values=("AltCredit", "Sharma"), payloads=("show",))
)
CODED = wire(PHONE, Template(name="sign_in_code_v2", language="hi", values=("123456",), copies=True))
ONE_VALUE = [{"type": "text", "text": "x"}]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: f"{one['name']}-{one['language']}")
def test_every_template_of_ours_would_be_approved_and_what_we_send_of_it_is_taken(definition: dict[str, Any]) -> None:
    template = approve(definition)
    values = tuple(f"value{place}" for place in range(template.places))
    quick = tuple(f"press{at}" for at, _ in enumerate(template.buttons)) if not template.is_code else ()
    ours = Template(
        name=template.name, language=template.language, values=values, payloads=quick, copies=template.is_code
    )
    shown = taken(wire(PHONE, ours), "wamid.1", TEMPLATES)
    assert all(value in shown.text for value in values)
    assert list(shown.buttons.values()) == list(quick)


def test_every_key_of_texts_that_names_a_template_is_defined_in_both_languages() -> None:
    named = {text.template for text in messaging.TEXTS.values() if text.template}
    assert set(TEMPLATES) == {(name, language) for name in named for language in ("en", "hi")}


def test_codes_go_by_a_template_of_the_category_for_them_with_a_button_that_copies() -> None:
    assert CODE["components"][2]["buttons"][0]["otp_type"] == "COPY_CODE"
    assert CODE["components"][1]["code_expiration_minutes"] * 60 == CODE["message_send_ttl_seconds"] == 300
    body, button = CODED["template"]["components"]
    assert (button["sub_type"], button["index"]) == ("url", "0")
    assert body["parameters"] == button["parameters"] == [{"type": "text", "text": "123456"}]


@pytest.mark.parametrize(
    ("what", "definition"),
    [
        ("begins with a place", changed(UTILITY, "components", 0, "text", value="{{1}} and {{2}} are here today now")),
        ("ends with a place", changed(UTILITY, "components", 0, "text", value="We are here today, {{1}} and {{2}}.")),
        ("places side by side", changed(UTILITY, "components", 0, "text", value="Here come {{1}} {{2}} today to us.")),
        ("numbers out of order", changed(UTILITY, "components", 0, "text", value="Here comes {{2}} and not {{1}} now.")),
        ("mostly places", changed(UTILITY, "components", 0, "text", value="A {{1}} b {{2}} c.")),
        ("too long", changed(UTILITY, "components", 0, "text", value="x" * 1_025)),
        ("no example", changed(UTILITY, "components", 0, "example", value=...)),
        ("a name with capitals", changed(UTILITY, "name", value="Consent")),
        ("a long button", changed(UTILITY, "components", 1, "buttons", 0, "text", value="x" * 26)),
        ("a button that copies", changed(UTILITY, "components", 1, "buttons", 0, "type", value="OTP")),
        ("a code with words", changed(CODE, "components", 0, "text", value="Your code is {{1}} now.")),
        ("a code without its button", changed(CODE, "components", 2, value=...)),
        ("a code for too long", changed(CODE, "components", 1, "code_expiration_minutes", value=91)),
        ("a code kept too long", changed(CODE, "message_send_ttl_seconds", value=901)),
    ],
)  # fmt: skip
def test_a_template_that_whatsapp_rejects_is_rejected(what: str, definition: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        approve(definition)
    assert refused.value.code == 100, what


@pytest.mark.parametrize(
    ("what", "body", "expected"),
    [
        ("as it is", QUESTION, (200, 0)),
        ("an unknown key", {**QUESTION, "ttl": 1}, (400, 100)),
        ("another product", {**QUESTION, "messaging_product": "sms"}, (400, 100)),
        ("no phone", {**QUESTION, "to": "Ramesh"}, (400, 131009)),
        ("an unknown type", {**QUESTION, "type": "fax", "fax": {}}, (400, 100)),
        ("no content", changed(QUESTION, "interactive", value=...), (400, 131008)),
        ("no body", changed(QUESTION, "interactive", "body", value=...), (400, 131008)),
        ("a body too long", changed(QUESTION, "interactive", "body", "text", value="अ" * 1_025), (400, 131009)),
        ("a body too long in emoji", changed(QUESTION, "interactive", "body", "text", value="🏪" * 513), (400, 131009)),
        ("a title too long", changed(QUESTION, "interactive", "action", "buttons", 0, "reply", "title", value="x" * 21), (400, 131009)),
        ("two ids alike", changed(QUESTION, "interactive", "action", "buttons", 0, "reply", "id", value="b"), (400, 131009)),
        ("no buttons", changed(QUESTION, "interactive", "action", "buttons", value=[]), (400, 131009)),
        ("an empty text", wire(PHONE, Text(body="x")) | {"text": {"body": ""}}, (400, 131009)),
        ("an unknown template", changed(INVITED, "template", "name", value="credit_consent_v1"), (404, 132001)),
        ("an unknown language", changed(INVITED, "template", "language", "code", value="ta"), (404, 132001)),
        ("too few values", changed(INVITED, "template", "components", 0, "parameters", value=ONE_VALUE), (400, 132000)),
        ("too many values", changed(INVITED, "template", "components", 0, "parameters", value=ONE_VALUE * 3), (400, 132000)),
        ("no components", changed(INVITED, "template", "components", value=...), (400, 132000)),
        ("a header", changed(INVITED, "template", "components", 0, "type", value="header"), (400, 100)),
        ("a value of another kind", changed(INVITED, "template", "components", 0, "parameters", 0, "type", value="currency"), (400, 132012)),
        ("a value with a line break", changed(INVITED, "template", "components", 0, "parameters", 0, "text", value="a\nb"), (400, 132018)),
        ("an empty value", changed(INVITED, "template", "components", 0, "parameters", 0, "text", value=""), (400, 131008)),
        ("values too long together", changed(INVITED, "template", "components", 0, "parameters", 0, "text", value="x" * 1_000), (400, 132005)),
        ("a button that is not there", changed(INVITED, "template", "components", 1, "index", value="1"), (400, 131009)),
        ("a button of another kind", changed(INVITED, "template", "components", 1, "sub_type", value="url"), (400, 131009)),
        ("a code", CODED, (200, 0)),
        ("a code without its button", changed(CODED, "template", "components", 1, value=...), (400, 131008)),
        ("a button with another code", changed(CODED, "template", "components", 1, "parameters", 0, "text", value="654321"), (400, 131009)),
        ("a code as an ordinary text", changed(CODED, "template", "components", 1, "sub_type", value="quick_reply"), (400, 131009)),
    ],
)  # fmt: skip
def test_a_message_is_taken_or_refused_as_by_whatsapp(
    what: str, body: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert refusal(body) == expected, what


def test_an_error_has_the_form_that_our_client_reads() -> None:
    from altcredit.engine.messaging.client import judged

    refused = Refused(404, 132001, "Template name does not exist in the translation", "x")
    error = refused.body["error"]
    assert error["message"] == "(#132001) Template name does not exist in the translation"
    assert error["error_data"] == {"messaging_product": "whatsapp", "details": "x"}
    assert judged(refused.status, msgspec.json.encode(refused.body)).problem == "status 404, code 132001"
