"""
Enrolling a hardware key: what it signs at its birth, and the maker that vouches for it.

A key says itself what model it is (its AAGUID): that proves nothing. What counts is the certificate of its batch,
chained to a root that the operator has pinned: vendors' roots (PEM), or those of FIDO's metadata (an MDS3 blob).
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fido2.attestation.base import AttestationResult, AttestationType, InvalidAttestation, verify_x509_chain
from fido2.attestation.packed import PackedAttestation
from fido2.mds3 import MdsAttestationVerifier, parse_blob
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestationObject,
    AuthenticatorData,
    PublicKeyCredentialRpEntity,
    RegistrationResponse,
    UserVerificationRequirement,
)

from altcredit.engine.identity.people.party import RelyingParty
from altcredit.engine.identity.people.staff import KeyRefused, KeyRootsInvalid
from altcredit.engine.identity.people.webauthn import MAX_BYTES, UNPARSABLE, Encoded, packed
from altcredit.runtime.settings import Settings

# COSE: ECDSA with P-256, EdDSA. All hardware keys of today speak the first.
ALGORITHMS = (-7, -8)
# Chromium's virtual authenticators all sign with one key, which is published in its source.
VIRTUAL_KEY = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d030107034200048d617e65c9508e64bcc5673ac82a6799da3c1446682c258c463fffdf58"
    "dfd2fa3e6c378b53d795c4a4dffb4199edd7862f23abaf0203b4b8911ba0569994e101"
)


class Vendors(msgspec.Struct, frozen=True, kw_only=True):
    """Who is believed to make hardware keys. ``virtual``: Chromium's virtual authenticators too, for development."""

    roots: tuple[x509.Certificate, ...] = ()
    metadata: MdsAttestationVerifier | None = None
    virtual: bool = False


def vendors(settings: Settings) -> Vendors:
    """Read the file of roots that the settings name. Raises KeyRootsInvalid."""
    return _vendors(settings.staff_key_roots, settings.staff_virtual_keys)


@lru_cache(maxsize=4)  # an MDS3 blob is megabytes; a changed file counts from the next start
def _vendors(file: str, virtual: bool) -> Vendors:
    if not file:
        return Vendors(virtual=virtual)
    try:
        content = Path(file).expanduser().read_bytes()
        if b"-----BEGIN" in content:
            return Vendors(roots=tuple(x509.load_pem_x509_certificates(content)), virtual=virtual)
        # Its signature is FIDO's to its distributors; here the file itself is pinned, as the operator's key files are.
        return Vendors(metadata=MdsAttestationVerifier(parse_blob(content.strip(), None)), virtual=virtual)
    except (OSError, *UNPARSABLE) as error:
        raise KeyRootsInvalid(f"{file}: neither PEM certificates nor a FIDO MDS3 blob that can be read") from error


class _Response(msgspec.Struct, frozen=True, rename="camel"):
    client_data_json: Encoded = msgspec.field(name="clientDataJSON")
    attestation_object: Encoded


class _Registration(msgspec.Struct, frozen=True, rename="camel"):
    id: Encoded
    response: _Response


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """A new key: its id, its attested credential data, its counter, and who vouches for it."""

    credential_id: bytes
    credential: bytes
    sign_count: int
    attested_by: str


