"""
SAML 2.0 Web Browser SSO, the service provider's side: a strict profile of our own on signxml and lxml.

One shape of message is believed and everything else is refused: a Response with exactly one Assertion as its child,
with exactly one signature of that Assertion over its own id, by a key of the identity provider that was pinned
beforehand. Every value that counts is read from the bytes that were signed. The Response around it is only ever a
reason to refuse.
"""

import base64
import re
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from altcredit.engine.identity.people.staff import SamlRefused

SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = DS + "enveloped-signature"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"

# A genuine response is some kilobytes, with many attributes some dozens.
MAX_RESPONSE = 128 * 1024
SKEW = timedelta(seconds=60)
AUTHENTICATED_WITHIN = timedelta(minutes=5)

_SIGNATURES = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
_DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
# What signxml raises for hostile input, besides its own: parts that are missing, of a wrong type, or unknown.
_UNVERIFIABLE = (
    SignXMLException,
    etree.LxmlError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    NotImplementedError,
)

_DECLARATION = re.compile(
    rb"<\?xml version=[\"']1\.0[\"']( encoding=[\"'][Uu][Tt][Ff]-8[\"'])?( standalone=[\"']\w+[\"'])?\s*\?>"
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z")
_IDS = ("ID", "Id", "id", "AssertionID", "{http://www.w3.org/XML/1998/namespace}id")
_CONDITIONS = {f"{{{SAML}}}{name}" for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")}


class IdentityProvider(msgspec.Struct, frozen=True, kw_only=True):
    """Who vouches for staff: its entity id, where it takes requests (HTTP-Redirect), and its pinned certificates."""

    entity_id: str
    sso_url: str
    certificates: tuple[x509.Certificate, ...]


class ServiceProvider(msgspec.Struct, frozen=True, kw_only=True):
    """Ourselves, as the identity provider knows us."""

    entity_id: str
    acs_url: str


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """What a believed assertion says; ``expires_at`` is when it could no longer be believed."""

    name_id: str
    issuer: str
    assertion_id: str
    expires_at: datetime


def verified(response: str, *, idp: IdentityProvider, sp: ServiceProvider, request_id: str, now: datetime) -> Login:
    """
    Return what the ``SAMLResponse`` form field (base64) proves in answer to our request ``request_id``.

    Whether the assertion was seen before is the caller's to find out: it counts once.

    :raises SamlRefused:
    """
    raw = _decoded(response)
    root = parsed(raw)
    assertion = _shaped(root)
    signed = _signed_by(idp, raw, assertion, f"./{{{SAML}}}Assertion/", now)
    if root.find(f"{{{DS}}}Signature") is not None:
        _signed_by(idp, raw, root, "./", now)
    _judge_envelope(root, idp=idp, sp=sp, request_id=request_id, now=now)
    return _login(signed, idp=idp, sp=sp, request_id=request_id, now=now)


def _decoded(response: str) -> bytes:
    if len(response) > MAX_RESPONSE:
        raise SamlRefused("too long")
    try:
        return base64.b64decode("".join(response.split()), validate=True)
    except ValueError as error:
        raise SamlRefused("not base64") from error


def parsed(raw: bytes) -> etree._Element:
    """
    Parse UTF-8 XML that holds elements, attributes and text, and nothing else.

    Comments, CDATA sections, document types (and so entities) all begin with ``<!``, processing instructions with
    ``<?``: where these bytes do not occur, neither do they. The parser's own limits end deep nesting.

    :raises SamlRefused:
    """
    declaration = _DECLARATION.match(raw)
    rest = raw[declaration.end() :] if declaration else raw
    if b"<!" in rest or b"<?" in rest or not _is_utf8(rest):
        raise SamlRefused("more than elements and text, or not UTF-8")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(rest, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SamlRefused("not well-formed XML") from error


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\x00" not in content


def _shaped(root: etree._Element) -> etree._Element:
    """Return the one Assertion of a Response of the one shape that is believed."""
    ids = [element.attrib[key] for element in root.iter() for key in _IDS if key in element.attrib]
    if len(ids) != len(set(ids)):
        raise SamlRefused("an id occurs twice")
    # By local name: what only looks like an Assertion is refused, too.
    assertions = [one for one in root.iter() if etree.QName(one).localname in ("Assertion", "EncryptedAssertion")]
    if root.tag != f"{{{SAMLP}}}Response" or len(assertions) != 1 or assertions[0].getparent() is not root:
        raise SamlRefused("not a Response with one Assertion as its child")
    (assertion,) = assertions
    if assertion.tag != f"{{{SAML}}}Assertion":
        raise SamlRefused("an Assertion that is encrypted, or of another namespace")
    places = [signature.getparent() for signature in root.iter(f"{{{DS}}}Signature")]
    if places.count(assertion) != 1 or places.count(root) + 1 != len(places) or len(places) > 2:
        raise SamlRefused("not exactly one signature of the Assertion, or one elsewhere")
    if next(root.iter(f"{{{DS}}}Object", f"{{{DS}}}Manifest"), None) is not None:
        raise SamlRefused("a signature that holds objects")
    return assertion


def _signed_by(
    idp: IdentityProvider, raw: bytes, element: etree._Element, location: str, now: datetime
) -> etree._Element:
    """Return the element as it was signed, parsed from the signed bytes."""
    _judge_signature(element, idp)
    for certificate in idp.certificates:
        config = SignatureConfiguration(
            location=location,
            expect_references=1,
            signature_methods=_SIGNATURES,
            digest_algorithms=_DIGESTS,
            verification_time=now,
        )
        try:
            found = XMLVerifier().verify(raw, x509_cert=certificate, id_attribute="ID", expect_config=config)
        except _UNVERIFIABLE:
            continue  # another of the pinned certificates may be the one
        signed = found[0].signed_xml if isinstance(found, list) else found.signed_xml
        if signed is None or signed.tag != element.tag or signed.get("ID") != element.get("ID"):
            raise SamlRefused("something else was signed")
        return signed
    raise SamlRefused("not signed by a pinned certificate that is valid now")


def _judge_signature(element: etree._Element, idp: IdentityProvider) -> None:
    """Refuse a signature that is over anything but its own element, or that transforms it before."""
    signature = one(element, DS, "Signature")
    info = one(signature, DS, "SignedInfo")
    reference = one(info, DS, "Reference")
    if not element.get("ID") or reference.get("URI") != f"#{element.get('ID')}":
        raise SamlRefused("the signature is not over its own element")
    transforms = [transform.get("Algorithm") for transform in one(reference, DS, "Transforms")]
    if transforms != [ENVELOPED, EXCLUSIVE]:
        raise SamlRefused("transforms other than enveloped-signature and exclusive canonicalisation")
    if one(info, DS, "CanonicalizationMethod").get("Algorithm") != EXCLUSIVE:
        raise SamlRefused("a canonicalisation other than the exclusive one")
    pinned = {base64.b64encode(certificate.public_bytes(Encoding.DER)).decode() for certificate in idp.certificates}
    for named in signature.iter(f"{{{DS}}}X509Certificate"):
        if "".join((named.text or "").split()) not in pinned:
            raise SamlRefused("the signature names a certificate that is not pinned")


def _judge_envelope(
    root: etree._Element, *, idp: IdentityProvider, sp: ServiceProvider, request_id: str, now: datetime
) -> None:
    """Refuse what the Response itself, signed or not, gives reason to refuse."""
    issuer = root.find(f"{{{SAML}}}Issuer")
    if root.get("Version") != "2.0" or (issuer is not None and text(issuer) != idp.entity_id):
        raise SamlRefused("the Response is another version's or issuer's")
    if root.get("Destination", sp.acs_url) != sp.acs_url or root.get("InResponseTo", request_id) != request_id:
        raise SamlRefused("the Response is for somebody else, or answers another request")
    if one(one(root, SAMLP, "Status"), SAMLP, "StatusCode").get("Value") != SUCCESS:
        raise SamlRefused("the status is not success")
    if moment(root, "IssueInstant") > now + SKEW:
        raise SamlRefused("the Response is from the future")


def _login(
    assertion: etree._Element, *, idp: IdentityProvider, sp: ServiceProvider, request_id: str, now: datetime
) -> Login:
    """Read and judge the assertion; ``assertion`` was parsed from the signed bytes."""
    if assertion.get("Version") != "2.0" or text(one(assertion, SAML, "Issuer")) != idp.entity_id:
        raise SamlRefused("the Assertion is another version's or issuer's")
    if moment(assertion, "IssueInstant") > now + SKEW:
        raise SamlRefused("the Assertion is from the future")
    subject = one(assertion, SAML, "Subject")
    ends = [_confirmed(subject, sp=sp, request_id=request_id, now=now), _conditions(assertion, sp=sp, now=now)]
    _authenticated(assertion, now=now)
    name_id = text(one(subject, SAML, "NameID"))
    if not name_id:
        raise SamlRefused("the NameID is empty")
    return Login(
        name_id=name_id,
        issuer=idp.entity_id,
        assertion_id=assertion.get("ID", ""),
        expires_at=max(ends) + SKEW,
    )


def _confirmed(subject: etree._Element, *, sp: ServiceProvider, request_id: str, now: datetime) -> datetime:
    confirmation = one(subject, SAML, "SubjectConfirmation")
    if confirmation.get("Method") != BEARER:
        raise SamlRefused("the subject is not confirmed by bearer")
    data = one(confirmation, SAML, "SubjectConfirmationData")
    if data.get("Recipient") != sp.acs_url or "NotBefore" in data.attrib:
        raise SamlRefused("the Assertion is for another recipient")
    if not request_id or data.get("InResponseTo") != request_id:
        raise SamlRefused("the Assertion answers another request, or none")
    until = moment(data, "NotOnOrAfter")
    if now - SKEW >= until:
        raise SamlRefused("the confirmation has expired")
    return until


def _conditions(assertion: etree._Element, *, sp: ServiceProvider, now: datetime) -> datetime:
    conditions = one(assertion, SAML, "Conditions")
    since, until = moment(conditions, "NotBefore"), moment(conditions, "NotOnOrAfter")
    if now + SKEW < since or now - SKEW >= until:
        raise SamlRefused("outside the time of the conditions")
    if any(condition.tag not in _CONDITIONS for condition in conditions):
        raise SamlRefused("a condition that is not understood")
    audiences = [
        [text(audience) for audience in restriction]
        for restriction in conditions.iter(f"{{{SAML}}}AudienceRestriction")
    ]
    if not audiences or any(sp.entity_id not in restriction for restriction in audiences):
        raise SamlRefused("the Assertion is for another audience")
    return until


def _authenticated(assertion: etree._Element, *, now: datetime) -> None:
    statement = one(assertion, SAML, "AuthnStatement")
    since = moment(statement, "AuthnInstant")
    if not now - AUTHENTICATED_WITHIN - SKEW <= since <= now + SKEW:
        raise SamlRefused("the person did not authenticate just now")
    if "SessionNotOnOrAfter" in statement.attrib and now - SKEW >= moment(statement, "SessionNotOnOrAfter"):
        raise SamlRefused("the identity provider's session has expired")


def one(parent: etree._Element, namespace: str, name: str) -> etree._Element:
    """Return the only child of this name. Raises SamlRefused."""
    found = [child for child in parent if child.tag == f"{{{namespace}}}{name}"]
    if len(found) != 1:
        raise SamlRefused(f"not exactly one {name}")
    return found[0]


def text(element: etree._Element) -> str:
    """Return the text of an element that holds nothing else. Raises SamlRefused."""
    if len(element):
        raise SamlRefused("markup inside of text")
    return (element.text or "").strip()


def moment(element: etree._Element, attribute: str) -> datetime:
    """Return an attribute that is a time in UTC, to the second. Raises SamlRefused."""
    match = _TIME.fullmatch(element.get(attribute, ""))
    if match is None:
        raise SamlRefused(f"{attribute} is missing or no time in UTC")
    try:
        return datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError as error:
        raise SamlRefused(f"{attribute} is no time") from error
