"""
Where a request may go that goes to an address which somebody else chose: the form of the URL, and the addresses of its
host (security.md, outgoing callbacks).
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Self

import msgspec

from altcredit.runtime.peer import Network
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings, SettingsInvalid

URL_CHARACTERS = 2_000

_LOOKUPS = 16

Cause = Literal["url", "dns", "address", "connect", "tls", "timeout", "answer"]
Resolve = Callable[[str, int], Awaitable[list[str]]]

_URL = re.compile(
    r"(?i:https)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# What resolvers and libraries of the C family take for a number: such a host is an address in disguise, or no host.
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")

# IANA's special-purpose registries, which `ipaddress` of Python 3.11 knows in part. Of IPv6 only 2000::/3 is handed
# out at all, so everything else (loopback, mapped and compatible, NAT64, unique local, multicast …) is refused by that.
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_SPECIAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",
    )
)
_LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class NotSent(Refusal):
    """The POST was not sent, or no answer to it came back; ``cause`` says which part failed, the message says how."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Where a POST may go: ``ports`` (None: any) and, beside global addresses, ``networks``."""

    ports: frozenset[int] | None
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read the settings; development adds loopback addresses and all ports. Raises SettingsInvalid."""
        try:
            ports = frozenset(int(part) for part in settings.callback_ports.split(","))
            networks = tuple(
                ipaddress.ip_network(part.strip()) for part in settings.callback_networks.split(",") if part.strip()
            )
        except ValueError as error:
            raise SettingsInvalid(f"ALTCREDIT_CALLBACK_PORTS, ALTCREDIT_CALLBACK_NETWORKS: {error}") from error
        if settings.environment == "development":
            return cls(ports=None, networks=(*networks, *_LOOPBACK))
        return cls(ports=ports, networks=networks)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A URL's parts: ``host`` in lower case without brackets, ``path`` with the query."""

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


def parsed(url: str, *, ports: frozenset[int] | None) -> Target:
    """Return the parts of an acceptable URL. Raises NotSent (cause ``url``), whose message says what is wrong."""
    shape = _URL.fullmatch(url) if len(url) <= URL_CHARACTERS else None
    if shape is None:
        raise NotSent("url", _complaint(url))
    port = int(shape["port"] or 443)
    if not 0 < port < 65536 or (ports is not None and port not in ports):
        allowed = ", ".join(map(str, sorted(ports))) if ports is not None else "1 to 65535"
        raise NotSent("url", f"port {port} is not allowed; allowed: {allowed}")
    return Target(host=_host(shape["host"]), port=port, path=(shape["path"] or "/") + (shape["query"] or ""))


def _complaint(url: str) -> str:
    if len(url) > URL_CHARACTERS:
        return f"the URL has more than {URL_CHARACTERS} characters"
    if not url.isascii():
        return "the URL has characters outside ASCII: write the host as xn--… and other characters as %…"
    if not url.lower().startswith("https://"):
        return "the URL must begin with https://"
    if "#" in url:
        return "the URL has a fragment (#)"
    if "@" in re.split(r"[/?]", url[8:], maxsplit=1)[0]:
        return "the URL names a user before its host (@)"
    return "this is not a URL of the form https://host/path"


def _host(written: str) -> str:
    host = written.lower()
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError as error:
            raise NotSent("url", f"{written} is not an IPv6 address") from error
    labels = host.split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise NotSent("url", f"{written} is neither a host name nor an IPv4 address like 192.0.2.1") from error
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise NotSent("url", f"{written} is not a host name")
    return host


def is_allowed(address: str, *, networks: tuple[Network, ...]) -> bool:
    """Tell whether a POST may go to an IP address: a global unicast one, or one of the networks."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if any(ip in network for network in networks):
        return True
    if isinstance(ip, ipaddress.IPv6Address) and (ip.scope_id is not None or ip not in _GLOBAL_V6):
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL)


class Lookups:
    """
    Host names by the system's resolver, in threads of their own.

    One name has one look-up under way at a time, so a name server that does not answer takes one thread, and holds up
    only those who ask for that name.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=_LOOKUPS, thread_name_prefix="lookup")
        self._under_way: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host. Raises OSError."""
        key = (host, port)
        lookup = self._under_way.get(key)
        if lookup is None:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
            self._under_way[key] = lookup
            lookup.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(lookup)

    def _forget(self, key: tuple[str, int], done: asyncio.Future[list[str]]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # whoever asked may be gone: then nobody else would look at it

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"no host name: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
