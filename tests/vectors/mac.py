"""HMAC-SHA256 (RFC 2104) and HKDF (RFC 5869), from the hash alone."""

import hashlib


def tag(key: bytes, message: bytes, algorithm: str = "sha256") -> bytes:
    """Return the HMAC of a message."""
    size = hashlib.new(algorithm).block_size
    padded = (hashlib.new(algorithm, key).digest() if len(key) > size else key).ljust(size, b"\0")
    inner = hashlib.new(algorithm, bytes(one ^ 0x36 for one in padded) + message).digest()
    return hashlib.new(algorithm, bytes(one ^ 0x5C for one in padded) + inner).digest()


def derived(secret: bytes, info: bytes) -> bytes:
    """Return 32 bytes by HKDF without a salt."""
    return tag(tag(bytes(32), secret), info + b"\1")
