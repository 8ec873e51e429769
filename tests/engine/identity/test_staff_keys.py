"""Which keys are enrolled: those that a pinned vendor vouches for, verified their user, and cannot be copied."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from fido2.cose import ES384
from fido2.webauthn import AttestationObject, AttestedCredentialData
from tests.staffing import FLAG, TOUCHED, SoftKey, b64

from altcredit.engine import identity
from altcredit.engine.identity.people.attestation import Enrolment, Vendors, enrolled, vendors
from altcredit.runtime.settings import Settings

PARTY = identity.RelyingParty(rp_id="localhost", origin="https://localhost:8444")
CHALLENGE = b"\x05" * 32
TODAY = date(2026, 11, 22)
AAGUID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")


class Issuer:
    """A certificate and its key: a vendor's root, an intermediate, or the batch certificate of keys."""

    def __init__(
        self, name: str, by: "Issuer | None" = None, *, authority: bool = True, aaguid: bytes | None = None
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        attributes = [
            (x509.NameOID.COUNTRY_NAME, "SE"),
            (x509.NameOID.ORGANIZATION_NAME, "Maker"),
            (x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "Authenticator Attestation"),
            (x509.NameOID.COMMON_NAME, name),
        ]
        self.name = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
        now = datetime(2026, 11, 1, tzinfo=UTC)
        builder = x509.CertificateBuilder().subject_name(self.name).issuer_name(by.name if by else self.name)
        builder = builder.public_key(self.key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=365))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if aaguid is not None:
            builder = builder.add_extension(
                x509.UnrecognizedExtension(AAGUID_OID, b"\x04\x10" + aaguid), critical=False
            )
        self.certificate = builder.sign((by or self).key, SHA256())
        self.der = self.certificate.public_bytes(Encoding.DER)


ROOT = Issuer("root")
BATCH = Issuer("batch", ROOT, authority=False)
BELIEVED = Vendors(roots=(ROOT.certificate,))


def registration(
    key: SoftKey,
    batch: Issuer | None = BATCH,
    path: Sequence[Issuer] | None = None,
    *,
    flags: Any = TOUCHED,
    rp_id: str | None = None,
    fmt: str = "packed",
    alg: int = -7,
    **client: Any,
) -> bytes:
    """Return what a browser says of a new key, attested by ``batch`` (None: by the key itself)."""
    data = key.data(flags=flags, rp_id=rp_id, attested=True)
    client_data = key.client_data(**{"challenge": b64(CHALLENGE), "kind": "webauthn.create", **client})
    signer = batch.key if batch else key.private
    statement: dict[str, Any] = {
        "alg": alg,
        "sig": signer.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256())),
    }
    if batch is not None:
        statement["x5c"] = [one.der for one in (path or [batch])]
    attestation = AttestationObject.create(fmt, data, {} if fmt == "none" else statement)
    credential_id = b64(key.credential.credential_id)
    response = {"clientDataJSON": b64(client_data), "attestationObject": b64(attestation)}
    return json.dumps({"id": credential_id, "response": response}).encode()


def judged(content: bytes, believed: Vendors = BELIEVED, today: date = TODAY) -> Enrolment:
    return enrolled(content, party=PARTY, challenge=CHALLENGE, believed=believed, today=today)


def test_a_key_of_a_pinned_vendor_is_enrolled() -> None:
    key = SoftKey(PARTY)
    made = judged(registration(key))
    assert made.credential == bytes(key.credential)
    assert made.attested_by.startswith("CN=root")
    assert made.sign_count == key.counter


def test_a_chain_by_an_intermediate_authority_is_followed() -> None:
    middle = Issuer("middle", ROOT)
    batch = Issuer("batch of the middle", middle, authority=False)
    assert judged(registration(SoftKey(PARTY), batch, [batch, middle])).attested_by.startswith("CN=root")


def test_a_batch_certificate_is_no_authority_for_further_ones() -> None:
    forged = Issuer("forged", BATCH, authority=False)
    with pytest.raises(identity.KeyRefused, match="no authority"):
        judged(registration(SoftKey(PARTY), forged, [forged, BATCH]))


STRANGER = Issuer("root")  # by the same name
FOREIGN = Issuer("batch", STRANGER, authority=False)
OTHER = Issuer("batch", Issuer("other"), authority=False)


UNLIKE: dict[str, dict[str, Any]] = {
    "vouches for itself": {"batch": None},
    "by a root of the same name": {"batch": FOREIGN},
    "by another root": {"batch": OTHER},
    "brings its root along": {"batch": FOREIGN, "path": [FOREIGN, STRANGER]},
    "shows another certificate": {"path": [FOREIGN]},
    "by an authority itself": {"batch": Issuer("authority", ROOT)},
    "by the batch of another model": {"batch": Issuer("another model", ROOT, authority=False, aaguid=b"\x09" * 16)},
    "unattested": {"fmt": "none"},
    "attested as by U2F": {"fmt": "fido-u2f"},
    "attested as by Apple": {"fmt": "apple"},
    "user not verified": {"flags": FLAG.UP},
    "user not present": {"flags": FLAG.UV},
    "can be copied": {"flags": TOUCHED | FLAG.BE},
    "was copied": {"flags": TOUCHED | FLAG.BE | FLAG.BS},
    "of another host": {"rp_id": "example.com"},
    "of another origin": {"origin": "https://evil.example"},
    "from within another site": {"crossOrigin": True},
    "an assertion": {"kind": "webauthn.get"},
    "of another challenge": {"challenge": b64(b"\x06" * 32)},
}


