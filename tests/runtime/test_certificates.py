import base64
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from altcredit.runtime.certificates import (
    Authority,
    CsrInvalid,
    accepted_key,
    server_certificate,
    server_hosts,
)
from altcredit.runtime.keys import KeyProvider, Keyring, SealBroken
from altcredit.runtime.settings import Settings

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAYS_90 = timedelta(days=90)
KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create(now=NOW)


def signing_request(key: Any, *, names: list[x509.GeneralName] | None = None) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AltCredit internal authority")])
    builder = x509.CertificateSigningRequestBuilder(subject).add_extension(x509.BasicConstraints(True, None), True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


def openssl(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, capture_output=True, text=True)


def parsed(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def test_openssl_verifies_the_chain_in_strict_mode_for_its_purpose_only(authority: Authority, tmp_path: Path) -> None:
    client = authority.issue_client("dist_c4f9", public_key=None, lifetime=DAYS_90, now=NOW)
    server = authority.issue_server(["localhost", "127.0.0.1"], now=NOW)
    for name, pem in {"ca": authority.pem, "client": client.pem, "server": server.pem}.items():
        (tmp_path / name).write_text(pem)
    at = ["verify", "-x509_strict", "-attime", int(NOW.timestamp()), "-CAfile", "ca"]
    assert openssl(*at, "-purpose", "sslclient", "client", cwd=tmp_path).returncode == 0
    assert openssl(*at, "-purpose", "sslserver", "server", cwd=tmp_path).returncode == 0
    assert openssl(*at, "-purpose", "sslserver", "client", cwd=tmp_path).returncode != 0
    assert openssl(*at, "-purpose", "sslclient", "server", cwd=tmp_path).returncode != 0
    assert openssl(*at, "-verify_hostname", "localhost", "server", cwd=tmp_path).returncode == 0
    assert openssl(*at, "-verify_ip", "127.0.0.1", "server", cwd=tmp_path).returncode == 0
    assert openssl(*at, "-verify_hostname", "example.org", "server", cwd=tmp_path).returncode != 0


def test_a_client_certificate_says_which_distributor_for_90_days_and_nothing_more(authority: Authority) -> None:
    issued = authority.issue_client("dist_c4f9", public_key=None, lifetime=DAYS_90, now=NOW)
    certificate = parsed(issued.pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://altscore.in/distributor/dist_c4f9")]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc == NOW + DAYS_90 == issued.not_after
    assert NOW - timedelta(minutes=5) == certificate.not_valid_before_utc == issued.not_before
    assert issued.serial == f"{certificate.serial_number:x}"
    assert issued.sha256 == certificate.fingerprint(hashes.SHA256()).hex()
    assert issued.key_pem is not None
    assert load_pem_private_key(issued.key_pem.encode(), None).public_key() == certificate.public_key()


def test_nothing_but_the_key_is_taken_from_a_csr(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.UniformResourceIdentifier("spiffe://x/admin")]
    public_key = accepted_key(signing_request(key, names=names))
    issued = authority.issue_client("dist_c4f9", public_key=public_key, lifetime=DAYS_90, now=NOW)
    assert issued.key_pem is None
    certificate = parsed(issued.pem)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "dist_c4f9"
    made = parsed(authority.issue_client("dist_c4f9", public_key=None, lifetime=DAYS_90, now=NOW).pem)
    assert [extension.oid for extension in certificate.extensions] == [extension.oid for extension in made.extensions]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(alternative)) == 1


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ],
    ids=["P-256", "P-384", "RSA 2048"],
)
def test_a_csr_of_a_good_key_is_accepted(authority: Authority, key: Any, tmp_path: Path) -> None:
    issued = authority.issue_client("dist_a", public_key=accepted_key(signing_request(key)), lifetime=DAYS_90, now=NOW)
    (tmp_path / "ca").write_text(authority.pem)
    (tmp_path / "client").write_text(issued.pem)
    at = ["verify", "-x509_strict", "-attime", int(NOW.timestamp()), "-CAfile", "ca", "-purpose", "sslclient"]
    assert openssl(*at, "client", cwd=tmp_path).returncode == 0


def test_a_csr_by_openssl_is_accepted(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", "k.pem", "-out", "r.pem", "-subj", "/CN=x"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    assert isinstance(accepted_key((tmp_path / "r.pem").read_text()), ec.EllipticCurvePublicKey)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        rsa.generate_private_key(public_exponent=3, key_size=2048),
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["RSA 1024", "RSA with exponent 3", "P-224", "secp256k1", "Ed25519"],
)
def test_a_csr_of_a_weak_or_unusual_key_is_refused(key: Any) -> None:
    with pytest.raises(CsrInvalid, match="must be"):
        accepted_key(signing_request(key))


