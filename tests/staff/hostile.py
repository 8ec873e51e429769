"""What an attacker, or a careless provider, makes of a genuine message. Each change is a function on its XML."""

import base64
import copy
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner
from tests.staff.outside import Signer

from altcredit.engine.identity.people.saml import DS, SAML, SAMLP

EVIL = "evil@example.in"
Tree = Any
Change = Callable[[Tree], None]


def find(root: Tree, path: str) -> Tree:
    """Return the first element at a path of ``saml:``, ``samlp:`` and ``ds:`` names."""
    found = root.find(path, {"saml": SAML, "samlp": SAMLP, "ds": DS})
    assert found is not None, path
    return found


def parse(xml: bytes) -> Tree:
    return etree.fromstring(xml)


def text(root: Tree) -> bytes:
    content: bytes = etree.tostring(root)
    return content


def assertion(root: Tree) -> Tree:
    return find(root, "saml:Assertion")


def unsigned(root: Tree) -> None:
    for signature in list(root.iter(f"{{{DS}}}Signature")):
        signature.getparent().remove(signature)


class AnySigner(XMLSigner):
    """Signs with methods that nobody should use any more, too."""

    def check_deprecated_methods(self) -> None:
        pass


def sign(
    xml: bytes,
    signer: Signer,
    change: Change = lambda _: None,
    *,
    method: SignatureMethod = SignatureMethod.RSA_SHA256,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    c14n: CanonicalizationMethod = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    named: Signer | None = None,
) -> bytes:
    """Return the message with a change, its assertion signed again by ``signer`` (KeyInfo names ``named``)."""
    root = parse(xml)
    unsigned(root)
    change(root)
    old = assertion(root)
    issuer = old.find(f"{{{SAML}}}Issuer")
    issuer.addnext(etree.Element(f"{{{DS}}}Signature", Id="placeholder", nsmap={"ds": DS}))
    using = AnySigner(signature_algorithm=method, digest_algorithm=digest, c14n_algorithm=c14n)
    pem = (named or signer).pem
    signed = using.sign(old, key=signer.key, cert=pem, reference_uri=old.get("ID"), id_attribute="ID")
    root.replace(old, signed)
    return text(root)


def changed(change: Change) -> Callable[[bytes], bytes]:
    """Return the function that changes a message and leaves its signatures as they were."""

    def run(xml: bytes) -> bytes:
        root = parse(xml)
        change(root)
        return text(root)

    return run


def evil_twin(root: Tree, *, new_id: str | None = "_evil") -> Tree:
    """Return a copy of the assertion, without signature, that names somebody else."""
    twin = copy.deepcopy(assertion(root))
    unsigned(twin)
    if new_id is not None:
        twin.set("ID", new_id)
    find(twin, "saml:Subject/saml:NameID").text = EVIL
    return twin


# Signature wrapping: the eight positions of Somorovsky et al., "On Breaking SAML" (2012).


def wrap_1(xml: bytes) -> bytes:
    """The whole genuine Response inside the signature of an evil one."""
    root, genuine = parse(xml), parse(xml)
    root.set("ID", "_evil")
    find(root, "saml:Assertion/saml:Subject/saml:NameID").text = EVIL
    next(root.iter(f"{{{DS}}}Signature")).append(genuine)
    return text(root)


def wrap_2(xml: bytes) -> bytes:
    """The genuine Response beside the signature of an evil one."""
    root, genuine = parse(xml), parse(xml)
    unsigned(genuine)
    root.set("ID", "_evil")
    find(root, "saml:Assertion/saml:Subject/saml:NameID").text = EVIL
    next(root.iter(f"{{{DS}}}Signature")).addprevious(genuine)
    return text(root)


def wrap_3(root: Tree) -> None:
    """An evil assertion before the genuine one."""
    assertion(root).addprevious(evil_twin(root))


def wrap_4(root: Tree) -> None:
    """The genuine assertion inside an evil one."""
    genuine, twin = assertion(root), evil_twin(root)
    root.replace(genuine, twin)
    twin.append(genuine)


