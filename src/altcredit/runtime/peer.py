"""
Who is at the other end of a connection: the client's certificate, as TLS verified it or a trusted proxy tells.

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

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    client = ipaddress.ip_address(address)
    if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped:
        client = client.ipv4_mapped
    return any(client in network for network in trusted)


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
