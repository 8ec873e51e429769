import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from altcredit.runtime import sealed, signing
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring, SealBroken
from altcredit.runtime.signing import PURPOSES, SigningKeys
from altcredit.runtime.tokens import Claims, TokenExpired, TokenInvalid, UnknownKey

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ISSUER = "altscore.in"
KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))


def claims(**changes: Any) -> Claims:
    start = int(NOW.timestamp())
    values = {"sub": "lender_a", "iss": ISSUER, "iat": start, "exp": start + 3600, "jti": "tok_1", "kind": "lender"}
    return Claims(**(values | changes))


async def maintain(database: Database, now: datetime = NOW) -> list[signing.Change]:
    async with database.transaction() as db:
        return await signing.maintain(db, keyring=KEYRING, now=now)


async def load(database: Database, now: datetime = NOW) -> SigningKeys:
    async with database.reads.acquire() as db:
        return await signing.load(db, keyring=KEYRING, issuer=ISSUER, now=now)


@pytest.fixture(scope="module")
async def filled(server: str) -> AsyncIterator[Database]:
    """A database with a set of keys that no test changes."""
    connection = await asyncpg.connect(server)
    await connection.execute("CREATE DATABASE test_signing TEMPLATE template_altcredit STRATEGY FILE_COPY")
    pools = await Database.connect(server.rsplit("/", 1)[0] + "/test_signing", connections=2)
    await maintain(pools)
    yield pools
    await pools.close()
    await connection.execute("DROP DATABASE test_signing WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def keys(filled: Database) -> SigningKeys:
    return await load(filled)


async def states(database: Database, purpose: str = "access_token") -> dict[str, str]:
    async with database.reads.acquire() as db:
        return {key.kid: key.state for key in await signing.list_keys(db) if key.purpose == purpose}


# Key states


async def test_every_purpose_starts_with_an_active_key_and_a_published_next_one(database: Database) -> None:
    changes = await maintain(database)
    assert sorted((change.purpose, change.state) for change in changes) == sorted(
        (purpose, state) for purpose in PURPOSES for state in ("active", "next")
    )
    assert await maintain(database) == []


async def test_a_rotation_keeps_old_tokens_alive_and_signs_with_the_key_published_before(database: Database) -> None:
    await maintain(database)
    before = await load(database)
    published = {key["kid"] for key in before.jwks()["keys"]}
    old_token = before.issue_token(claims())
    async with database.transaction() as db:
        await signing.rotate(db, keyring=KEYRING, purpose="access_token", now=NOW + timedelta(minutes=1))
    after = await load(database)
    new_token = after.issue_token(claims())
    assert header_of(new_token)["kid"] in published - {header_of(old_token)["kid"]}
    assert after.verify_token(old_token, NOW) == claims()
    assert before.verify_token(new_token, NOW) == claims(), "a process that has not refreshed knows the next key"
    assert sorted((await states(database)).values()) == ["active", "next", "retiring"]
    assert len(after.jwks()["keys"]) == 3


async def test_keys_rotate_after_six_months_and_are_gone_fourteen_days_later(database: Database) -> None:
    await maintain(database)
    (first,) = [kid for kid, state in (await states(database)).items() if state == "active"]
    due = NOW + signing.LIFETIME
    assert await maintain(database, due - timedelta(seconds=1)) == []
    await maintain(database, due)
    assert (await states(database))[first] == "retiring"
    await maintain(database, due + signing.OVERLAP - timedelta(seconds=1))
    assert (await states(database))[first] == "retiring"
    await maintain(database, due + signing.OVERLAP)
    assert (await states(database))[first] == "gone"
    assert first not in {key["kid"] for key in (await load(database, due + signing.OVERLAP)).jwks()["keys"]}


async def test_an_overlap_ends_on_time_even_where_no_schedule_runs(database: Database) -> None:
    await maintain(database)
    keys = await load(database)
    token = keys.issue_token(claims(exp=int((NOW + timedelta(days=30)).timestamp())))
    async with database.transaction() as db:
        await signing.rotate(db, keyring=KEYRING, purpose="access_token", now=NOW)
    late = NOW + signing.OVERLAP
    assert (await load(database, late - timedelta(seconds=1))).verify_token(token, NOW)
    with pytest.raises(UnknownKey):
        (await load(database, late)).verify_token(token, NOW)


async def test_the_private_part_is_destroyed_when_a_key_retires(database: Database) -> None:
    await maintain(database)
    async with database.transaction() as db:
        for purpose in PURPOSES:
            await signing.rotate(db, keyring=KEYRING, purpose=purpose, now=NOW)
        rows = await db.fetch("SELECT state, sealed_private IS NULL AS destroyed FROM signing_key")
    assert {(row["state"], row["destroyed"]) for row in rows} == {
        ("next", False),
        ("active", False),
        ("retiring", True),
    }


async def test_a_withdrawn_key_is_refused_at_the_next_refresh_cached_tokens_included(database: Database) -> None:
    await maintain(database)
    keys = await load(database)
    token = keys.issue_token(claims())
    assert keys.verify_token(token, NOW)
    kid = header_of(token)["kid"]
    async with database.transaction() as db:
        with pytest.raises(signing.KeyNotRetiring):
            await signing.withdraw(db, kid=kid, now=NOW)
        await signing.rotate(db, keyring=KEYRING, purpose="access_token", now=NOW)
        await signing.withdraw(db, kid=kid, now=NOW)
    assert keys.verify_token(token, NOW)
    async with database.reads.acquire() as db:
        await keys.refresh(db, keyring=KEYRING, now=NOW)
    with pytest.raises(UnknownKey):
        keys.verify_token(token, NOW)
    assert keys.public_pem(kid), "what it signed can still be verified by others"


async def test_processes_that_start_together_make_one_set_of_keys(database: Database) -> None:
    await asyncio.gather(*(maintain(database) for _ in range(4)))
    for purpose in PURPOSES:
        assert sorted((await states(database, purpose)).values()) == ["active", "next"]


async def test_a_key_that_this_installation_did_not_make_is_refused(database: Database) -> None:
    await maintain(database)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = stranger.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    async with database.transaction() as db:
        await db.execute("UPDATE signing_key SET public_pem = $1 WHERE purpose = 'access_token'", pem)
    with pytest.raises(SealBroken):
        await load(database)


async def test_private_keys_move_to_a_new_key_encryption_key(database: Database) -> None:
    await maintain(database)
    rotated = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x02" * 32, b"\x01" * 32)))
    async with database.transaction() as db:
        assert await sealed.rewrap(db, keyring=rotated) == {"signing_key.sealed_private": 2 * len(PURPOSES)}
        assert await sealed.rewrap(db, keyring=rotated) == {}
        alone = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x02" * 32,)))
        keys = await signing.load(db, keyring=alone, issuer=ISSUER, now=NOW)
    assert keys.verify_token(keys.issue_token(claims()), NOW) == claims()


# What is published


async def test_the_key_set_is_public_and_each_kid_is_the_rfc_7638_thumbprint(keys: SigningKeys) -> None:
    published = keys.jwks()["keys"]
    assert len(published) == 2
    for key in published:
        assert key.keys() == {"kty", "n", "e", "kid", "use", "alg"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
        assert len(unb64(key["n"])) == 256
        canonical = json.dumps({"e": key["e"], "kty": "RSA", "n": key["n"]}, separators=(",", ":"))
        assert key["kid"] == b64(hashlib.sha256(canonical.encode()).digest())
    json.dumps(keys.jwks())


@pytest.mark.parametrize("purpose", ["consent", "model", "receipt"])
async def test_openssl_alone_verifies_a_signature(keys: SigningKeys, tmp_path: Path, purpose: signing.Purpose) -> None:
    kid, signature = keys.sign(purpose, b"the record")
    for name, content in {"p": keys.public_pem(kid).encode(), "s": signature, "d": b"the record"}.items():
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "dgst", "-sha256", "-verify", "p", "-signature", "s", "d"]
    finished = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True)
    assert finished.returncode == 0
    assert keys.verify(purpose, kid, b"the record", signature)


