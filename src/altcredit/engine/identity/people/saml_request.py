"""What we tell the identity provider: requests (HTTP-Redirect binding), our metadata; and what we read from its own."""

import base64
import zlib
from datetime import datetime
from urllib.parse import urlencode
from xml.sax.saxutils import quoteattr

from cryptography import x509
from lxml import etree

from altcredit.engine.identity.people.saml import DS, SAML, SAMLP, IdentityProvider, ServiceProvider
from altcredit.engine.identity.people.staff import MetadataInvalid

MD = "urn:oasis:names:tc:SAML:2.0:metadata"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


def request_url(*, idp: IdentityProvider, sp: ServiceProvider, request_id: str, relay_state: str, now: datetime) -> str:
    """Return where to send the browser: an AuthnRequest that asks for a fresh authentication."""
    xml = (
        f'<samlp:AuthnRequest xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID={quoteattr(request_id)} Version="2.0"'
        f' IssueInstant="{now:%Y-%m-%dT%H:%M:%SZ}" Destination={quoteattr(idp.sso_url)} ForceAuthn="true"'
        f' AssertionConsumerServiceURL={quoteattr(sp.acs_url)} ProtocolBinding="{POST}">'
        f"<saml:Issuer>{_escaped(sp.entity_id)}</saml:Issuer></samlp:AuthnRequest>"
    )
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(xml.encode()) + packer.flush()
    query = urlencode({"SAMLRequest": base64.b64encode(packed).decode(), "RelayState": relay_state})
    return f"{idp.sso_url}{'&' if '?' in idp.sso_url else '?'}{query}"


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;")


def sp_metadata(sp: ServiceProvider) -> bytes:
    """Return the metadata document that an identity provider is set up with."""
    return (
        f'<md:EntityDescriptor xmlns:md="{MD}" entityID={quoteattr(sp.entity_id)}>'
        f'<md:SPSSODescriptor AuthnRequestsSigned="false" WantAssertionsSigned="true"'
        f' protocolSupportEnumeration="{SAMLP}">'
        f"<md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified</md:NameIDFormat>"
        f'<md:AssertionConsumerService Binding="{POST}" Location={quoteattr(sp.acs_url)} index="0" isDefault="true"/>'
        f"</md:SPSSODescriptor></md:EntityDescriptor>\n"
    ).encode()


def read_metadata(content: bytes) -> IdentityProvider:
    """
    Return the identity provider of a metadata document, with every certificate that it signs with.

    The file is pinned: it comes from the operator, and nothing is ever fetched.

    :raises MetadataInvalid:
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MetadataInvalid("the metadata is not well-formed XML") from error
    described = [entity for entity in root.iter(f"{{{MD}}}EntityDescriptor") if _role(entity) is not None]
    if len(described) != 1:
        raise MetadataInvalid("the metadata must describe exactly one identity provider")
    role = _role(described[0])
    assert role is not None
    services = role.iter(f"{{{MD}}}SingleSignOnService")
    urls = [service.get("Location", "") for service in services if service.get("Binding") == REDIRECT]
    certificates = tuple(_certificates(role))
    if not urls or not certificates:
        raise MetadataInvalid("the metadata names no HTTP-Redirect address, or no signing certificate")
    return IdentityProvider(entity_id=described[0].get("entityID", ""), sso_url=urls[0], certificates=certificates)


def _role(entity: etree._Element) -> etree._Element | None:
    return entity.find(f"{{{MD}}}IDPSSODescriptor")


def _certificates(role: etree._Element) -> list[x509.Certificate]:
    keys = [key for key in role.iter(f"{{{MD}}}KeyDescriptor") if key.get("use", "signing") == "signing"]
    texts = [named.text or "" for key in keys for named in key.iter(f"{{{DS}}}X509Certificate")]
    try:
        return [x509.load_der_x509_certificate(base64.b64decode("".join(text.split()))) for text in texts]
    except ValueError as error:
        raise MetadataInvalid("a certificate of the metadata cannot be read") from error
