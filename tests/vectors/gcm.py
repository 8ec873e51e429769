"""AES-GCM (NIST SP 800-38D) and AES key wrap (RFC 3394), on single blocks of AES."""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

DEFAULT_IV = b"\xa6" * 8
_R = 0xE1 << 120


def block(key: bytes, content: bytes) -> bytes:
    """Encrypt blocks of 16 bytes, each by itself."""
    return Cipher(AES(key), ECB()).encryptor().update(content)


def _product(one: int, other: int) -> int:
    total = 0
    for bit in range(127, -1, -1):
        if other >> bit & 1:
            total ^= one
        one = (one >> 1) ^ (_R if one & 1 else 0)
    return total


def _ghash(key: int, content: bytes) -> bytes:
    total = 0
    for start in range(0, len(content), 16):
        total = _product(total ^ int.from_bytes(content[start : start + 16], "big"), key)
    return total.to_bytes(16, "big")


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 16)


def _bits(content: bytes) -> bytes:
    return (8 * len(content)).to_bytes(8, "big")


def encrypt(key: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
    """Return ciphertext and tag; the nonce may be of any length."""
    h = int.from_bytes(block(key, bytes(16)), "big")
    first = nonce + b"\0\0\0\1" if len(nonce) == 12 else _ghash(h, _padded(nonce) + bytes(8) + _bits(nonce))
    start, blocks = int.from_bytes(first[12:], "big"), -(-len(plain) // 16)
    counters = b"".join(first[:12] + ((start + 1 + at) % 2**32).to_bytes(4, "big") for at in range(blocks))
    cipher = bytes(a ^ b for a, b in zip(plain, block(key, counters), strict=False))
    tag = _ghash(h, _padded(bound) + _padded(cipher) + _bits(bound) + _bits(cipher))
    return cipher + bytes(a ^ b for a, b in zip(tag, block(key, first), strict=True))


def wrap(kek: bytes, content: bytes, *, iv: bytes = DEFAULT_IV) -> bytes:
    """Wrap a key of eight-byte words; another ``iv`` makes what no wrap makes."""
    a, words = iv, [content[at : at + 8] for at in range(0, len(content), 8)]
    for step in range(6):
        for place, word in enumerate(words):
            made = block(kek, a + word)
            count = len(words) * step + place + 1
            a = (int.from_bytes(made[:8], "big") ^ count).to_bytes(8, "big")
            words[place] = made[8:]
    return a + b"".join(words)
