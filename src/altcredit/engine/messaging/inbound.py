"""What comes in: WhatsApp's webhooks, read leniently (its format grows), and what a retailer's words mean."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Kind = Literal["text", "button", "other"]
Intent = Literal["stop", "english", "hindi", "score", "grievance", "help", "press"]
MAX_BODY = 4_096

_PHONE = re.compile(r"[1-9][0-9]{6,14}")
_WAMID = re.compile(r"[\x21-\x7e]{1,256}")
_RANK = {"sent": 1, "delivered": 2, "read": 3, "failed": 4}

# Every way of saying it is folded as incoming words are. STOP counts wherever a short message begins with it: ending
# too much can be undone by the retailer, going on against its will cannot.
_WORDS: dict[Intent, tuple[str, ...]] = {
    "stop": (
        *("stop", "unsubscribe", "withdraw", "roko", "ruko", "band karo", "band karein", "band kare"),
        *("रोकें", "रोको", "रुको", "रुकें", "रोकिए", "रुकिए", "बंद", "बंद करें", "बंद करो", "बन्द करें", "बन्द करो", "स्टॉप", "वापस लें"),
    ),
    "english": ("english", "in english", "angrezi", "अंग्रेज़ी", "अंग्रेजी", "अँग्रेज़ी", "इंग्लिश"),
    "hindi": ("hindi", "in hindi", "hindi me", "hindi mein", "हिंदी", "हिन्दी", "हिंदी में", "हिन्दी में"),
    "score": ("my score", "score", "mera score", "मेरा स्कोर", "स्कोर", "माई स्कोर"),
    "help": ("help", "hi", "hello", "मदद", "नमस्ते"),
}
_GRIEVANCE = ("grievance", "complaint", "shikayat", "शिकायत")
_SHORT = 3
# Not said to us: a thumb under a message, a changed number, what WhatsApp itself cannot show.
_UNSAID = frozenset({"reaction", "system", "unsupported", "ephemeral", "request_welcome"})


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """One message. ``text`` is what was written, or the id of the button that was pressed."""

    wamid: str
    phone: str
    written_at: datetime
    kind: Kind
    text: str


class StatusUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message of ours."""

    wamid: str
    state: Literal["sent", "delivered", "read", "failed"]
    at: datetime
    code: str | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What one webhook brought, in its order."""

    messages: tuple[Inbound, ...]
    statuses: tuple[StatusUpdate, ...]


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What a message asks for; ``rest`` is what it says beyond that (a grievance's text, a button's id)."""

    intent: Intent
    rest: str = ""


def read(document: dict[str, Any], *, phone_number_id: str | None) -> Delivery:
    """Return the messages and statuses of a webhook for a number (None: any); what is not understood is left out."""
    messages: list[Inbound] = []
    statuses: list[StatusUpdate] = []
    for value in _values(document):
        if phone_number_id is not None and _part(value, "metadata").get("phone_number_id") != phone_number_id:
            continue
        messages += [taken for one in _list(value, "messages") if (taken := _message(one)) is not None]
        statuses += [known for one in _list(value, "statuses") if (known := _status(one)) is not None]
    return Delivery(messages=tuple(messages), statuses=tuple(statuses))


def understood(message: Inbound) -> Meaning:
    """Return what a message asks for; whatever is not known asks for help."""
    if message.kind == "button":
        return Meaning(intent="press", rest=message.text)
    words = folded(message.text).split()
    said = " ".join(words)
    for intent, ways in _WORDS.items():
        if said in ways:
            return Meaning(intent=intent)
    if 0 < len(words) <= _SHORT and any(said.startswith(f"{way} ") for way in _WORDS["stop"]):
        return Meaning(intent="stop")
    if words and words[0] in _GRIEVANCE:
        return Meaning(intent="grievance", rest=_after_first_word(message.text))
    return Meaning(intent="help")


def folded(text: str) -> str:
    """Return words as they are compared: composed, without case, punctuation and surplus spaces."""
    plain = unicodedata.normalize("NFC", text).casefold()
    kept = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in plain)
    return " ".join(unicodedata.normalize("NFC", kept).split())


def outranks(new: str, old: str) -> bool:
    """Tell whether a status says more than the one before: they come in any order, and several times."""
    return _RANK.get(new, 0) > _RANK.get(old, 0)


def _after_first_word(text: str) -> str:
    return text.strip().partition(" ")[2].strip(" :–-\n\t") if " " in text.strip() else ""


def _values(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [_part(change, "value") for entry in _list(document, "entry") for change in _list(entry, "changes")]


def _list(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _part(holder: dict[str, Any], name: str) -> dict[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _string(holder: dict[str, Any], name: str) -> str:
    found = holder.get(name)
    return found if isinstance(found, str) else ""


def _at(holder: dict[str, Any]) -> datetime | None:
    text = _string(holder, "timestamp")
    return datetime.fromtimestamp(int(text), UTC) if re.fullmatch(r"[0-9]{1,11}", text, re.ASCII) else None


def _message(one: dict[str, Any]) -> Inbound | None:
    wamid, phone, at = _string(one, "id"), _string(one, "from"), _at(one)
    if not _WAMID.fullmatch(wamid) or not _PHONE.fullmatch(phone) or at is None or one.get("type") in _UNSAID:
        return None
    kind: Kind = "other"
    text = ""
    if one.get("type") == "text":
        kind, text = "text", _string(_part(one, "text"), "body")
    elif one.get("type") == "interactive":
        kind, text = "button", _string(_part(_part(one, "interactive"), "button_reply"), "id")
    elif one.get("type") == "button":
        kind, text = "button", _string(_part(one, "button"), "payload")
    return Inbound(wamid=wamid, phone=phone, written_at=at, kind=kind, text=text.replace("\0", "")[:MAX_BODY])


def _status(one: dict[str, Any]) -> StatusUpdate | None:
    wamid, state, at = _string(one, "id"), _string(one, "status"), _at(one)
    if not _WAMID.fullmatch(wamid) or state not in _RANK or at is None:
        return None
    errors = _list(one, "errors")
    code = str(errors[0].get("code"))[:20] if errors else None
    return msgspec.convert({"wamid": wamid, "state": state, "at": at, "code": code}, StatusUpdate)
