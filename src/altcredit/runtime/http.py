"""
One POST to an address that somebody else chose, such that it harms nobody here (security.md, outgoing callbacks).

The URL is https, without user, fragment or odd spelling of its host. Its host is resolved once a send, every address of
the answer must be a global one, and the connection goes to one of those very addresses: there is no second look-up that
could answer otherwise. The certificate must be the host's. No redirect is followed, no proxy is asked, no cookie kept.

The exchange is written on asyncio and llhttp (``runtime/wire.py``) and not on an HTTP client, because what matters
here is what is *not* done, and because it takes a quarter of the processor time: 0.18 ms on a kept connection, against
0.70 ms of httpcore2 and 0.86 ms of httpx2. The whole exchange has 15 seconds; of the answer, at most 64 KB are read,
head included; the status counts as soon as the head is complete.
"""

import asyncio
import ipaddress
import os
import ssl
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from altcredit.runtime import clock
from altcredit.runtime.certificates import Authority
from altcredit.runtime.destinations import Lookups, NotSent, Resolve, Rules, Target, is_allowed, parsed
from altcredit.runtime.keys import Keyring
from altcredit.runtime.settings import Settings, SettingsInvalid
from altcredit.runtime.wire import Idle, Patient

EXCHANGE_SECONDS = 15.0
ANSWER_BYTES = 65_536

_CONNECT_SECONDS = 5.0  # for an address, where the host has another one
_MOST_ADDRESSES = 4
_IDLE_SECONDS = 15.0  # shorter than what servers usually grant
_IDLE_CONNECTIONS = 8  # of one pool to one host


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """
    What came back: the status, and the body's beginning, as far as it was read.

    ``retry_after``: the seconds for which the receiver asks us to stay away, where it does.
    """

    status: int
    body: bytes
    retry_after: float | None = None