async def test_a_signature_counts_only_for_its_data_its_key_and_its_purpose(keys: SigningKeys) -> None:
    kid, signature = keys.sign("consent", b"data")
    other, _ = keys.sign("receipt", b"data")
    assert keys.verify("consent", kid, b"data", signature)
    assert not keys.verify("consent", kid, b"datb", signature)
    assert not keys.verify("receipt", kid, b"data", signature)
    assert not keys.verify("consent", other, b"data", signature)
    assert not keys.verify("consent", "unknown", b"data", signature)
    for position in range(len(signature)):
        for altered in (signature[:position], signature[:position] + b"\0" + signature[position:]):
            assert not keys.verify("consent", kid, b"data", altered)
        flipped = bytearray(signature)
        flipped[position] ^= 1
        assert not keys.verify("consent", kid, b"data", bytes(flipped))
    assert not keys.verify("consent", kid, b"data", signature + b"\0")


async def test_ecdsa_forgeries_with_special_values_are_refused(keys: SigningKeys) -> None:
    """The cases of Wycheproof's ecdsa_secp256r1_sha256: r or s of 0, 1, n, n±1, p, negative, and odd encodings."""
    kid, genuine = keys.sign("consent", b"data")
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    p = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF

    def integer(value: int) -> bytes:
        body = value.to_bytes((value.bit_length() // 8) + 1, "big", signed=True)
        return b"\x02" + bytes([len(body)]) + body

    def sequence(*parts: bytes) -> bytes:
        body = b"".join(parts)
        return b"\x30" + bytes([len(body)]) + body

    special = [0, 1, -1, n, n - 1, n + 1, p, p + 1, 2**256]
    forged = [sequence(integer(r), integer(s)) for r in special for s in special]
    content = genuine[2:]
    forged += [
        b"",
        b"\x30\x00",
        b"\x05\x00",
        b"\x30\x81" + bytes([len(content)]) + content,  # length in the long form: BER, not DER
        b"\x30\x80" + content + b"\0\0",  # indefinite length
        b"\x31" + genuine[1:],
        b"\x30" + bytes([len(content) + 2]) + content + b"\x05\x00",
        sequence(b"\x02\x00", integer(1)),
        sequence(b"\x09\x01\x01", integer(1)),
    ]
    accepted = [signature.hex() for signature in forged if keys.verify("consent", kid, b"data", signature)]
    assert accepted == []


# Hostile tokens. Each forger gets a genuine token and the means to sign with the true key, and must still fail.


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def header_of(token: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(unb64(token.partition(".")[0]))
    return header


class Forge:
    """Builds tokens byte by byte, with the true private key where a case needs it."""

    def __init__(self, private: rsa.RSAPrivateKey, kid: str, public_pem: str, other_kid: str) -> None:
        self.private, self.kid, self.public_pem, self.other_kid = private, kid, public_pem, other_kid

    def header(self, **names: Any) -> bytes:
        return json.dumps({"alg": "RS256", "kid": self.kid, "typ": "JWT"} | names).encode()

    def payload(self, **changes: Any) -> bytes:
        start = int(NOW.timestamp())
        values = {"sub": "lender_a", "iss": ISSUER, "iat": start, "exp": start + 3600, "jti": "tok_1"} | changes
        return json.dumps({name: value for name, value in values.items() if value is not ...}).encode()

    def token(
        self,
        header: bytes | None = None,
        payload: bytes | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        signed = (
            b64(header if header is not None else self.header())
            + "."
            + b64(payload if payload is not None else self.payload())
        )
        return signed + "." + b64((sign or self.true)(signed.encode()))

    def true(self, data: bytes) -> bytes:
        return self.private.sign(data, padding.PKCS1v15(), SHA256())

    def stranger(self, data: bytes) -> bytes:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048).sign(data, padding.PKCS1v15(), SHA256())

    def spki_hmac(self, data: bytes) -> bytes:
        return hmac.digest(self.public_pem.encode(), data, "sha256")

    def der_hmac(self, data: bytes) -> bytes:
        return hmac.digest(unpem(self.public_pem), data, "sha256")


def unpem(pem: str) -> bytes:
    return base64.b64decode("".join(line for line in pem.splitlines() if "-" not in line))


@pytest.fixture(scope="module")
async def forge(filled: Database) -> Forge:
    async with filled.reads.acquire() as db:
        row = await db.fetchrow("SELECT * FROM signing_key WHERE purpose = 'access_token' AND state = 'active'")
        other = await db.fetchval("SELECT kid FROM signing_key WHERE purpose = 'access_token' AND state = 'next'")
    pem = KEYRING.unseal(row["sealed_private"], owner=row["kid"], purpose="signing_key.access_token")
    private = load_pem_private_key(pem, None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return Forge(private, row["kid"], row["public_pem"], other)


def altered(token: str, position: int) -> str:
    replacement = "A" if token[position] != "A" else "B"
    return token[:position] + replacement + token[position + 1 :]


def last_bits_changed(token: str) -> str:
    """The same signature bytes, encoded with one of the unused trailing bits set (256 bytes leave two)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(unb64(token.rsplit(".", 1)[1])) == 256
    changed = token[:-1] + alphabet[alphabet.index(token[-1]) | 1]
    assert changed != token
    assert unb64(changed.rsplit(".", 1)[1]) == unb64(token.rsplit(".", 1)[1])
    return changed


HOSTILE: dict[str, Callable[[Forge], str]] = {
    "empty": lambda f: "",
    "words": lambda f: "Bearer",
    "two segments": lambda f: f.token().rsplit(".", 1)[0],
    "no signature": lambda f: f.token().rsplit(".", 1)[0] + ".",
    "four segments": lambda f: f.token() + ".AAAA",
    "no payload": lambda f: f.token(payload=b""),
    "detached payload": lambda f: ".".join([f.token().split(".")[0], "", f.token().split(".")[2]]),
    "json serialisation": lambda f: json.dumps(
        dict(zip(("protected", "payload", "signature"), f.token().split("."), strict=True))
    ),
    "too long": lambda f: f.token(payload=f.payload(scope="x" * 5000)),
    "alg none": lambda f: f.token(f.header(alg="none"), sign=lambda data: b""),
    "alg none with the true signature": lambda f: f.token(f.header(alg="none")),
    "alg None": lambda f: f.token(f.header(alg="None")),
    "alg NONE": lambda f: f.token(f.header(alg="NONE")),
    "alg empty": lambda f: f.token(f.header(alg="")),
    "alg null": lambda f: f.token(f.header(alg=None)),
    "alg list": lambda f: f.token(f.header(alg=["RS256"])),
    "alg lower case": lambda f: f.token(f.header(alg="rs256")),
    "no alg": lambda f: f.token(json.dumps({"kid": f.kid, "typ": "JWT"}).encode()),
    "HS256 keyed with the public PEM": lambda f: f.token(f.header(alg="HS256"), sign=f.spki_hmac),
    "HS256 keyed with the public DER": lambda f: f.token(f.header(alg="HS256"), sign=f.der_hmac),
    "HS256 signature under an RS256 header": lambda f: f.token(sign=f.spki_hmac),
    "RS512 by the true key": lambda f: f.token(
        f.header(alg="RS512"), sign=lambda data: f.private.sign(data, padding.PKCS1v15(), SHA512())
    ),
    "RS512 signature under an RS256 header": lambda f: f.token(
        sign=lambda data: f.private.sign(data, padding.PKCS1v15(), SHA512())
    ),
    "PS256 by the true key": lambda f: f.token(
        f.header(alg="PS256"),
        sign=lambda data: f.private.sign(data, padding.PSS(padding.MGF1(SHA256()), 32), SHA256()),
    ),
    "PSS signature under an RS256 header": lambda f: f.token(
        sign=lambda data: f.private.sign(data, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    ),
    "duplicate alg": lambda f: f.token(b'{"alg":"none","alg":"RS256","kid":"' + f.kid.encode() + b'"}'),
    "duplicate kid": lambda f: f.token(b'{"alg":"RS256","kid":"x","kid":"' + f.kid.encode() + b'"}'),
    "duplicate kid, escaped": lambda f: f.token(b'{"alg":"RS256","\\u006bid":"x","kid":"' + f.kid.encode() + b'"}'),
    "header list": lambda f: f.token(b"[]"),
    "header string": lambda f: f.token(b'"RS256"'),
    "header not JSON": lambda f: f.token(b"alg"),
    "header NaN": lambda f: f.token(b'{"alg":"RS256","typ":NaN,"kid":"' + f.kid.encode() + b'"}'),
    "header not UTF-8": lambda f: f.token(b'{"alg":"RS256","typ":"\xff","kid":"' + f.kid.encode() + b'"}'),
    "header UTF-16": lambda f: f.token(f.header().decode().encode("utf-16")),
    "header with BOM": lambda f: f.token(b"\xef\xbb\xbf" + f.header()),
    "header nested deep": lambda f: f.token(b"[" * 350),
    "header with text behind": lambda f: f.token(f.header() + b"{}"),
    "jwk of a stranger": lambda f: f.token(f.header(jwk={"kty": "RSA", "n": "AQ", "e": "AQAB"}), sign=f.stranger),
    "jwk under the true signature": lambda f: f.token(f.header(jwk={"kty": "RSA", "n": "AQ", "e": "AQAB"})),
    "jku": lambda f: f.token(f.header(jku="https://attacker.example/jwks.json")),
    "x5u": lambda f: f.token(f.header(x5u="https://attacker.example/cert.pem")),
    "x5c": lambda f: f.token(f.header(x5c=["MIIB"])),
    "x5t": lambda f: f.token(f.header(x5t="AAAA")),
    "crit": lambda f: f.token(f.header(crit=["exp"], exp=1)),
    "b64 false": lambda f: f.token(f.header(crit=["b64"], b64=False)),
    "zip": lambda f: f.token(f.header(zip="DEF")),
    "cty": lambda f: f.token(f.header(cty="JWT")),
    "unknown header": lambda f: f.token(f.header(note="x")),
    "other typ": lambda f: f.token(f.header(typ="secevent+jwt")),
    "no kid": lambda f: f.token(json.dumps({"alg": "RS256", "typ": "JWT"}).encode()),
    "kid null": lambda f: f.token(f.header(kid=None)),
    "kid list": lambda f: f.token(f.header(kid=[f.kid])),
    "kid foreign": lambda f: f.token(f.header(kid="foreign")),
    "kid a path": lambda f: f.token(f.header(kid="../../dev/null")),
    "kid SQL": lambda f: f.token(f.header(kid="' OR '1'='1")),
    "kid of another key of ours": lambda f: f.token(f.header(kid=f.other_kid)),
    "signed by a stranger": lambda f: f.token(sign=f.stranger),
    "signature of nothing": lambda f: f.token(sign=lambda data: f.true(b"")),
    "signature of the payload alone": lambda f: f.token(sign=lambda data: f.true(data.split(b".")[1])),
    "signature empty": lambda f: f.token(sign=lambda data: b""),
    "signature zero": lambda f: f.token(sign=lambda data: bytes(256)),
    "signature one": lambda f: f.token(sign=lambda data: bytes(255) + b"\x01"),
    "signature is the modulus": lambda f: f.token(
        sign=lambda data: f.private.public_key().public_numbers().n.to_bytes(256, "big")
    ),
    "signature plus the modulus": lambda f: f.token(
        sign=lambda data: (
            int.from_bytes(f.true(data), "big") + f.private.public_key().public_numbers().n
        ).to_bytes(257, "big")
    ),
    "signature with a zero before it": lambda f: f.token(sign=lambda data: b"\0" + f.true(data)),
    "signature with a zero behind it": lambda f: f.token(sign=lambda data: f.true(data) + b"\0"),
    "signature cut": lambda f: f.token(sign=lambda data: f.true(data)[:-1]),
    "header altered": lambda f: altered(f.token(), 3),
    "payload altered": lambda f: altered(f.token(), f.token().index(".") + 10),
    "signature altered": lambda f: altered(f.token(), len(f.token()) - 20),
    "payload exchanged": lambda f: ".".join(
        [f.token().split(".")[0], b64(f.payload(sub="lender_b")), f.token().split(".")[2]]
    ),
    "padding": lambda f: f.token() + "==",
    "padding inside": lambda f: f.token(f.header() + b" ").replace(".", "=.", 1),
    "trailing bits set": lambda f: last_bits_changed(f.token()),
    "standard alphabet": lambda f: f.token()[:-1] + "+",
    "line break behind": lambda f: f.token() + "\n",
    "line break inside": lambda f: f.token()[:50] + "\n" + f.token()[50:],
    "space before": lambda f: " " + f.token(),
    "NUL behind": lambda f: f.token() + "\0",
    "not ASCII": lambda f: f.token() + "é",
    "full-width letter": lambda f: "\uff45" + f.token()[1:],
    "lone surrogate": lambda f: f.token() + "\ud800",
    "no sub": lambda f: f.token(payload=f.payload(sub=...)),
    "no iss": lambda f: f.token(payload=f.payload(iss=...)),
    "no exp": lambda f: f.token(payload=f.payload(exp=...)),
    "no iat": lambda f: f.token(payload=f.payload(iat=...)),
    "no jti": lambda f: f.token(payload=f.payload(jti=...)),
    "sub empty": lambda f: f.token(payload=f.payload(sub="")),
    "sub list": lambda f: f.token(payload=f.payload(sub=["lender_a"])),
    "other issuer": lambda f: f.token(payload=f.payload(iss="altscore.in.attacker.example")),
    "exp text": lambda f: f.token(payload=f.payload(exp="9999999999")),
    "exp fraction": lambda f: f.token(payload=f.payload(exp=9999999999.5)),
    "exp true": lambda f: f.token(payload=f.payload(exp=True)),
    "exp null": lambda f: f.token(payload=f.payload(exp=None)),
    "exp infinite": lambda f: f.token(payload=f.payload().replace(b'"exp": ', b'"exp": 1e999, "x": ')),
    "exp huge": lambda f: f.token(payload=f.payload(exp=10**30)),
    "exp negative": lambda f: f.token(payload=f.payload(exp=-1)),
    "exp not after iat": lambda f: f.token(payload=f.payload(iat=2**40, exp=2**40)),
    "unknown claim": lambda f: f.token(payload=f.payload(admin=True)),
    "payload list": lambda f: f.token(payload=b"[]"),
    "payload not JSON": lambda f: f.token(payload=b"sub"),
    "payload not UTF-8": lambda f: f.token(payload=f.payload().replace(b"lender_a", b"lender_\xff")),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_token_is_refused(keys: SigningKeys, forge: Forge, case: str) -> None:
    assert keys.verify_token(forge.token(), NOW).sub == "lender_a", "the forge can make a genuine one"
    with pytest.raises(TokenInvalid):
        keys.verify_token(HOSTILE[case](forge), NOW)


async def test_only_the_names_alg_kid_typ_in_any_order_make_a_header(keys: SigningKeys, forge: Forge) -> None:
    kid = forge.kid
    for header in [
        f'{{"alg":"RS256","kid":"{kid}"}}',
        f'{{"typ":"JWT","kid":"{kid}","alg":"RS256"}}',
        f' {{ "kid" : "{kid}",\n"alg":"RS256" }} ',
    ]:
        assert keys.verify_token(forge.token(header.encode()), NOW).sub == "lender_a"


async def test_pkcs1_paddings_that_are_almost_right_are_refused(keys: SigningKeys, forge: Forge) -> None:
    """The cases of Wycheproof's rsa_signature_2048_sha256, made with the private key: Bleichenbacher's and relatives."""
    numbers = forge.private.private_numbers()
    n, d = numbers.public_numbers.n, numbers.d
    head = forge.token().rsplit(".", 1)[0]
    digest = hashlib.sha256(head.encode()).digest()
    oid = bytes.fromhex("300d06096086480165030402010500")
    info = b"\x30\x31" + oid + b"\x04\x20" + digest

    def padded(block: bytes, behind: bytes = b"", *, first: bytes = b"\x00\x01", fill: bytes = b"\xff") -> bytes:
        return first + fill * (256 - len(first) - 1 - len(block) - len(behind)) + b"\0" + block + behind

    def token(message: bytes) -> str:
        return head + "." + b64(pow(int.from_bytes(message, "big"), d, n).to_bytes(256, "big"))

    assert keys.verify_token(token(padded(info)), NOW), "the construction itself is right"
    short = padded(info)[:11] + b"\0" + info
    no_parameters = b"\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20" + digest
    sha1 = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(head.encode()).digest()
    forgeries = {
        "garbage behind the digest": short + b"\xaa" * (256 - len(short)),
        "zero behind the digest": padded(info, b"\0"),
        "block type 0": padded(info, first=b"\0\0"),
        "block type 2": padded(info, first=b"\0\x02"),
        "first byte 1": padded(info, first=b"\x01\x01"),
        "padding of zeros": padded(info, fill=b"\0"),
        "padding altered": padded(info).replace(b"\xff", b"\xfe", 1),
        "no parameters": padded(no_parameters),
        "no algorithm": padded(digest),
        "SHA-1": padded(sha1),
        "length in the long form": padded(b"\x30\x81\x31" + oid + b"\x04\x20" + digest),
        "digest length in the long form": padded(b"\x30\x32" + oid + b"\x04\x81\x20" + digest),
        "digest altered": padded(info[:-1] + bytes([info[-1] ^ 1])),
        "other algorithm named": padded(info.replace(bytes.fromhex("0402010500"), bytes.fromhex("0402030500"))),
    }
    for name, message in forgeries.items():
        assert len(message) == 256, name
        with pytest.raises(TokenInvalid):
            keys.verify_token(token(message), NOW)


# Time and the cache


@pytest.mark.parametrize("seen_before", [False, True])
async def test_a_token_dies_at_the_second_it_names_cached_or_not(keys: SigningKeys, seen_before: bool) -> None:
    token = keys.issue_token(claims())
    end = NOW + timedelta(hours=1)
    if seen_before:
        assert keys.verify_token(token, NOW)
    assert keys.verify_token(token, end - timedelta(microseconds=1))
    for late in (end, end + timedelta(seconds=1), end + timedelta(days=400)):
        with pytest.raises(TokenExpired):
            keys.verify_token(token, late)


async def test_an_expired_token_of_a_stranger_is_invalid_not_expired(keys: SigningKeys, forge: Forge) -> None:
    late = NOW + timedelta(hours=2)
    with pytest.raises(TokenInvalid):
        keys.verify_token(forge.token(sign=forge.stranger), late)


async def test_a_refused_token_is_refused_again(keys: SigningKeys, forge: Forge) -> None:
    hostile = forge.token(sign=forge.stranger)
    for _ in range(2):
        with pytest.raises(TokenInvalid):
            keys.verify_token(hostile, NOW)


async def test_the_cache_is_bounded_and_keeps_what_is_in_use(
    keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "_CACHED_TOKENS", 3)
    asked: list[str] = []
    original = signing.tokens.verify

    def counted(token: str, **arguments: Any) -> tuple[str, Claims]:
        asked.append(token)
        return original(token, **arguments)

    monkeypatch.setattr(signing.tokens, "verify", counted)
    several = [keys.issue_token(claims(jti=f"tok_{number}")) for number in range(4)]
    for token in [*several[:3], several[0], several[3], several[0], several[1]]:
        keys.verify_token(token, NOW)
    assert asked == [*several[:3], several[3], several[1]]


async def test_a_token_carries_what_the_specification_requires(keys: SigningKeys) -> None:
    token = keys.issue_token(claims())
    header, payload, signature = token.split(".")
    public = load_pem_public_key(keys.public_pem(header_of(token)["kid"]).encode())
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(unb64(signature), f"{header}.{payload}".encode(), padding.PKCS1v15(), SHA256())
    assert header_of(token).keys() == {"alg", "kid", "typ"}
    assert json.loads(unb64(payload)).keys() >= {"sub", "iss", "exp", "iat", "jti"}
