"""Cases of ECDSA P-256 with SHA-256: signatures that are right, nearly right, and right in another encoding."""

import base64
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence

import msgspec

from tests.vectors import Case, Stream
from tests.vectors.p256 import (
    A,
    B,
    G,
    N,
    P,
    Point,
    add,
    der,
    element,
    hashed,
    integer,
    length,
    oid,
    public,
    sign,
    times,
    verifies,
)

_EC_KEY, _PRIME256V1 = oid((1, 2, 840, 10045, 2, 1)), oid((1, 2, 840, 10045, 3, 1, 7))
_MESSAGE = '{"lender_id":"lender_1","purpose":"credit_assessment","retailer":"ret_ünïcode"}'.encode()
_MESSAGES = (b"", b"\0", b"a" * 55, b"a" * 56, b"a" * 64, bytes(200), bytes(range(256)) * 4, _MESSAGE)


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Key (PEM, or a key set), its RFC 7638 thumbprint, what was signed, and the signature."""

    public: bytes
    kid: str
    data: bytes
    signature: bytes


def spki(point: bytes, *, algorithm: bytes = _EC_KEY + _PRIME256V1) -> bytes:
    """A public key as PEM; ``point`` is its octets."""
    body = element(0x30, element(0x30, algorithm) + element(3, b"\0" + point))
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(body) + b"-----END PUBLIC KEY-----\n"


def octets(point: Point) -> bytes:
    """A point, uncompressed."""
    return b"\4" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def _base64url(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(32, "big")).decode().rstrip("=")


def jwk(point: Point) -> dict[str, str]:
    """A public key as a JSON Web Key."""
    return {"crv": "P-256", "kty": "EC", "x": _base64url(point[0]), "y": _base64url(point[1])}


def thumbprint(point: Point) -> str:
    """The name of a key (RFC 7638)."""
    digest = hashlib.sha256(json.dumps(jwk(point), separators=(",", ":"), sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _case(
    point: Point, signature: bytes, comment: str, *flags: str, valid: bool = False, data: bytes = _MESSAGE
) -> Case[Given]:
    given = Given(public=spki(octets(point)), kid=thumbprint(point), data=data, signature=signature)
    return Case(comment=comment, flags=flags, valid=valid, given=given)


def _recovered(commitment: Point, r: int, s: int, digest: int) -> Point:
    """The key under which r and s sign a digest with this commitment (SEC 1, 4.1.6)."""
    point = times(pow(r, -1, N), add(times(s, commitment), times(-digest % N)))
    assert point is not None
    return point


def _lifted(x: int) -> Point | None:
    """The point of an x-coordinate, if there is one."""
    square = (x**3 + A * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return (x, y) if y * y % P == square else None


def right() -> Iterator[Case[Given]]:
    """Signatures that hold, by keys at the edges of their range, over texts of all lengths."""
    stream = Stream("right")
    for secret in (1, 2, N - 1, N // 2, *(stream.below(N) for _ in range(4))):
        point = public(secret)
        for data in _MESSAGES:
            r, s = sign(secret, hashed(data), stream.below(N))
            yield _case(point, der(r, s), "random nonce", valid=True, data=data)
            yield _case(point, der(r, N - s), "the other s", "Malleable", valid=True, data=data)


def edges() -> Iterator[Case[Given]]:
    """Signatures with r and s at the edges of their range, and with sums of points that are special."""
    stream = Stream("edges")
    digest = hashed(_MESSAGE)
    small = (1, 2, 127, 128, 255, 256, 2**127, 2**128, 2**247, 2**248 - 1, 2**255 - 1, 2**255)
    for s in (*small, N // 2, N // 2 + 1, N - 2, N - 1):
        commitment = public(stream.below(N))
        point = _recovered(commitment, commitment[0] % N, s, digest)
        yield _case(point, der(commitment[0] % N, s), f"s is {s:#x}", "EdgeCaseS", valid=True)
    near = (range(1, 20), range(2**255 - 6, 2**255 + 6), range(N - 10, N), range(N + 1, N + 12), range(P - 9, P))
    for lifted in filter(None, map(_lifted, itertools.chain(*near))):
        x, s = lifted[0], stream.below(N)
        point = _recovered(lifted, x % N, s, digest)
        yield _case(point, der(x % N, s), f"x of the commitment is {x:#x}", "EdgeCaseR", valid=True)
        if x + N < P or x > N:
            unreduced = x if x > N else x + N
            yield _case(point, der(unreduced, s), "r is not reduced, and below p", "RangeCheck")
    # u1 G and u2 Q are the same point, and the sum is a doubling.
    nonce = stream.below(N)
    r = public(nonce)[0] % N
    secret = digest * pow(r, -1, N) % N
    yield _case(public(secret), der(*sign(secret, digest, nonce)), "a doubling", "PointDoubling", valid=True)
    # u1 G and u2 Q cancel out: whatever s is, the sum is infinity.
    opposed = public(-secret % N)
    for s in (1, N - 1, stream.below(N), stream.below(N)):
        yield _case(opposed, der(r, s), "the sum is the point at infinity", "PointAtInfinity")


_CHANGES: dict[str, Callable[[int], int]] = {
    "+ n": lambda v: v + N,
    "- n": lambda v: v - N,
    "+ 256 n": lambda v: v + 256 * N,
    "negated": lambda v: -v,
    "+ 2^256": lambda v: v + 2**256,
    "+ 2^320": lambda v: v + 2**320,
    "doubled": lambda v: 2 * v,
    "+ 1": lambda v: v + 1,
    "inverted": lambda v: pow(v, -1, N),
    "complement": lambda v: ~v,
}


def numbers() -> Iterator[Case[Given]]:
    """Well encoded numbers that are no signature: out of range, changed, swapped."""
    stream = Stream("numbers")
    secret = stream.below(N)
    point, digest = public(secret), hashed(_MESSAGE)
    r, s = sign(secret, digest, stream.below(N))
    yield _case(point, der(r, s), "as it should be", valid=True)
    special = (0, 1, -1, 2, N - 1, N, N + 1, -N, P, P + 1, P - 1, 2**255, 2**256 - 1, 2**256, 2**512, 2**1024)
    for one, other in itertools.product((*special, r), (*special, s)):
        if (one, other) != (r, s):
            assert not verifies(point, digest, one, other)
            yield _case(point, der(one, other), f"r is {one:#x}, s is {other:#x}", "SpecialValue")
    for name, change in _CHANGES.items():
        yield _case(point, der(change(r), s), f"r {name}", "ModifiedR")
        yield _case(point, der(r, change(s)), f"s {name}", "ModifiedS")
        yield _case(point, der(change(r), change(s)), f"both {name}", "ModifiedR", "ModifiedS")
    yield _case(point, der(N - r, s), "n - r", "ModifiedR")
    for name, pair in {"r and s swapped": (s, r), "r twice": (r, r), "s twice": (s, s)}.items():
        yield _case(point, der(*pair), name, "Swapped")
    for x in (r, s):
        yield _case(G, der(x, x), "made from the public point alone", "WrongKey")


def texts() -> Iterator[Case[Given]]:
    """Signatures of another text, over another hash, by another key."""
    stream = Stream("texts")
    secret = stream.below(N)
    point = public(secret)
    signature = der(*sign(secret, hashed(_MESSAGE), stream.below(N)))
    yield _case(point, signature, "as it should be", valid=True)
    for at in range(0, len(_MESSAGE), 3):
        data = _MESSAGE[:at] + bytes([_MESSAGE[at] ^ 1]) + _MESSAGE[at + 1 :]
        yield _case(point, signature, f"byte {at} of the text altered", "ModifiedMessage", data=data)
    digest = hashlib.sha256(_MESSAGE).digest()
    for data in (b"", _MESSAGE[:-1], _MESSAGE + b"\0", _MESSAGE + b"\n", _MESSAGE.upper(), digest):
        yield _case(point, signature, "another text", "ModifiedMessage", data=data)
    others = {
        name: hashed(_MESSAGE, name) for name in ("md5", "sha1", "sha224", "sha384", "sha512", "sha3_256", "blake2s")
    }
    others |= {"no hash": int.from_bytes(_MESSAGE[:32], "big"), "the hash of the hash": hashed(digest)}
    for name, other in others.items():
        yield _case(point, der(*sign(secret, other, stream.below(N))), f"signed over {name}", "WrongHash")
    for name, stranger in {"another key": stream.below(N), "the negated key": N - secret, "the generator": 1}.items():
        yield _case(public(stranger), signature, name, "WrongKey")


def encodings() -> Iterator[Case[Given]]:
    """A signature that holds, in every encoding but DER: BER, truncated, extended, damaged, of other types."""
    stream = Stream("encodings")
    secret = stream.below(N)
    point = public(secret)
    digest = hashed(_MESSAGE)
    # One whose r needs a zero in front and whose s does not, so that both kinds of number are there.
    r, s = next(
        made
        for made in (sign(secret, digest, stream.below(N)) for _ in range(99))
        if made[0] >> 255 and not made[1] >> 255
    )
    whole = der(r, s)
    yield _case(point, whole, "as it should be", valid=True)
    first, second = element(2, integer(r)), element(2, integer(s))
    for name, signature in _ber(first, second, r, s).items():
        yield _case(point, signature, name, "BerEncoded")
    for at in range(len(whole)):
        yield _case(point, whole[:at], f"cut to {at} bytes", "Truncated")
        yield _case(point, whole[at + 1 :], f"without the first {at + 1} bytes", "Truncated")
        yield _case(point, whole[:at] + whole[at + 1 :], f"without byte {at}", "Truncated")
        yield _case(point, whole[:at] + b"\0" + whole[at:], f"a zero put in before byte {at}", "Inserted")
        for bit in range(8):
            damaged = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
            yield _case(point, damaged, f"bit {bit} of byte {at} flipped", "BitFlip")
    for more in (b"\0", b"\0\0", b"\5\0", b"\xff", b"0\0", whole, b"\n", b"\x0c\1a", bytes(64), bytes(1000)):
        yield _case(point, whole + more, f"{more[:8].hex()} after the sequence", "Appended")
        yield _case(point, more + whole, f"{more[:8].hex()} before the sequence", "Appended")
        yield _case(point, element(0x30, first + second + more), f"{more[:8].hex()} in the sequence", "Appended")
        yield _case(point, element(0x30, first + more + second), f"{more[:8].hex()} between r and s", "Appended")
        yield _case(point, element(0x30, more + first + second), f"{more[:8].hex()} before r", "Appended")
        yield _case(point, element(0x30, element(2, integer(r) + more) + second), f"{more[:8].hex()} in r", "Appended")
        yield _case(point, element(0x30, first + element(2, integer(s) + more)), f"{more[:8].hex()} in s", "Appended")
    for tag in (*range(0, 0x20), 0x24, 0x28, 0x2C, 0x31, 0x32, 0x42, 0x60, 0x82, 0xA0, 0xA2, 0xE0, 0xFF):
        if tag != 2:
            yield _case(point, element(0x30, bytes([tag]) + first[1:] + second), f"r has the tag {tag:#x}", "WrongType")
            yield _case(point, element(0x30, first + bytes([tag]) + second[1:]), f"s has the tag {tag:#x}", "WrongType")
        yield _case(point, bytes([tag]) + whole[1:], f"the sequence has the tag {tag:#x}", "WrongType")
    for name, signature in _foreign(whole, r, s).items():
        yield _case(point, signature, name, "WrongFormat")


def _ber(first: bytes, second: bytes, r: int, s: int) -> dict[str, bytes]:
    both = first + second
    found = {
        "indefinite length": b"\x30\x80" + both + b"\0\0",
        "indefinite length without an end": b"\x30\x80" + both,
        "r of indefinite length": element(0x30, b"\x02\x80" + integer(r) + b"\0\0" + second),
        "length 0xff": b"\x30\xff" + both,
        "length of 4 GB": b"\x30\x84\xff\xff\xff\xff" + both,
        "length of 2^64": b"\x30\x89\1" + bytes(8) + both,
        "r without its zero": element(0x30, element(2, integer(r)[1:]) + second),
        "the sequence as a set": element(0x31, both),
        "no numbers": element(0x30, b""),
        "r alone": element(0x30, first),
        "s alone": element(0x30, second),
        "three numbers": element(0x30, both + second),
        "empty numbers": element(0x30, b"\2\0\2\0"),
        "r empty": element(0x30, b"\2\0" + second),
        "s empty": element(0x30, first + b"\2\0"),
        "numbers in sequences": element(0x30, element(0x30, first) + element(0x30, second)),
        "a sequence in a sequence": element(0x30, element(0x30, both)),
        "r in pieces": element(0x30, element(0x22, element(2, integer(r)[:5]) + element(2, integer(r)[5:])) + second),
    }  # fmt: skip
    for longer in (1, 2, 3, 4, 8):
        found[f"length {longer} bytes longer"] = element(0x30, both, longer=longer)
        found[f"length of r {longer} bytes longer"] = element(0x30, element(2, integer(r), longer=longer) + second)
        found[f"length of s {longer} bytes longer"] = element(0x30, first + element(2, integer(s), longer=longer))
        found[f"{longer} zeros before r"] = element(0x30, element(2, bytes(longer) + integer(r)) + second)
        found[f"{longer} zeros before s"] = element(0x30, first + element(2, bytes(longer) + integer(s)))
        found[f"{longer} bytes 0xff before s"] = element(0x30, first + element(2, b"\xff" * longer + integer(s)))
    for wrong in (-2, -1, 1, 2, 56):
        found[f"length {wrong:+}"] = b"\x30" + length(len(both) + wrong) + both
        found[f"length of r {wrong:+}"] = element(0x30, b"\2" + length(len(integer(r)) + wrong) + integer(r) + second)
        found[f"length of s {wrong:+}"] = element(0x30, first + b"\2" + length(len(integer(s)) + wrong) + integer(s))
    return found


def _foreign(whole: bytes, r: int, s: int) -> dict[str, bytes]:
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return {
        "empty": b"",
        "r and s side by side (IEEE P1363)": raw,
        "side by side in DER": element(4, raw),
        "with a first byte for recovery": b"\x1b" + raw,
        "in hex": whole.hex().encode(),
        "in base64": base64.b64encode(whole),
        "in base64url": base64.urlsafe_b64encode(whole).rstrip(b"="),
        "as PEM": b"-----BEGIN SIGNATURE-----\n" + base64.encodebytes(whole) + b"-----END SIGNATURE-----\n",
        "as JSON": json.dumps({"r": f"{r:x}", "s": f"{s:x}"}).encode(),
        "in a bit string": element(3, b"\0" + whole),
        "in an octet string": element(4, whole),
        "backwards": whole[::-1],
        "r backwards": der(int.from_bytes(r.to_bytes(32, "little"), "big"), s),
        "zeros": bytes(72),
        "a million bytes": whole + bytes(1_000_000),
        "with an algorithm before it": element(0x30, element(0x30, oid((1, 2, 840, 10045, 4, 3, 2))) + element(3, b"\0" + whole)),
    }  # fmt: skip


def keys() -> Iterator[Case[Given]]:
    """
    A signature that holds, beside keys that are none, or are of another kind.

    The same key in a form that RFC 5480 rules out (hybrid, or its curve spelled out) is no case: it is still the key.
    """
    stream = Stream("keys")
    secret = stream.below(N)
    point = public(secret)
    x, y = point
    name = thumbprint(point)
    signature = der(*sign(secret, hashed(_MESSAGE), stream.below(N)))
    other = jwk(public(stream.below(N)))

    def case(key: bytes, comment: str, flag: str, *, valid: bool = False, kid: str = name) -> Case[Given]:
        given = Given(public=key, kid=kid, data=_MESSAGE, signature=signature)
        return Case(comment=comment, flags=(flag,), valid=valid, given=given)

    def keyset(*found: object) -> bytes:
        return json.dumps({"keys": list(found)}).encode()

    own = jwk(point)
    compressed = bytes([2 + y % 2]) + x.to_bytes(32, "big")
    yield case(spki(octets(point)), "PEM", "Format", valid=True)
    yield case(spki(compressed), "PEM of a compressed point", "Format", valid=True)
    yield case(keyset(own), "a key set", "Format", valid=True)
    yield case(b" \n\t" + keyset(other, own), "a key set of two", "Format", valid=True)
    yield case(
        keyset({"kty": "RSA"}, {"kty": "oct", "k": "AA"}, {**own, "use": "sig", "alg": "ES256"}),
        "among others",
        "Format",
        valid=True,
    )
    yield case(spki(octets(point)), "named otherwise", "WrongName", kid=thumbprint(public(7)))
    for kid in ("", name[:-1], name + "=", name.lower(), f"{name}\n", hashlib.sha256(spki(octets(point))).hexdigest()):
        yield case(spki(octets(point)), f"named {kid!r}", "WrongName", kid=kid)
    for comment, wrong in {
        "not on the curve": b"\4" + x.to_bytes(32, "big") + ((y + 1) % P).to_bytes(32, "big"),
        "x of p and more": b"\4" + ((x + P) % 2**256).to_bytes(32, "big") + y.to_bytes(32, "big"),
        "zeros": b"\4" + bytes(64),
        "0, y": b"\4" + bytes(32) + y.to_bytes(32, "big"),
        "infinity": b"\0",
        "infinity, long": bytes(65),
        "hybrid of the other y": bytes([7 - y % 2]) + octets(point)[1:],
        "compressed, the other y": bytes([3 - y % 2]) + x.to_bytes(32, "big"),
        "too short": octets(point)[:-1],
        "too long": octets(point) + b"\0",
        "without a form": octets(point)[1:],
        "empty": b"",
    }.items():
        yield case(spki(wrong), f"the point is {comment}", "InvalidPoint")
    for comment, arcs in {"secp256k1": (1, 3, 132, 0, 10), "brainpoolP256r1": (1, 3, 36, 3, 3, 2, 8, 1, 1, 7),
                          "SM2": (1, 2, 156, 10197, 1, 301), "P-192": (1, 2, 840, 10045, 3, 1, 1), "nothing known": (1, 2, 3)}.items():  # fmt: skip
        yield case(spki(octets(point), algorithm=_EC_KEY + oid(arcs)), f"the curve is {comment}", "WrongCurve")
    yield case(
        spki(octets(point), algorithm=_EC_KEY + _explicit(point)),
        "the key is the generator (CVE-2020-0601)",
        "WrongCurve",
    )
    yield case(spki(octets(point), algorithm=_EC_KEY), "no curve", "WrongCurve")
    yield case(spki(octets(point), algorithm=oid((1, 2, 840, 113549, 1, 1, 1)) + b"\5\0"), "an RSA key", "WrongKind")
    yield case(spki(octets(point)[1:33], algorithm=oid((1, 3, 101, 112))), "an Ed25519 key", "WrongKind")
    for comment, fields in {
        "y is missing": {"y": None}, "x is missing": {"x": None}, "the curve is missing": {"crv": None}, "the kind is missing": {"kty": None},
        "the curve is P-384": {"crv": "P-384"}, "the curve is secp256k1": {"crv": "secp256k1"}, "the curve is unknown": {"crv": "P-1"},
        "the curve is a number": {"crv": 256}, "the kind is oct": {"kty": "oct", "k": "AAAA"}, "the kind is OKP": {"kty": "OKP"},
        "x is empty": {"x": ""}, "x is a number": {"x": 5}, "x is not base64": {"x": "!!!!"}, "x and y are swapped": {"x": own["y"], "y": own["x"]},
        "y is another": {"y": other["y"]}, "x is longer": {"x": own["x"] + "AA"}, "x is 1 MB": {"x": "A" * 1_000_000},
    }.items():  # fmt: skip
        made = {field: value for field, value in (own | fields).items() if value is not None}
        yield case(keyset(made), comment, "InvalidKeySet")
    for junk in (b"", b"{", b"{}", b'{"keys": 7}', b'{"keys": null}', b'{"keys": {}}', b'{"keys": ["a"]}', b'{"keys": [null]}', b'{"keys": []}',
                 b"[]", b"null", b"\xff\xfe", b"-----BEGIN PUBLIC KEY-----", name.encode(), octets(point), bytes(100_000), b"{" * 100_000):  # fmt: skip
        yield case(junk, f"no key at all: {junk[:20]!r}", "NoKey")


def _explicit(generator: Point) -> bytes:
    """The parameters of P-256 in full, as X9.62 allows and RFC 5480 does not, with a forger's generator."""
    field = element(0x30, oid((1, 2, 840, 10045, 1, 1)) + element(2, integer(P)))
    curve = element(0x30, element(4, A.to_bytes(32, "big")) + element(4, B.to_bytes(32, "big")))
    parts: Sequence[bytes] = (element(2, b"\1"), field, curve, element(4, octets(generator)), element(2, integer(N)))
    return element(0x30, b"".join(parts) + element(2, b"\1"))


def everything() -> list[Case[Given]]:
    """All cases of signatures by keys that are sound."""
    return [*right(), *edges(), *numbers(), *texts(), *encodings()]
