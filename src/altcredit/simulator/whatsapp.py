"""
The bundled stand-in for WhatsApp's Cloud API and for the phones behind it, over HTTP.

``POST /v23.0/<number>/messages`` takes messages as WhatsApp does, and refuses as it does: no token, what is not within
its rules (``whatsapp_rules``), templates that were not approved, anything but a template when 24 hours have passed
since the phone wrote. It reports ``sent`` and ``delivered``.
``POST /phones/<phone>/say|press|read`` has a phone write, press a button or read; ``GET /phones/<phone>`` shows what it
has. All of it comes back to the platform as signed webhooks.
"""

import asyncio
import hashlib
import hmac
import itertools
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import httpx2
import msgspec

from altcredit.engine import messaging
from altcredit.simulator.whatsapp_rules import Message, Refused, approved, invalid, taken

_WINDOW: Final = 24 * 3600
_MAX_BODY: Final = 64 * 1024
_PATH: Final = re.compile(r"/v23\.0/([0-9]{1,30})/messages")
_PHONE: Final = re.compile(r"/phones/([1-9][0-9]{6,14})(?:/(say|press|read))?")
_TRIES: Final = 4

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class WhatsApp:
    """The ASGI application, and the same by method calls for whoever runs it in process."""

    def __init__(
        self,
        *,
        webhook_url: str = "",
        app_secret: str,
        access_token: str,
        phone_number_id: str,
        context: ssl.SSLContext | None = None,
        templates: Iterable[dict[str, Any]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        ``webhook_url``: where the platform listens; ``clock``: seconds since the epoch.

        ``templates``: definitions of those that were approved; None: all of the platform's own.
        """
        self.webhook_url = webhook_url
        self.templates = approved(messaging.definitions() if templates is None else templates)
        self.inboxes: dict[str, list[Message]] = {}
        self.refusing: list[tuple[int, int]] = []
        """Answers (status, code) to give to the next messages, in order: trouble on demand."""
        self._app_secret, self._access_token, self._number = app_secret, access_token, phone_number_id
        self._context = context
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._serial = itertools.count(1)
        self._run = hashlib.sha256(str(clock()).encode()).hexdigest()[:8]
        self._reports: set[asyncio.Task[int]] = set()
        self._arrived = asyncio.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        try:
            status, answer = await self._answered(scope, await _read(receive))
        except Refused as refused:
            status, answer = refused.status, refused.body
        body = msgspec.json.encode(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def trust(self, context: ssl.SSLContext) -> None:
        """Set whose certificates the platform's listener may have."""
        self._context = context

    # Phones

    async def say(self, phone: str, text: str, *, wamid: str | None = None, at: float | None = None) -> int:
        """Have a phone write; return the status that the platform answered the webhook with."""
        return await self._from(phone, {"type": "text", "text": {"body": text}}, wamid, at)

    async def press(self, phone: str, title: str, *, wamid: str | None = None, at: float | None = None) -> int:
        """Press the newest button with this title (or the beginning of its id) on a phone."""
        for message in reversed(self.inboxes.get(phone, [])):
            for name, id_ in message.buttons.items():
                if name == title or id_.startswith(title):
                    return await self._from(phone, _pressed(message, name, id_), wamid, at)
        raise LookupError(f"no button {title}")

    async def read(self, phone: str) -> int:
        """Have a phone read its newest message."""
        message = self.inboxes[phone][-1]
        message.state = "read"
        return await self._report(phone, message)

    async def arrives(self, phone: str, count: int, *, seconds: float = 20) -> list[Message]:
        """Wait until a phone has had so many messages, and return them all."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.inboxes.get(phone, [])) >= count)
            return list(self.inboxes[phone])

    async def settled(self) -> None:
        """Wait until every status was reported."""
        while self._reports:
            await asyncio.gather(*self._reports)

    # The API

    async def _answered(self, scope: Scope, body: bytes) -> tuple[int, Any]:
        sending, phone = _PATH.fullmatch(scope["path"]), _PHONE.fullmatch(scope["path"])
        if sending and scope["method"] == "POST":
            self._require_token(scope["headers"])
            if sending[1] != self._number:
                raise invalid(f"Object with ID '{sending[1]}' does not exist")
            return 200, await self._taken(_decoded(body))
        if phone and scope["method"] == "GET" and phone[2] is None:
            return 200, {"phone": phone[1], "messages": self.inboxes.get(phone[1], [])}
        if phone and scope["method"] == "POST" and phone[2]:
            return 200, {"webhook_status": await self._acted(phone[1], phone[2], _decoded(body) if body else {})}
        raise Refused(404, 2500, "Unknown path components")

    async def _acted(self, phone: str, what: str, asked: dict[str, Any]) -> int:
        try:
            if what == "say":
                return await self.say(phone, str(asked["text"]))
            return await (self.read(phone) if what == "read" else self.press(phone, str(asked["button"])))
        except LookupError as missing:
            raise Refused(404, 100, f"Nothing to {what}") from missing

    def _require_token(self, headers: list[tuple[bytes, bytes]]) -> None:
        wanted = f"Bearer {self._access_token}".encode()
        if not any(name == b"authorization" and hmac.compare_digest(value, wanted) for name, value in headers):
            raise Refused(401, 190, "Invalid OAuth access token - Cannot parse access token")

    async def _taken(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.refusing:
            raise Refused(*self.refusing.pop(0), "Refused on demand")
        message = taken(body, f"wamid.OUT{self._run}{next(self._serial)}", self.templates)
        to: str = body["to"].lstrip("+")
        if message.template is None and self._clock() - self._heard.get(to, float("-inf")) >= _WINDOW:
            details = "Message failed to send because more than 24 hours have passed since the customer last replied"
            raise Refused(400, 131047, "Re-engagement message", details)
        async with self._arrived:
            self.inboxes.setdefault(to, []).append(message)
            self._arrived.notify_all()
        if self.webhook_url:
            task = asyncio.create_task(self._delivered(to, message))
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)
        contact = {"input": body["to"], "wa_id": to}
        return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": message.wamid}]}

    # Webhooks

    async def _from(self, phone: str, content: dict[str, Any], wamid: str | None, at: float | None) -> int:
        self._heard[phone] = self._clock()
        message = {
            "from": phone,
            "id": wamid or f"wamid.IN{self._run}{next(self._serial)}",
            "timestamp": str(int(self._clock() if at is None else at)),
            **content,
        }
        contact = {"profile": {"name": "Ramesh"}, "wa_id": phone}
        return await self.post({"contacts": [contact], "messages": [message]})

    async def _delivered(self, phone: str, message: Message) -> int:
        await self._report(phone, message)
        message.state = "delivered" if message.state == "sent" else message.state
        return await self._report(phone, message)

    async def _report(self, phone: str, message: Message) -> int:
        status = {
            "id": message.wamid,
            "status": message.state,
            "timestamp": str(int(self._clock())),
            "recipient_id": phone,
        }
        return await self.post({"statuses": [status]})

    async def post(self, value: dict[str, Any], *, signature: str | None = None) -> int:
        """Post a signed webhook with this value, again after trouble; return the status of the last answer."""
        metadata = {"display_phone_number": "911100000000", "phone_number_id": self._number}
        change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
        document = {"object": "whatsapp_business_account", "entry": [{"id": "WABA", "changes": [change]}]}
        body = msgspec.json.encode(document)
        signed = hmac.new(self._app_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-hub-signature-256": signature or f"sha256={signed}"}
        status = 0
        async with httpx2.AsyncClient(verify=self._context or True, trust_env=False, timeout=10) as client:
            for attempt in range(_TRIES):
                try:
                    status = (await client.post(self.webhook_url, content=body, headers=headers)).status_code
                except httpx2.TransportError:
                    status = 0
                if 0 < status < 500:
                    break
                await asyncio.sleep(0.2 * 2**attempt)
        return status


def _pressed(message: Message, title: str, id_: str) -> dict[str, Any]:
    context = {"from": "911100000000", "id": message.wamid}
    if message.template is not None:
        return {"type": "button", "context": context, "button": {"payload": id_, "text": title}}
    reply = {"type": "button_reply", "button_reply": {"id": id_, "title": title}}
    return {"type": "interactive", "context": context, "interactive": reply}


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise invalid("the body is no JSON object") from problem


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _MAX_BODY:
            raise Refused(413, 100, "Too large")
    return body
