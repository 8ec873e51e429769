"""
The built-in identity provider of development environments: it believes whatever name it is told.

It signs real SAML responses with a key of its own, so that the same strict path judges them. Outside of development
there is none: the settings refuse it, and nothing here runs.
"""

import base64
import re
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from altcredit.engine.identity.people.saml import (
    BEARER,
    DS,
    SAML,
    SAMLP,
    SUCCESS,
    IdentityProvider,
    ServiceProvider,
    one,
    parsed,
    text,
)
from altcredit.engine.identity.people.staff import SamlRefused
from altcredit.runtime import ids
from altcredit.runtime.keys import write_private
from altcredit.runtime.settings import Settings

PATH = "/staff/development-idp"
_LIFETIME = timedelta(minutes=2)
_CERTIFICATE_LIFETIME = timedelta(days=3650)
_REQUEST_ID = re.compile(r"_[0-9a-f]{64}")


class DevelopmentProvider(msgspec.Struct, frozen=True, kw_only=True):
    """The provider as others see it, and the key that it signs with."""

    described: IdentityProvider
    key: ec.EllipticCurvePrivateKey


def provider(settings: Settings, *, now: datetime) -> DevelopmentProvider:
    """Return the built-in provider; its key is made when it is first needed, under the home folder."""
    assert settings.has_builtin_idp, "only development has a built-in identity provider"
    path = settings.home_path / "keys" / "development-idp.pem"
    if not path.exists():
        _create(path, now)
    content = path.read_bytes()
    key = load_pem_private_key(content, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    origin = settings.staff_origin
    described = IdentityProvider(
        entity_id=f"{origin}{PATH}",
        sso_url=f"{origin}{PATH}",
        certificates=tuple(x509.load_pem_x509_certificates(content)),
    )
    return DevelopmentProvider(described=described, key=key)


def _create(path: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "AltCredit development identity provider")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _CERTIFICATE_LIFETIME)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    try:
        write_private(path, pem, replace=False)
    except FileExistsError:
        return  # another process was first: its key is the installation's


def requested(saml_request: str, *, sp: ServiceProvider) -> str:
    """Return the id of an AuthnRequest of ours (HTTP-Redirect binding). Raises SamlRefused."""
    try:
        packed = base64.b64decode(saml_request, validate=True)
        raw = zlib.decompressobj(wbits=-15).decompress(packed, 16 * 1024)
    except (ValueError, zlib.error) as error:
        raise SamlRefused("not a request") from error
    root = parsed(raw)
    request_id: str = root.get("ID", "")
    if root.tag != f"{{{SAMLP}}}AuthnRequest" or text(one(root, SAML, "Issuer")) != sp.entity_id:
        raise SamlRefused("not a request of ours")
    if root.get("AssertionConsumerServiceURL") != sp.acs_url or not _REQUEST_ID.fullmatch(request_id):
        raise SamlRefused("not a request of ours")
    return request_id


def signed_response(
    chosen: DevelopmentProvider, *, sp: ServiceProvider, request_id: str, name_id: str, now: datetime
) -> str:
    """Return a response in base64 that says that ``name_id`` has just authenticated."""
    here, assertion_id = chosen.described.entity_id, f"_{ids.new_secret()}"
    at, until = _stamp(now), _stamp(now + _LIFETIME)
    xml = (
        f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_{ids.new_secret()}" Version="2.0"'
        f' IssueInstant="{at}" Destination={quoteattr(sp.acs_url)} InResponseTo={quoteattr(request_id)}>'
        f"<saml:Issuer>{escape(here)}</saml:Issuer>"
        f'<samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status>'
        f'<saml:Assertion ID="{assertion_id}" Version="2.0" IssueInstant="{at}">'
        f"<saml:Issuer>{escape(here)}</saml:Issuer>"
        f'<ds:Signature xmlns:ds="{DS}" Id="placeholder"/>'
        f"<saml:Subject><saml:NameID>{escape(name_id)}</saml:NameID>"
        f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData NotOnOrAfter="{until}"'
        f" Recipient={quoteattr(sp.acs_url)} InResponseTo={quoteattr(request_id)}/></saml:SubjectConfirmation>"
        f'</saml:Subject><saml:Conditions NotBefore="{at}" NotOnOrAfter="{until}">'
        f"<saml:AudienceRestriction><saml:Audience>{escape(sp.entity_id)}</saml:Audience></saml:AudienceRestriction>"
        f'</saml:Conditions><saml:AuthnStatement AuthnInstant="{at}"><saml:AuthnContext>'
        f"<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef>"
        f"</saml:AuthnContext></saml:AuthnStatement></saml:Assertion></samlp:Response>"
    )
    root = etree.fromstring(xml.encode())
    assertion = one(root, SAML, "Assertion")
    signer = XMLSigner(
        signature_algorithm=SignatureMethod.ECDSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    pem = chosen.described.certificates[0].public_bytes(Encoding.PEM).decode()
    signed = signer.sign(assertion, key=chosen.key, cert=pem, reference_uri=assertion_id, id_attribute="ID")
    root.replace(assertion, signed)
    return base64.b64encode(etree.tostring(root)).decode()


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