@pytest.mark.parametrize("case", UNLIKE)
def test_any_other_key_is_refused(case: str) -> None:
    with pytest.raises(identity.KeyRefused):
        judged(registration(SoftKey(PARTY), **UNLIKE[case]))


def test_the_model_in_the_batch_certificate_is_that_of_the_key() -> None:
    named = Issuer("model", ROOT, authority=False, aaguid=b"\x07" * 16)
    assert judged(registration(SoftKey(PARTY, aaguid=b"\x07" * 16), named)).attested_by.startswith("CN=root")


def test_a_key_of_an_algorithm_that_was_not_asked_for_is_refused() -> None:
    key = SoftKey(PARTY)
    public = ES384.from_cryptography_key(ec.generate_private_key(ec.SECP384R1()).public_key())
    key.credential = AttestedCredentialData.create(b"\x07" * 16, b"\x01" * 32, public)
    with pytest.raises(identity.KeyRefused):
        judged(registration(key))


def test_a_registration_for_another_key_id_is_refused() -> None:
    content = json.loads(registration(SoftKey(PARTY)))
    with pytest.raises(identity.KeyRefused):
        judged(json.dumps({**content, "id": b64(b"\x01" * 32)}).encode())


def test_a_vendors_root_that_is_over_vouches_for_nobody() -> None:
    with pytest.raises(identity.KeyRefused, match="valid now"):
        judged(registration(SoftKey(PARTY)), today=date(2030, 1, 1))


def test_without_pinned_vendors_no_key_is_enrolled() -> None:
    for believed in (Vendors(), Vendors(virtual=True)):
        with pytest.raises(identity.KeyRefused):
            judged(registration(SoftKey(PARTY)), believed)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"[" * 8000, b"x" * 9000])
def test_what_is_no_registration_is_refused(content: bytes) -> None:
    with pytest.raises(identity.KeyRefused):
        judged(content)


def test_no_cut_or_changed_registration_is_more_than_refused() -> None:
    """Every byte of the attestation object, cut there or changed: an anticipated no, or the same key."""
    key = SoftKey(PARTY)
    content = json.loads(registration(key))
    raw = _bytes(content["response"]["attestationObject"])
    for at in range(0, len(raw), 5):
        flipped = bytearray(raw)
        flipped[at] ^= 0x41
        for broken in (raw[:at], bytes(flipped)):
            response = {**content["response"], "attestationObject": b64(broken)}
            try:
                made = judged(json.dumps({**content, "response": response}).encode())
            except identity.KeyRefused:
                continue
            assert made.credential == bytes(key.credential)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_roots_are_read_from_pem_and_from_fidos_metadata(tmp_path: Path) -> None:
    pem = tmp_path / "roots.pem"
    pem.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    assert judged(registration(SoftKey(PARTY)), vendors(Settings(staff_key_roots=str(pem)))).attested_by
    blob = tmp_path / "blob.jwt"
    blob.write_bytes(metadata(status="FIDO_CERTIFIED"))
    assert judged(registration(SoftKey(PARTY)), vendors(Settings(staff_key_roots=str(blob)))).attested_by
    revoked = tmp_path / "revoked.jwt"
    revoked.write_bytes(metadata(status="REVOKED"))
    with pytest.raises(identity.KeyRefused):
        judged(registration(SoftKey(PARTY)), vendors(Settings(staff_key_roots=str(revoked))))


def metadata(*, status: str) -> bytes:
    """Return an MDS3 blob that knows the soft keys' model."""
    statement = {
        "description": "Soft key", "authenticatorVersion": 1, "schema": 3, "upv": [{"major": 1, "minor": 0}],
        "attestationTypes": ["basic_full"], "userVerificationDetails": [], "keyProtection": ["hardware"],
        "matcherProtection": ["on_chip"], "attachmentHint": ["external"], "tcDisplay": [],
        "attestationRootCertificates": [base64.b64encode(ROOT.der).decode()],
    }  # fmt: skip
    entry = {
        "aaguid": "07070707-0707-0707-0707-070707070707",
        "metadataStatement": statement,
        "statusReports": [{"status": status, "effectiveDate": "2026-01-01"}],
        "timeOfLastStatusChange": "2026-01-01",
    }
    payload = {"legalHeader": "", "no": 1, "nextUpdate": "2026-12-01", "entries": [entry]}
    return ".".join(b64(part) for part in (b'{"alg":"ES256"}', msgspec.json.encode(payload), b"-")).encode()


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\n", b"a.b.c"])
def test_a_file_of_roots_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "roots"
    file.write_bytes(content)
    for named in (file, tmp_path / "missing"):
        with pytest.raises(identity.KeyRootsInvalid):
            vendors(Settings(staff_key_roots=str(named)))