def wrap_5(root: Tree) -> None:
    """The signature in the evil assertion, the genuine one at the end without it."""
    genuine, twin = assertion(root), evil_twin(root)
    signature = find(genuine, "ds:Signature")
    genuine.remove(signature)
    root.replace(genuine, twin)
    twin.insert(1, signature)
    root.append(genuine)


def wrap_6(root: Tree) -> None:
    """The signature in the evil assertion, the genuine one inside the signature."""
    genuine, twin = assertion(root), evil_twin(root)
    signature = find(genuine, "ds:Signature")
    genuine.remove(signature)
    root.replace(genuine, twin)
    twin.insert(1, signature)
    signature.append(genuine)


def wrap_7(root: Tree) -> None:
    """An evil assertion of the same id in Extensions."""
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(evil_twin(root, new_id=None))
    assertion(root).addprevious(extensions)


def wrap_8(root: Tree) -> None:
    """The genuine assertion in an Object of the evil one's signature."""
    genuine, twin = assertion(root), evil_twin(root, new_id=None)
    signature = find(genuine, "ds:Signature")
    genuine.remove(signature)
    root.replace(genuine, twin)
    twin.insert(1, signature)
    etree.SubElement(signature, f"{{{DS}}}Object").append(genuine)


def set_text(path: str, value: str) -> Change:
    def change(root: Tree) -> None:
        find(root, path).text = value

    return change


def set_to(path: str, name: str, value: str | None) -> Change:
    """Set an attribute, or (None) drop it."""

    def change(root: Tree) -> None:
        element = root if path == "." else find(root, path)
        if value is None:
            element.attrib.pop(name, None)
        else:
            element.set(name, value)

    return change


def drop(path: str) -> Change:
    def change(root: Tree) -> None:
        element = find(root, path)
        element.getparent().remove(element)

    return change


def add(path: str, xml: str) -> Change:
    def change(root: Tree) -> None:
        find(root, path).append(
            etree.fromstring(f'<x xmlns:saml="{SAML}" xmlns:ds="{DS}" xmlns:e="urn:evil">{xml}</x>')[0]
        )

    return change


def twice(path: str) -> Change:
    def change(root: Tree) -> None:
        element = find(root, path)
        element.addnext(copy.deepcopy(element))

    return change


def renamed(path: str, tag: str) -> Change:
    def change(root: Tree) -> None:
        find(root, path).tag = tag

    return change


def in_name_id(inserted: str) -> Callable[[bytes], bytes]:
    """Return the function that puts something into the middle of the NameID's text."""

    def run(xml: bytes) -> bytes:
        assert xml.count(b">asha@example.in</saml:NameID>") == 1
        return xml.replace(b">asha@example.in</saml:NameID>", f">asha@{inserted}example.in</saml:NameID>".encode())

    return run


def before(prologue: str) -> Callable[[bytes], bytes]:
    return lambda xml: prologue.encode() + xml


def flipped(path: str) -> Change:
    """Change a bit in a base64 value."""

    def change(root: Tree) -> None:
        element = find(root, path)
        raw = bytearray(base64.b64decode(element.text))
        raw[len(raw) // 2] ^= 1
        element.text = base64.b64encode(raw).decode()

    return change


def keyed_by_certificate(xml: bytes, signer: Signer) -> bytes:
    """Sign by HMAC with the public certificate as the secret: what confuses verifiers of both kinds."""
    root = parse(sign(xml, signer))
    info = find(root, "saml:Assertion/ds:Signature/ds:SignedInfo")
    find(info, "ds:SignatureMethod").set("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")
    canonical = etree.tostring(info, method="c14n", exclusive=True)
    value = hmac.new(signer.pem.encode(), canonical, hashlib.sha256).digest()
    find(root, "saml:Assertion/ds:Signature/ds:SignatureValue").text = base64.b64encode(value).decode()
    return text(root)