class Sender:
    """Sends POSTs by the rules, over connections that are kept for a while; one a process."""

    def __init__(
        self,
        *,
        rules: Rules,
        context: ssl.SSLContext,
        resolve: Resolve | None = None,
        seconds: float = EXCHANGE_SECONDS,
    ) -> None:
        """``resolve`` stands in for the system's resolver; ``seconds`` is the time of one exchange."""
        self.rules = rules
        self.seconds = seconds
        self._context = context
        self._lookups = Lookups()
        self._resolve: Resolve = resolve or self._lookups
        self._idle: Idle[Patient] = Idle(seconds=_IDLE_SECONDS, most=_IDLE_CONNECTIONS)

    @classmethod
    def open(cls, settings: Settings, *, authority_pem: str | None = None) -> Self:
        """
        Make a sender that trusts the system's authorities, and those of the settings.

        ``authority_pem``: the installation's own authority, which counts in development.

        :raises SettingsInvalid: the ports, the networks or the file of authorities cannot be used.
        """
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        try:
            if settings.callback_ca:
                context.load_verify_locations(cadata=Path(settings.callback_ca).expanduser().read_text())
            if authority_pem and settings.environment == "development":
                context.load_verify_locations(cadata=authority_pem)
        except (OSError, UnicodeError) as error:
            raise SettingsInvalid(f"ALTCREDIT_CALLBACK_CA: {error}") from error
        return cls(rules=Rules.of(settings), context=context)

    @classmethod
    def of(cls, settings: Settings, *, keyring: Keyring, now: datetime) -> Self:
        """Make the sender of this installation; in development it trusts the installation's own authority too."""
        authority = None
        if settings.environment == "development":
            authority = Authority.open(settings, keyring=keyring, now=now).pem
        return cls.open(settings, authority_pem=authority)

    async def close(self) -> None:
        """Close all connections."""
        self._idle.close()
        self._lookups.close()
        await asyncio.sleep(0)

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str], pool: str) -> Answer:
        """
        Send one POST and return the answer, whatever its status.

        Connections are kept for whoever names the same ``pool``. One that was kept, and is closed as it is used
        again, is replaced once: the same request may reach the receiver twice.

        :raises NotSent: the rules forbid it, or no complete head of an answer came within the time.
        """
        target = parsed(url, ports=self.rules.ports)
        request = _request(target, body, headers)
        deadline = asyncio.get_running_loop().time() + self.seconds
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._addresses(target)
            for address in addresses:
                key = (pool, target.host, target.port, address)
                kept = self._idle.take(key)
                if kept is not None and (answer := await self._exchange(key, kept, request, deadline)):
                    return answer
            async with asyncio.timeout_at(deadline):
                address, connection = await self._connected(target, addresses)
            answer = await self._exchange((pool, target.host, target.port, address), connection, request, deadline)
        except TimeoutError as error:
            raise NotSent("timeout", f"no answer within {self.seconds:g} seconds") from error
        if answer is None:
            raise NotSent("connect", "the connection was closed before an answer came")
        return answer

    async def _addresses(self, target: Target) -> list[str]:
        """Return the addresses of the target, all of them allowed."""
        try:
            addresses = [str(ipaddress.ip_address(target.host))]
        except ValueError:
            addresses = await self._looked_up(target)
        if not all(is_allowed(address, networks=self.rules.networks) for address in addresses):
            # Which one is not said: partners read this, and would learn what names mean inside our networks.
            raise NotSent("address", f"{target.host} has an address that is not allowed")
        return addresses[:_MOST_ADDRESSES]

    async def _looked_up(self, target: Target) -> list[str]:
        try:
            addresses = await self._resolve(target.host, target.port)
        except OSError as error:
            raise NotSent("dns", f"{target.host} cannot be resolved: {error.strerror or error}") from error
        if not addresses:
            raise NotSent("dns", f"{target.host} has no address")
        return addresses

    async def _connected(self, target: Target, addresses: list[str]) -> tuple[str, Patient]:
        problem: OSError | None = None
        for address in addresses:
            alone = address == addresses[-1]
            try:
                async with asyncio.timeout(None if alone else _CONNECT_SECONDS):
                    connection = await self._connect(target, address)
            except ssl.SSLError as error:
                raise NotSent("tls", f"TLS with {target.host} failed: {_tls_problem(error)}") from error
            except OSError as error:  # TimeoutError among them, which is this address's own where there is another
                problem = error
                continue
            return address, connection
        assert problem is not None
        reason = os.strerror(problem.errno) if problem.errno else type(problem).__name__
        raise NotSent("connect", f"no connection to {target.host} port {target.port}: {reason}") from problem

    async def _connect(self, target: Target, address: str) -> Patient:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            partial(Patient, head=ANSWER_BYTES, most=ANSWER_BYTES),
            address,
            target.port,
            ssl=self._context,
            server_hostname=target.host,
        )
        return connection

    async def _exchange(
        self, key: tuple[str, str, int, str], connection: Patient, request: bytes, deadline: float
    ) -> Answer | None:
        """
        Return the answer; None when the connection was closed without a byte of one. ``key``: whom it is kept for.

        A receiver that has said its status has been reached: what it drips after that, or fails to, changes nothing.
        """
        try:
            await connection.exchange(request, deadline=deadline)
            if connection.status:
                wait = connection.retry_after(now=clock.now())
                return Answer(status=connection.status, body=connection.body[:ANSWER_BYTES], retry_after=wait)
            if connection.end is None:
                raise TimeoutError
            if connection.heard:
                raise NotSent("answer", "the answer is not HTTP, or its head is incomplete or too long")
            return None
        finally:
            self._idle.give(key, connection)


def _request(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.authority}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    assert all("\r" not in line and "\n" not in line for line in lines), "a header of ours holds a line break"
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _tls_problem(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted ({error.verify_message})"
    return (error.reason or type(error).__name__).lower().replace("_", " ")
