"""Messages to WhatsApp's Cloud API over HTTPS: one POST, a bounded answer, and what it means for the message."""

import asyncio
import ssl
from typing import Any, Literal, Self

import msgspec

from altcredit.engine.messaging.account import Account

ANSWER_BYTES = 64 * 1024
_SECONDS = 15.0
# Codes of WhatsApp that say "not now": rate limits, and its own troubles.
_LATER = frozenset({1, 2, 4, 80007, 130429, 131000, 131016, 131048, 131056, 133004, 131057})
# The token or the account is at fault, not the message: an operator mends that, and the message goes then.
_ACCOUNT = frozenset({0, 190, 3, 10, 368, 131005, 131031, 131045, 133010})
_OUTSIDE_WINDOW = 131047

End = Literal["sent", "later", "never", "window"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a sending ended. ``window``: WhatsApp holds that 24 hours have passed, so only a template would go."""

    end: End
    wamid: str = ""
    problem: str = ""


class Client:
    """Connections to one account; one a process. Follows no redirect, asks no proxy, reads no environment."""

    def __init__(self, account: Account, *, context: ssl.SSLContext | None = None, seconds: float = _SECONDS) -> None:
        import httpx2  # only workers send; the API knows this module for its other nouns

        self.account = account
        self._seconds = seconds
        self._http = httpx2.AsyncClient(
            verify=context or ssl.create_default_context(),
            timeout=httpx2.Timeout(seconds, connect=min(5.0, seconds)),
            follow_redirects=False,
            trust_env=False,
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30),
            headers={"authorization": f"Bearer {account.access_token}", "accept-encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def send(self, body: dict[str, Any]) -> Outcome:
        """Post one message. Whatever goes wrong on the way is an outcome; the same message may then arrive twice."""
        import httpx2

        try:
            async with asyncio.timeout(self._seconds):
                status, answer = await self._posted(msgspec.json.encode(body))
        except (httpx2.HTTPError, TimeoutError, OSError) as problem:
            return Outcome(end="later", problem=f"no answer ({type(problem).__name__})")
        return judged(status, answer)

    async def _posted(self, body: bytes) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"}
        url = self.account.messages_url
        async with self._http.stream("POST", url, content=body, headers=headers) as reply:
            answer = b""
            async for chunk in reply.aiter_raw():
                answer += chunk
                if len(answer) > ANSWER_BYTES:
                    break
            return reply.status_code, answer[:ANSWER_BYTES]


class _Sent(msgspec.Struct, frozen=True):
    id: str


class _Answer(msgspec.Struct, frozen=True):
    messages: list[_Sent]


class _Error(msgspec.Struct, frozen=True):
    code: int = -1


class _Refused(msgspec.Struct, frozen=True):
    error: _Error


def judged(status: int, answer: bytes) -> Outcome:
    """Return what an answer means (Cloud API error codes, v23.0)."""
    if status == 200:
        try:
            return Outcome(end="sent", wamid=msgspec.json.decode(answer, type=_Answer).messages[0].id)
        except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
            return Outcome(end="later", problem="its answer names no message")
    try:
        code = msgspec.json.decode(answer, type=_Refused).error.code
    except (msgspec.MsgspecError, UnicodeDecodeError):
        code = -1
    problem = f"status {status}, code {code}"
    if code == _OUTSIDE_WINDOW:
        return Outcome(end="window", problem=problem)
    if status in (401, 403, 429) or status >= 500 or code in _LATER or code in _ACCOUNT:
        return Outcome(end="later", problem=problem)
    return Outcome(end="never", problem=problem)
