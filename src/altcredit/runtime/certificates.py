"""
The internal certificate authority: X.509 on P-256 for distributors' clients, and for our own server where no other
certificate is configured.

Files, all under ``<home>/certificates``: ``authority.sealed`` (certificate and key, sealed by the keyring), ``ca.pem``
(the certificate, for those who verify), ``server.pem`` (our certificate, its issuer and its key, mode 0600).
A CSR lends its public key and nothing else: names, usages and times are ours. That a certificate is genuine does not
make it accepted: its fingerprint must be an active pin of its distributor, which is read with every request.
"""

import hashlib
import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from altcredit.runtime.keys import Keyring, write_private
from altcredit.runtime.refusal import Refusal
from altcredit.runtime.settings import Settings

TRUST_DOMAIN = "altscore.in"
ROOT_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
CRL_LIFETIME = timedelta(days=7)
CLOCK_SKEW = timedelta(minutes=5)  # a certificate made here and now must be valid on a machine that is a little late
_MAX_CSR = 16_384
_SEAL = {"owner": "authority", "purpose": "certificate_authority"}

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class CsrInvalid(Refusal):
    """The certificate signing request is unreadable, not signed by its own key, or its key is too weak."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate (PEM); ``sha256`` of its DER and ``serial`` are lower-case hex. ``key_pem``: if we made the key."""

    pem: str
    key_pem: str | None
    sha256: str
    serial: str
    not_before: datetime
    not_after: datetime


def spiffe_id(distributor_id: str) -> str:
    """Return the URI that names a distributor in its certificate."""
    return f"spiffe://{TRUST_DOMAIN}/distributor/{distributor_id}"


def accepted_key(csr_pem: str) -> PublicKey:
    """
    Return the public key of a PEM signing request whose sender holds the private key.

    Accepted are P-256, P-384, and RSA of 2048 to 4096 bits. Raises CsrInvalid.
    """
    if len(csr_pem) > _MAX_CSR:
        raise CsrInvalid("the CSR is too long")
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        signed, key = csr.is_signature_valid, csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CsrInvalid("not a PEM certificate signing request of a supported kind") from error
    if not signed:
        raise CsrInvalid("the CSR is not signed by its own key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096 and key.public_numbers().e >= 65537:
        return key
    raise CsrInvalid("the key must be P-256, P-384, or RSA of 2048 to 4096 bits")


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "AltCredit"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """The certificate and private key that sign the others."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        self.pem = certificate.public_bytes(Encoding.PEM).decode()

    @classmethod
    def create(cls, *, now: datetime, name: str = "AltCredit internal authority") -> Self:
        """Make a new root, valid for ten years. It may sign certificates and lists, and no further authorities."""
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder(_name(name), _name(name), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + ROOT_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def open(cls, settings: Settings, *, keyring: Keyring, now: datetime) -> Self:
        """
        Return the authority under the home folder, made on first use, and write ``ca.pem`` beside it.

        :raises altcredit.runtime.keys.SealBroken: it was sealed by another installation's keys.
        """
        folder = certificates_folder(settings)
        path = folder / "authority.sealed"
        if not path.exists():
            made = cls.create(now=now)
            sealed = keyring.seal(_key_pem(made._key) + made.pem.encode(), **_SEAL)
            with suppress(FileExistsError):  # another process was first: its authority is the installation's
                write_private(path, sealed, replace=False)
        sealed = path.read_bytes()
        if not keyring.is_current(sealed):
            sealed = keyring.rewrap(sealed)
            write_private(path, sealed, replace=True)
        content = keyring.unseal(sealed, **_SEAL)
        key = load_pem_private_key(content, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        authority = cls(x509.load_pem_x509_certificate(content), key)
        public = folder / "ca.pem"
        if not public.exists() or public.read_text() != authority.pem:
            write_private(public, authority.pem.encode(), replace=True)
            public.chmod(0o644)
        return authority

    def _issue(
        self,
        *,
        common_name: str,
        public_key: PublicKey,
        names: Iterable[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        lifetime: timedelta,
        now: datetime,
    ) -> x509.Certificate:
        issuer = self._certificate
        return (
            x509.CertificateBuilder(issuer.subject, _name(common_name), public_key, x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(min(now + lifetime, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, SHA256())
        )

    def issue_client(
        self, distributor_id: str, *, public_key: PublicKey | None, lifetime: timedelta, now: datetime
    ) -> Certificate:
        """Issue a distributor's client certificate for its key (see ``accepted_key``), or for a new P-256 key."""
        made = None
        if public_key is None:
            made = ec.generate_private_key(ec.SECP256R1())
            public_key = made.public_key()
        certificate = self._issue(
            common_name=distributor_id,
            public_key=public_key,
            names=[x509.UniformResourceIdentifier(spiffe_id(distributor_id))],
            usage=ExtendedKeyUsageOID.CLIENT_AUTH,
            lifetime=lifetime,
            now=now,
        )
        return _described(certificate, made)

    def issue_server(self, hosts: Iterable[str], *, now: datetime) -> Certificate:
        """Issue a server certificate for host names and addresses, with a new P-256 key."""
        names = list(dict.fromkeys(hosts))
        made = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(
            common_name=names[0],
            public_key=made.public_key(),
            names=[_general_name(name) for name in names],
            usage=ExtendedKeyUsageOID.SERVER_AUTH,
            lifetime=SERVER_LIFETIME,
            now=now,
        )
        return _described(certificate, made)

    def revocation_list(self, revoked: Iterable[tuple[str, datetime]], *, now: datetime) -> str:
        """Return a CRL (PEM) of serials (hex) and times of revocation, for proxies in front; good for seven days."""
        builder = (
            x509.CertificateRevocationListBuilder(self._certificate.subject, now, now + CRL_LIFETIME)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for serial, at in revoked:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(int(serial, 16), at).build())
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _described(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None) -> Certificate:
    return Certificate(
        pem=certificate.public_bytes(Encoding.PEM).decode(),
        key_pem=_key_pem(key).decode() if key else None,
        sha256=hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def certificates_folder(settings: Settings) -> Path:
    """Return the folder of the installation's certificates."""
    return settings.home_path / "certificates"


def server_hosts(settings: Settings) -> tuple[str, ...]:
    """Return the names a server certificate of ours is for: this machine, and what the settings say of its address."""
    configured = [settings.host, settings.admin_host, urlsplit(settings.base_url).hostname or ""]
    named = [host for host in configured if host not in {"", "0.0.0.0", "::"}]  # noqa: S104 - compared, not bound
    return tuple(dict.fromkeys(["localhost", "127.0.0.1", "::1", *named]))


def server_certificate(settings: Settings, *, authority: Authority, now: datetime) -> Path:
    """
    Return the file of our own server certificate and key, made anew when absent, foreign, near its end or misnamed.

    Clients trust it by ``ca.pem``.
    """
    path = certificates_folder(settings) / "server.pem"
    if not (path.exists() and _serves(path, authority, server_hosts(settings), now)):
        issued = authority.issue_server(server_hosts(settings), now=now)
        assert issued.key_pem is not None
        write_private(path, (issued.key_pem + issued.pem + authority.pem).encode(), replace=True)
    return path


def _serves(path: Path, authority: Authority, hosts: tuple[str, ...], now: datetime) -> bool:
    certificate, *chain = x509.load_pem_x509_certificates(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        set(names) == {_general_name(host) for host in hosts}
        and certificate.not_valid_after_utc - now > RENEW_BEFORE
        and chain == [x509.load_pem_x509_certificate(authority.pem.encode())]
    )