def test_a_csr_that_its_key_did_not_sign_is_refused() -> None:
    genuine = x509.load_pem_x509_csr(signing_request(ec.generate_private_key(ec.SECP256R1())).encode())
    der = genuine.public_bytes(Encoding.DER)
    other = genuine
    while other is genuine or len(other.public_bytes(Encoding.DER)) != len(der):  # signatures vary by a byte or two
        other = x509.load_pem_x509_csr(signing_request(ec.generate_private_key(ec.SECP256R1())).encode())
    stolen = other.public_bytes(Encoding.DER).replace(other.tbs_certrequest_bytes, genuine.tbs_certrequest_bytes)
    assert genuine.tbs_certrequest_bytes in stolen
    for altered in (stolen, der[:-1] + bytes([der[-1] ^ 1])):
        with pytest.raises(CsrInvalid):
            accepted_key(pem_of(altered))


def pem_of(der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    "text", ["", "x", "-----BEGIN CERTIFICATE REQUEST-----", "é", "\0", pem_of(b"\x30\x00"), pem_of(b"0" * 20_000)]
)
def test_what_is_no_csr_is_refused(text: str) -> None:
    with pytest.raises(CsrInvalid):
        accepted_key(text)


def test_openssl_finds_a_revoked_certificate_in_the_list(authority: Authority, tmp_path: Path) -> None:
    revoked, good = (
        authority.issue_client(name, public_key=None, lifetime=DAYS_90, now=NOW) for name in ("dist_a", "dist_b")
    )
    crl = authority.revocation_list([(revoked.serial, NOW)], now=NOW)
    for name, pem in {"ca": authority.pem, "revoked": revoked.pem, "good": good.pem, "crl": crl}.items():
        (tmp_path / name).write_text(pem)
    at = ["verify", "-crl_check", "-attime", int(NOW.timestamp()) + 1, "-CAfile", "ca", "-CRLfile", "crl"]
    assert openssl(*at, "good", cwd=tmp_path).returncode == 0
    finished = openssl(*at, "revoked", cwd=tmp_path)
    assert finished.returncode != 0
    assert "certificate revoked" in finished.stderr


def test_the_authority_is_made_once_and_its_key_is_never_in_clear_on_disk(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    first = Authority.open(settings, keyring=KEYRING, now=NOW)
    again = Authority.open(settings, keyring=KEYRING, now=NOW + timedelta(days=1))
    assert again.pem == first.pem == (tmp_path / "certificates" / "ca.pem").read_text()
    for file in (tmp_path / "certificates").iterdir():
        assert b"PRIVATE" not in file.read_bytes()
    assert stat.S_IMODE((tmp_path / "certificates" / "authority.sealed").stat().st_mode) == 0o600
    stranger = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x09" * 32,)))
    with pytest.raises(SealBroken):
        Authority.open(settings, keyring=stranger, now=NOW)


def test_the_authority_moves_to_a_new_key_encryption_key_by_itself(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    first = Authority.open(settings, keyring=KEYRING, now=NOW)
    both = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x02" * 32, b"\x01" * 32)))
    Authority.open(settings, keyring=both, now=NOW)
    new = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x02" * 32,)))
    assert Authority.open(settings, keyring=new, now=NOW).pem == first.pem


def test_the_server_certificate_is_kept_until_it_nears_its_end_or_no_longer_fits(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    authority = Authority.open(settings, keyring=KEYRING, now=NOW)

    def serial(settings: Settings = settings, authority: Authority = authority, now: datetime = NOW) -> int:
        path = server_certificate(settings, authority=authority, now=now)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        return parsed(path.read_text()).serial_number

    first = serial()
    assert serial(now=NOW + timedelta(days=59)) == first
    renewed = serial(now=NOW + timedelta(days=60))
    assert renewed != first
    elsewhere = Settings(home=str(tmp_path), host="10.1.2.3", base_url="https://credit.example.org:8443")
    renamed = serial(elsewhere, now=NOW + timedelta(days=60))
    assert renamed != renewed
    assert serial(elsewhere, now=NOW + timedelta(days=60)) == renamed
    assert serial(elsewhere, authority=Authority.create(now=NOW), now=NOW + timedelta(days=60)) != renamed


def test_a_server_certificate_names_this_machine_and_the_configured_address() -> None:
    settings = Settings(host="0.0.0.0", admin_host="::1", base_url="https://credit.example.org:8443")
    assert server_hosts(settings) == ("localhost", "127.0.0.1", "::1", "credit.example.org")


def test_a_certificate_never_outlives_its_authority(authority: Authority) -> None:
    late = NOW + timedelta(days=3640)
    issued = authority.issue_client("dist_a", public_key=None, lifetime=DAYS_90, now=late)
    assert issued.not_after == NOW + timedelta(days=3650)
