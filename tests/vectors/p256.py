"""P-256 and ECDSA on whole numbers (FIPS 186-5; SEC 1), slow and plain, to make signatures that no library would."""

import hashlib
from collections.abc import Sequence

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
A = P - 3
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]


def add(one: Point | None, other: Point | None) -> Point | None:
    """Add two points; None is the point at infinity."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(factor: int, point: Point | None = G) -> Point | None:
    """Multiply a point."""
    total = None
    while factor:
        if factor & 1:
            total = add(total, point)
        point = add(point, point)
        factor >>= 1
    return total


def public(secret: int) -> Point:
    """The public point of a private key from 1 to N - 1."""
    point = times(secret)
    assert point is not None
    return point


def hashed(message: bytes, algorithm: str = "sha256") -> int:
    """The leftmost 256 bits of a digest as a number."""
    return int.from_bytes(hashlib.new(algorithm, message).digest()[:32], "big")


def sign(secret: int, digest: int, nonce: int) -> tuple[int, int]:
    """The r and s of a digest under a chosen nonce."""
    r = public(nonce)[0] % N
    s = pow(nonce, -1, N) * (digest + r * secret) % N
    assert r
    assert s
    return r, s


def verifies(point: Point, digest: int, r: int, s: int) -> bool:
    """FIPS 186-5, section 6.4.2."""
    if not (0 < r < N and 0 < s < N):
        return False
    inverse = pow(s, -1, N)
    found = add(times(digest * inverse % N), times(r * inverse % N, point))
    return found is not None and found[0] % N == r


def length(count: int, *, longer: int = 0) -> bytes:
    """A DER length, or a BER one of ``longer`` bytes more than it needs."""
    if count < 128 and not longer:
        return bytes([count])
    size = max(1, (count.bit_length() + 7) // 8) + max(0, longer - (count < 128))
    return bytes([0x80 | size]) + count.to_bytes(size, "big")


def integer(value: int) -> bytes:
    """The content of a DER INTEGER: two's complement, as short as it goes."""
    return value.to_bytes((value.bit_length() // 8) + 1, "big", signed=True)


def element(tag: int, content: bytes, *, longer: int = 0) -> bytes:
    """Tag, length, content."""
    return bytes([tag]) + length(len(content), longer=longer) + content


def der(r: int, s: int) -> bytes:
    """An ECDSA-Sig-Value."""
    return element(0x30, element(2, integer(r)) + element(2, integer(s)))


def oid(arcs: Sequence[int]) -> bytes:
    """An OBJECT IDENTIFIER."""
    content = b""
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.insert(0, 0x80 | arc & 0x7F)
        content += bytes(digits)
    return element(6, content)
