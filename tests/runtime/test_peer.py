import base64
import hashlib
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from altcredit.runtime.certificates import Authority
from altcredit.runtime.peer import (
    ClientCertMalformed,
    PeerCertificate,
    described,
    peer_certificate,
    trusted_networks,
)
from altcredit.runtime.settings import Settings, SettingsInvalid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AUTHORITY = Authority.create(now=NOW)
DER = ssl.PEM_cert_to_DER_cert(
    AUTHORITY.issue_client("dist_a", public_key=None, lifetime=timedelta(days=90), now=NOW).pem
)
OTHER = described(
    ssl.PEM_cert_to_DER_cert(
        AUTHORITY.issue_client("dist_proxy", public_key=None, lifetime=timedelta(days=90), now=NOW).pem
    )
)
HEADER = b":" + base64.b64encode(DER) + b":"
PROXIES = trusted_networks(Settings(trusted_proxies="10.0.0.0/8, 127.0.0.1,2001:db8::/32"))


def scope(*headers: bytes, client: str = "127.0.0.1", peer: PeerCertificate | None = None) -> dict[str, Any]:
    return {
        "client": (client, 1234),
        "headers": [(b"host", b"x"), *((b"client-cert", value) for value in headers)],
        "extensions": {"tls": {"tls_version": 0x0304, "peer": peer}},
    }


def test_a_certificate_is_described_by_what_identifies_it() -> None:
    found = described(DER)
    assert found.sha256 == hashlib.sha256(DER).digest()
    assert found.uri == "spiffe://altscore.in/distributor/dist_a"
    assert found.not_after == NOW + timedelta(days=90)
    assert int(found.serial, 16) > 0


@pytest.mark.parametrize("client", ["127.0.0.1", "10.200.3.4", "::ffff:10.1.1.1", "2001:db8::7"])
def test_a_trusted_proxy_speaks_for_the_client(client: str) -> None:
    assert peer_certificate(scope(HEADER, client=client), PROXIES) == described(DER)


@pytest.mark.parametrize("client", ["192.0.2.1", "127.0.0.2", "::1", "2001:db9::7"])
def test_the_header_of_anyone_else_counts_for_nothing(client: str) -> None:
    assert peer_certificate(scope(HEADER, client=client), PROXIES) is None
    assert peer_certificate(scope(HEADER, client=client, peer=OTHER), PROXIES) == OTHER


def test_without_configured_proxies_no_header_counts() -> None:
    assert trusted_networks(Settings()) == ()
    assert peer_certificate(scope(HEADER), ()) is None
    assert peer_certificate(scope(HEADER, peer=OTHER), ()) == OTHER


def test_the_proxys_own_certificate_is_never_taken_for_the_clients() -> None:
    assert peer_certificate(scope(peer=OTHER), PROXIES) is None
    assert peer_certificate(scope(HEADER, peer=OTHER), PROXIES) == described(DER)


@pytest.mark.parametrize(
    "headers",
    [
        [b""],
        [b"::"],
        [base64.b64encode(DER)],
        [b":" + base64.b64encode(DER)],
        [HEADER + b", " + HEADER],
        [HEADER, HEADER],
        [HEADER, b""],
        [b":" + base64.b64encode(DER[:-1]) + b":"],
        [b":" + base64.b64encode(DER + b"x") + b":"],
        [b":" + base64.b64encode(b"not a certificate") + b":"],
        [b":A:"],
        [b": " + base64.b64encode(DER) + b":"],
        [b":" + base64.urlsafe_b64encode(b"\xfb\xff" * 30) + b":"],
        [b":" + b"A" * 20_000 + b":"],
        [ssl.DER_cert_to_PEM_cert(DER).replace("\n", "%0A").encode()],
    ],
)
def test_a_header_that_is_not_exactly_one_certificate_is_refused(headers: list[bytes]) -> None:
    with pytest.raises(ClientCertMalformed):
        peer_certificate(scope(*headers), PROXIES)


@pytest.mark.parametrize("value", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_proxies_that_are_no_addresses_are_refused_by_name(value: str) -> None:
    with pytest.raises(SettingsInvalid, match="ALTCREDIT_TRUSTED_PROXIES"):
        trusted_networks(Settings(trusted_proxies=value))
