"""What consents, receipts, models and audit heads are signed with: nothing passes but what was signed."""

import hashlib
import json
from datetime import UTC, datetime

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

from altcredit.engine.audit.head import Head, Signed, head_of, record_of
from altcredit.engine.audit.tree import Tree
from altcredit.engine.audit.verify import own
from altcredit.runtime import signing
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.signing import Purpose, SigningKeys, is_signed_by
from tests.vectors import Case, Stream, judge, p256
from tests.vectors.ecdsa import Given, everything, keys, octets, spki, thumbprint

KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
_INSERT = """
INSERT INTO signing_key (kid, purpose, state, public_pem, proof, created_at, activated_at, retires_at)
VALUES ($1, $2, 'gone', $3, $4, $5, $5, $5)
"""
SIGNATURES: list[Case[Given]] = everything()


def unkeyed(given: Given) -> bool:
    return is_signed_by(given.public, given.kid, given.data, given.signature)


async def loaded(database: Database, purpose: Purpose, found: dict[str, str]) -> SigningKeys:
    """Signing keys with these public keys, by their names, as rows of the database."""
    async with database.transaction() as db:
        for kid, pem in found.items():
            proof = KEYRING.hmac("signing_key", kid, purpose, pem)
            await db.execute(_INSERT, kid, purpose, pem, proof, NOW)
        return await signing.load(db, keyring=KEYRING, issuer="altscore.in", now=NOW)


def test_without_a_database() -> None:
    judge("ECDSA, is_signed_by", SIGNATURES, unkeyed, at_least=1_500)


def test_keys_that_are_none_of_ours() -> None:
    judge("ECDSA keys, is_signed_by", keys(), unkeyed, at_least=60)


@pytest.mark.parametrize("purpose", ["consent", "receipt", "audit", "model"])
async def test_with_the_keys_of_an_installation(database: Database, purpose: Purpose) -> None:
    found = {case.given.kid: case.given.public.decode() for case in SIGNATURES}
    held = await loaded(database, purpose, found)
    judge(
        f"ECDSA, SigningKeys.verify({purpose})",
        SIGNATURES,
        lambda given: held.verify(purpose, given.kid, given.data, given.signature),
        at_least=1_500,
    )
    others: list[Purpose] = [one for one in signing.PURPOSES if one != purpose]
    for case in SIGNATURES:
        for other in others:
            assert not held.verify(other, case.given.kid, case.given.data, case.given.signature), "of another purpose"
        assert not held.verify(purpose, "unknown", case.given.data, case.given.signature)


async def test_an_audit_head_is_believed_for_its_signature_alone(database: Database) -> None:
    stream = Stream("head")
    secret = stream.below(p256.N)
    pem = spki(octets(p256.public(secret))).decode()
    kid = thumbprint(p256.public(secret))
    held = await loaded(database, "audit", {kid: pem})
    tree = Tree()
    for leaf in range(5):
        tree.add(hashlib.sha256(bytes([leaf])).digest())
    head = head_of(tree, time="2026-11-22T12:00:00.000000Z", public_pem=pem)
    record = record_of(head)
    r, s = p256.sign(secret, p256.hashed(record), stream.below(p256.N))

    def believes(signed: Signed) -> bool:
        found = own(signed, held)
        assert found is None or found == msgspec.json.decode(signed.record, type=Head)
        return found is not None

    def case(
        comment: str, signature: bytes, *, valid: bool = False, changed: bytes = record, by: str = kid
    ) -> Case[Signed]:
        signed = Signed(record=changed, key_id=by, signature=signature)
        return Case(comment=comment, flags=(), valid=valid, given=signed)

    whole = p256.der(r, s)
    cases = [case("as it should be", whole, valid=True), case("the other s", p256.der(r, p256.N - s), valid=True)]
    cases += [case(f"cut to {at}", whole[:at]) for at in range(len(whole))]
    cases += [
        case(f"byte {at} of the record", whole, changed=record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :])
        for at in range(len(record))
    ]
    cases += [
        case("appended", whole, changed=record + b" "),
        case("another key", whole, by="x"),
        case("zero", p256.der(0, 0)),
    ]
    judge("ECDSA, audit heads", cases, believes, at_least=400)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()], ids=lambda curve: curve.name)
def test_a_signature_that_holds_on_another_curve_is_none(curve: ec.EllipticCurve) -> None:
    secret = ec.derive_private_key(7, curve)
    public = secret.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = secret.sign(b"text", ec.ECDSA(SHA256(), deterministic_signing=True))
    key = ECKey.import_key(public)
    assert not is_signed_by(public, key.thumbprint(), b"text", signature)
    keyset = json.dumps({"keys": [key.as_dict(private=False)]}).encode()
    assert not is_signed_by(keyset, key.thumbprint(), b"text", signature)


def test_the_cases_are_the_same_on_every_run() -> None:
    assert everything() == SIGNATURES
