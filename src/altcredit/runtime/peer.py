"""
Who is at the other end of a connection: the client's certificate, as TLS verified it or a trusted proxy tells, and the
client's address.

That a certificate is genuine and in its time says nothing about whether it counts: its fingerprint must be a live pin.
"""

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import MutableMapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from cryptography import x509

from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings, SettingsInvalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 9110's token; and a node of X-Forwarded-For or of Forwarded: an address, perhaps in brackets, perhaps with a port.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NODE = re.compile(
    r"(?P<v4>[0-9.]{7,15})(?::\d{1,5})?|\[(?P<bracketed>[0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?|(?P<v6>[0-9A-Fa-f:.]{2,45})"
)
_PAIR = re.compile(rf"[ \t]*({_WORD})=({_WORD}|\"(?:[^\"\\]|\\.)*\")[ \t]*([;,]|$)")
_CLIENT_CERT = re.compile(rb":([A-Za-z0-9+/]{1,16000}={0,2}):")


class ClientCertMalformed(Refusal):
    """A trusted proxy sent a Client-Cert header that is not one DER certificate (RFC 9440)."""


class PeerCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A client certificate: SHA-256 of its DER (32 bytes), serial (hex), URI among its names, end of its time."""

    sha256: bytes
    serial: str
    uri: str | None
    not_after: datetime


def described(der: bytes) -> PeerCertificate:
    """Read a certificate. Raises ValueError: not a certificate."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    return PeerCertificate(
        sha256=hashlib.sha256(der).digest(),
        serial=f"{certificate.serial_number:x}",
        uri=uris[0] if uris else None,
        not_after=certificate.not_valid_after_utc,
    )


def trusted_networks(settings: Settings) -> tuple[Network, ...]:
    """Return the proxies that may speak for clients, as networks. Raises SettingsInvalid."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in settings.trusted_proxies.split(",") if part.strip())
    except ValueError as error:
        raise SettingsInvalid(f"ALTCREDIT_TRUSTED_PROXIES: {error}") from error


def peer_certificate(scope: MutableMapping[str, Any], trusted: Sequence[Network]) -> PeerCertificate | None:
    """
    Return the client's certificate: the verified one of the connection, or what a trusted proxy says of it.

    A connection from a trusted proxy is the proxy's, whatever certificate it uses itself: there, and only there, the
    Client-Cert header of RFC 9440 counts. The proxy verifies; that the certificate is a live pin is still to be read.

    :raises ClientCertMalformed:
    """
    if trusted and scope["client"] and _is_trusted(scope["client"][0], trusted):
        return _from_header([value for name, value in scope["headers"] if name == b"client-cert"])
    peer: PeerCertificate | None = scope["extensions"]["tls"]["peer"]
    return peer


def client_address(scope: MutableMapping[str, Any], trusted: Sequence[Network]) -> Address | None:
    """
    Return the client's address: the connection's, or the one that trusted proxies forward; None where nobody can tell.

    Only on a connection from a trusted proxy do X-Forwarded-For and Forwarded (RFC 7239) count: the right-most address
    that is no trusted proxy's is the client's, since whatever is left of it the client may have written itself. A proxy
    that sets one of the two headers may pass the other on as the client sent it, so where both are there they must name
    the same client. IPv4 written as IPv6 is IPv4.
    """
    connection = _address(scope["client"][0]) if scope["client"] else None
    if connection is None or not any(connection in network for network in trusted):
        return connection
    headers = scope["headers"]
    told = [
        _right_most(nodes, connection, trusted)
        for nodes in (_x_forwarded_for(headers), _forwarded(headers))
        if nodes is not None
    ]
    if not told:
        return connection
    return told[0] if all(one == told[0] for one in told) else None


def _right_most(nodes: Sequence[str], connection: Address, trusted: Sequence[Network]) -> Address | None:
    """Return the last node that is no trusted proxy; the first of all where every one of them is."""
    client: Address | None = connection
    for node in reversed(nodes):
        client = _node(node)
        if client is None or not any(client in network for network in trusted):
            break
    return client


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the values of a header as the one list that they are (RFC 9110, 5.3)."""
    values = [value.decode("latin-1") for key, value in headers if key == name]
    return ",".join(values) if values else None


def _x_forwarded_for(headers: Sequence[tuple[bytes, bytes]]) -> list[str] | None:
    text = _values(headers, b"x-forwarded-for")
    return None if text is None else [node.strip(" \t") for node in text.split(",")]


def _forwarded(headers: Sequence[tuple[bytes, bytes]]) -> list[str] | None:
    """Return the ``for`` of each element; an empty text for one without, and at the end of what is malformed."""
    text = _values(headers, b"forwarded")
    if text is None:
        return None
    nodes, node, position, end = [], "", 0, ","
    while position < len(text) or end:
        pair = _PAIR.match(text, position)
        if pair is None:
            return [""]
        name, value, end = pair.groups()
        if name.lower() == "for":
            node = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if end != ";":
            nodes.append(node)
            node = ""
        position = pair.end()
    return nodes


def _node(text: str) -> Address | None:
    parts = _NODE.fullmatch(text)
    return _address(parts["v4"] or parts["bracketed"] or parts["v6"]) if parts else None


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        # One with a zone belongs to a link of ours, and to no list of addresses.
        return None if address.scope_id else address.ipv4_mapped or address
    return address


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    client = _address(address)
    return client is not None and any(client in network for network in trusted)


def _from_header(values: Sequence[bytes]) -> PeerCertificate | None:
    if not values:
        return None
    shape = _CLIENT_CERT.fullmatch(values[0]) if len(values) == 1 else None
    if shape is None:
        raise ClientCertMalformed("Client-Cert is not one byte sequence")
    try:
        return described(base64.b64decode(shape[1], validate=True))
    except (binascii.Error, ValueError) as error:
        raise ClientCertMalformed("Client-Cert is not a DER certificate") from error