def creation_options(
    *, party: RelyingParty, challenge: bytes, user_handle: bytes, name: str, credential_ids: Sequence[bytes]
) -> dict[str, Any]:
    """Return PublicKeyCredentialCreationOptions as JSON values: bytes are base64url."""
    return {
        "rp": {"id": party.rp_id, "name": "AltCredit"},
        "user": {"id": packed(user_handle), "name": name, "displayName": name},
        "challenge": packed(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "excludeCredentials": [{"type": "public-key", "id": packed(one)} for one in credential_ids],
        "authenticatorSelection": {
            "authenticatorAttachment": "cross-platform",
            "residentKey": "discouraged",
            "userVerification": "required",
        },
        "attestation": "direct",
        "timeout": 120_000,
    }


def enrolled(content: bytes, *, party: RelyingParty, challenge: bytes, believed: Vendors, today: date) -> Enrolment:
    """
    Return the new key of a registration (the JSON of the browser's credential).

    :raises KeyRefused: not in answer to this challenge here, the user not verified, a key that can be copied, or none
        that a believed vendor vouches for.
    """
    attested: list[str] = []

    def judge(attestation: AttestationObject, client_data_hash: bytes) -> None:
        attested.append(_attested(attestation, client_data_hash, believed, today))

    entity = PublicKeyCredentialRpEntity(id=party.rp_id, name="AltCredit")
    server = Fido2Server(entity, AttestationConveyancePreference.DIRECT, party.origin.__eq__, judge)
    state = {"challenge": packed(challenge), "user_verification": UserVerificationRequirement.REQUIRED}
    try:
        given = msgspec.json.decode(content, type=_Registration) if len(content) <= MAX_BYTES else None
        if given is None:
            raise KeyRefused("too long")
        said = {
            "clientDataJSON": given.response.client_data_json,
            "attestationObject": given.response.attestation_object,
        }
        registration = RegistrationResponse.from_dict({"id": given.id, "rawId": given.id, "response": said})
        data = server.register_complete(state, registration)
        crossed = registration.response.client_data.cross_origin
    except (InvalidAttestation, *UNPARSABLE) as error:
        raise KeyRefused("not a registration that proves its key") from error
    return _judged(data, crossed=crossed, credential_id=registration.raw_id, attested_by=attested[0])


def _judged(data: AuthenticatorData, *, crossed: bool, credential_id: bytes, attested_by: str) -> Enrolment:
    made = data.credential_data
    if crossed:
        raise KeyRefused("asked from within another site")
    if made is None or made.credential_id != credential_id or made.public_key.get(3) not in ALGORITHMS:
        raise KeyRefused("no key of a kind that was asked for")
    if data.is_backup_eligible() or data.is_backed_up():
        raise KeyRefused("a key that can be copied")
    return Enrolment(
        credential_id=made.credential_id, credential=bytes(made), sign_count=data.counter, attested_by=attested_by
    )


def _attested(attestation: AttestationObject, client_data_hash: bytes, believed: Vendors, today: date) -> str:
    """Return the name of the authority that vouches for a key."""
    if attestation.fmt != PackedAttestation.FORMAT:
        raise KeyRefused("attested in no way that hardware keys attest")
    data = attestation.auth_data
    result = PackedAttestation().verify(attestation.att_stmt, data, client_data_hash)
    path = [x509.load_der_x509_certificate(der) for der in result.trust_path]
    if result.attestation_type is not AttestationType.BASIC or not path:
        raise KeyRefused("the key vouches for itself")
    if believed.virtual and _spki(path[0]) == VIRTUAL_KEY:
        return "Chromium virtual authenticator"
    root = _root(path, result, data, believed)
    if root is None:
        raise KeyRefused("no believed vendor vouches for this key")
    if any(not _is_authority(certificate) for certificate in path[1:]):
        raise KeyRefused("vouched for by a certificate that is no authority")
    if not root.not_valid_before_utc.date() <= today <= root.not_valid_after_utc.date():
        raise KeyRefused("the vendor's root is not valid now")
    verify_x509_chain([*result.trust_path, root.public_bytes(Encoding.DER)])
    return root.subject.rfc4514_string()


def _root(
    path: Sequence[x509.Certificate], result: AttestationResult, data: AuthenticatorData, believed: Vendors
) -> x509.Certificate | None:
    for root in believed.roots:
        if root.subject == path[-1].issuer:
            return root
    if believed.metadata is None:
        return None
    found: bytes | None = believed.metadata.ca_lookup(result, data)  # type: ignore[no-untyped-call]
    return x509.load_der_x509_certificate(found) if found else None


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
