"""Cases of sealed values: AES-256-GCM under a data key of their own, which a key-encryption key wraps."""

import hashlib
from collections.abc import Iterator

import msgspec

from tests.vectors import Case, Stream, gcm

_STREAM = Stream("sealing keys")
KEKS = tuple(_STREAM.bytes(32) for _ in range(3))
"""Those of the keyring, the current one first."""
STRANGER = _STREAM.bytes(32)
ROOT = bytes(32)

OWNER, PURPOSE, PLAIN = (
    "ret_0a1b2c3d4e5f6071",
    "retailer.identity",
    b'{"gstin":"27AAPFU0939F1ZV","name":"Sharma Kirana"}',
)


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A value, whom and what it is opened for, and what it must then say."""

    sealed: bytes
    owner: str
    purpose: str
    plain: bytes


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a sealed value is made of; every part can be another than it should be."""

    version: bytes = b"\1"
    kek_id: bytes
    wrapped: bytes
    nonce: bytes
    body: bytes

    def joined(self) -> bytes:
        return self.version + self.kek_id + self.wrapped + self.nonce + self.body


def kek_id(kek: bytes) -> bytes:
    """The name of a key-encryption key."""
    return hashlib.sha256(b"altcredit kek" + kek).digest()[:8]


def bound(owner: str, purpose: str, version: bytes = b"\1") -> bytes:
    """What a value is bound to: each part behind its length."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in (owner.encode(), purpose.encode(), version))


def parts(
    stream: Stream,
    *,
    owner: str = OWNER,
    purpose: str = PURPOSE,
    plain: bytes = PLAIN,
    kek: bytes = KEKS[0],
    key: bytes | None = None,
    nonce: bytes | None = None,
) -> Parts:
    """A value as it should be, in its parts."""
    key, nonce = key or stream.bytes(32), stream.bytes(12) if nonce is None else nonce
    body = gcm.encrypt(key, nonce, plain, bound(owner, purpose))
    return Parts(kek_id=kek_id(kek), wrapped=gcm.wrap(kek, key), nonce=nonce, body=body)


def _wrong(sealed: bytes, comment: str, *flags: str, owner: str = OWNER, purpose: str = PURPOSE) -> Case[Given]:
    given = Given(sealed=sealed, owner=owner, purpose=purpose, plain=PLAIN)
    return Case(comment=comment, flags=flags, valid=False, given=given)


def right() -> Iterator[Case[Given]]:
    """Values of all lengths, owners and keys that open."""
    stream = Stream("sealed right")

    def case(
        comment: str, *, owner: str = OWNER, purpose: str = PURPOSE, plain: bytes = PLAIN, **more: bytes
    ) -> Case[Given]:
        sealed = parts(stream, owner=owner, purpose=purpose, plain=plain, **more).joined()
        given = Given(sealed=sealed, owner=owner, purpose=purpose, plain=plain)
        return Case(comment=comment, flags=("Pseudorandom",), valid=True, given=given)

    for size in (*range(66), 127, 128, 129, 255, 256, 257, 1000, 4096):
        yield case(f"{size} bytes", plain=stream.bytes(size))
    for owner in ("", "o", "a" * 300, "दुकान", "\0", "a|b", "a\nb", "🔑" * 20):
        for purpose in ("", "p", "credit|v1", "उद्देश्य"):
            yield case(f"for {owner[:20]!r} and {purpose!r}", owner=owner, purpose=purpose)
    for at, kek in enumerate(KEKS):
        yield case(f"under the key of place {at}", kek=kek)
    for byte in (0, 1, 0x7F, 0x80, 0xFF):
        yield case(f"nonce of {byte:#x}", nonce=bytes([byte]) * 12)
        yield case(f"data key of {byte:#x}", key=bytes([byte]) * 32)
        yield case(f"plaintext of {byte:#x}", plain=bytes([byte]) * 64)


def damaged() -> Iterator[Case[Given]]:
    """Values with a part altered, cut, or longer."""
    stream = Stream("sealed damaged")
    good = parts(stream)
    whole = good.joined()
    for at in range(len(whole)):
        yield _wrong(whole[:at], f"cut to {at} bytes", "Truncated")
        yield _wrong(whole[at + 1 :], f"without the first {at + 1} bytes", "Truncated")
        yield _wrong(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :], f"byte {at} altered", "BitFlip")
        yield _wrong(whole[:at] + whole[at + 1 :], f"byte {at} left out", "Truncated")
    for more in (b"\0", b"\x80", b"\xff", bytes(16), good.body, whole):
        yield _wrong(whole + more, f"{len(more)} bytes more", "Appended")
        yield _wrong(more + whole, f"{len(more)} bytes in front", "Appended")
    tag, text = good.body[-16:], good.body[:-16]
    for size in range(16):
        shorter = text + tag[:size]
        yield _wrong(msgspec.structs.replace(good, body=shorter).joined(), f"a tag of {size} bytes", "ModifiedTag")
        bits = bytes(size) + bytes([tag[size] ^ 0x80]) + bytes(15 - size)
        for comment, other in {
            "of zeros but for a byte": bits,
            "with a byte of zero": tag[:size] + bytes([tag[size] ^ (tag[size] or 1)]) + tag[size + 1 :],
            "with a byte flipped": tag[:size] + bytes([tag[size] ^ 0xFF]) + tag[size + 1 :],
            "turned around by bytes": tag[size + 1 :] + tag[: size + 1] if size < 15 else tag[::-1],
        }.items():
            yield _wrong(
                msgspec.structs.replace(good, body=text + other).joined(), f"a tag {comment}, {size}", "ModifiedTag"
            )
    for comment, other in {
        "zeros": bytes(16), "ones": b"\xff" * 16, "the text's last block": text[-16:], "inverted": bytes(b ^ 0xFF for b in tag),
        "with its first and last byte swapped": tag[15:] + tag[1:15] + tag[:1], "twice": tag + tag, "in front": b"",
    }.items():  # fmt: skip
        body = tag + text if comment == "in front" else text + other
        yield _wrong(msgspec.structs.replace(good, body=body).joined(), f"the tag is {comment}", "ModifiedTag")
    for first, second in ((0, 16), (16, 32), (0, 32)):  # blocks of ciphertext change places
        blocks = bytearray(text)
        blocks[first : first + 16], blocks[second : second + 16] = text[second : second + 16], text[first : first + 16]
        yield _wrong(msgspec.structs.replace(good, body=bytes(blocks) + tag).joined(), "blocks swapped", "ModifiedText")


def mixed() -> Iterator[Case[Given]]:
    """Values that are sound in themselves, for somebody else, or put together from two."""
    stream = Stream("sealed mixed")
    good, other = parts(stream), parts(stream, plain=PLAIN[::-1])
    whole = good.joined()
    strangers = [
        ("", PURPOSE), (OWNER, ""), ("", ""), (PURPOSE, OWNER), (OWNER + PURPOSE, ""), ("", OWNER + PURPOSE), (OWNER[:-1], OWNER[-1] + PURPOSE),
        (OWNER + PURPOSE[0], PURPOSE[1:]), (OWNER.upper(), PURPOSE), (OWNER + "\0", PURPOSE), (OWNER, PURPOSE + "\0"), (OWNER + " ", PURPOSE),
        (OWNER[:-1], PURPOSE), (OWNER[:-1] + "2", PURPOSE), (OWNER, "retailer.phone"), (OWNER, PURPOSE + "\1"), ("ret_0a1b2c3d4e5f607１", PURPOSE),
    ]  # fmt: skip
    for owner, purpose in strangers:
        yield _wrong(whole, f"opened for {owner!r} and {purpose!r}", "WrongOwner", owner=owner, purpose=purpose)
        foreign = parts(stream, owner=owner, purpose=purpose).joined()
        yield _wrong(foreign, f"made for {owner!r} and {purpose!r}", "WrongOwner")
    for field in ("wrapped", "nonce", "body"):
        swapped = msgspec.structs.replace(good, **{field: getattr(other, field)})
        yield _wrong(swapped.joined(), f"{field} of another value", "Mixed")
    key, nonce = stream.bytes(32), stream.bytes(12)
    wrapped = gcm.wrap(KEKS[0], key)
    named = Parts(kek_id=kek_id(KEKS[0]), wrapped=wrapped, nonce=nonce, body=b"")
    for comment, associated in {
        "nothing": b"", "the owner alone": OWNER.encode(), "no lengths": (OWNER + PURPOSE + "\1").encode(), "no version": bound(OWNER, PURPOSE)[:-9],
        "version 0": bound(OWNER, PURPOSE, b"\0"), "version 2": bound(OWNER, PURPOSE, b"\2"), "more": bound(OWNER, PURPOSE) + b"\0",
        "joined by bars": f"{OWNER}|{PURPOSE}|1".encode(), "lengths of 4 bytes": bound(OWNER, PURPOSE).replace(bytes(7), bytes(3)),
    }.items():  # fmt: skip
        body = gcm.encrypt(key, nonce, PLAIN, associated)
        yield _wrong(msgspec.structs.replace(named, body=body).joined(), f"bound to {comment}", "WrongBinding")
    for version in (0, 2, 3, 0x7F, 0x80, 0xFF):
        again = gcm.encrypt(key, nonce, PLAIN, bound(OWNER, PURPOSE, bytes([version])))
        made = msgspec.structs.replace(named, version=bytes([version]), body=again)
        yield _wrong(made.joined(), f"of version {version}, and bound to it", "WrongVersion")
        yield _wrong(
            msgspec.structs.replace(good, version=bytes([version])).joined(),
            f"called version {version}",
            "WrongVersion",
        )
    for size in (*range(12), 13, 14, 15, 16, 24, 32, 64):
        odd = stream.bytes(size)
        body = gcm.encrypt(key, odd, PLAIN, bound(OWNER, PURPOSE))
        yield _wrong(
            msgspec.structs.replace(named, nonce=odd, body=body).joined(), f"a nonce of {size} bytes", "NonceLength"
        )
    yield from _repeated(named, key)


def _repeated(named: Parts, key: bytes) -> Iterator[Case[Given]]:
    """What one sees who has two values under one key and nonce, and the text of one of them."""
    body = gcm.encrypt(key, named.nonce, PLAIN, bound(OWNER, PURPOSE))
    for at in range(0, len(PLAIN), 7):
        forged = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        yield _wrong(
            msgspec.structs.replace(named, body=forged).joined(), f"bit of the text {at} turned", "ModifiedText"
        )


def wrapping() -> Iterator[Case[Given]]:
    """Values whose data key is wrapped wrongly, under another key, or is none."""
    stream = Stream("sealed wrapping")
    good = parts(stream)

    def case(comment: str, *, kek: bytes = KEKS[0], wrapped: bytes, key: bytes, flag: str = "WrongWrap") -> Case[Given]:
        body = gcm.encrypt(key, good.nonce, PLAIN, bound(OWNER, PURPOSE))
        made = Parts(kek_id=kek_id(kek), wrapped=wrapped, nonce=good.nonce, body=body)
        return _wrong(made.joined(), comment, flag)

    for at in range(40):
        for bit in range(8):
            bits = bytes(at) + bytes([1 << bit]) + bytes(39 - at)
            altered = bytes(a ^ b for a, b in zip(good.wrapped, bits, strict=True))
            yield _wrong(
                msgspec.structs.replace(good, wrapped=altered).joined(),
                f"bit {bit} of byte {at} of the key",
                "ModifiedKey",
            )
    key = stream.bytes(32)
    for iv in (
        bytes(8),
        b"\xff" * 8,
        b"\xa6" * 7 + b"\xa7",
        b"\xa7" + b"\xa6" * 7,
        b"\xa6\x59\x59\xa6\0\0\0\x20",
        b"\x59" * 8,
    ):
        yield case(f"wrapped with the IV {iv.hex()}", wrapped=gcm.wrap(KEKS[0], key, iv=iv), key=key)
    for size in (8, 16, 24, 40, 48, 64):
        other = stream.bytes(size)
        usable = other if size in (16, 24) else other[:32].ljust(32, b"\0")
        yield case(f"a data key of {size} bytes", wrapped=gcm.wrap(KEKS[0], other), key=usable, flag="KeyLength")
        padded = gcm.wrap(KEKS[0], other).ljust(40, b"\0")[:40]
        yield case(f"a data key of {size} bytes, made to fit", wrapped=padded, key=usable, flag="KeyLength")
    yield case("not wrapped", wrapped=gcm.DEFAULT_IV + key, key=key)
    yield case("encrypted block by block", wrapped=gcm.DEFAULT_IV + gcm.block(KEKS[0], key), key=key)
    yield case("wrapped by a stranger's key", kek=STRANGER, wrapped=gcm.wrap(STRANGER, key), key=key)
    yield case("by a stranger's key, named as ours", wrapped=gcm.wrap(STRANGER, key), key=key)
    yield case("by our key, named as a stranger's", kek=STRANGER, wrapped=gcm.wrap(KEKS[0], key), key=key)
    yield case("by our second key, named as the first", wrapped=gcm.wrap(KEKS[1], key), key=key)
    yield case("by our first key, named as the second", kek=KEKS[1], wrapped=gcm.wrap(KEKS[0], key), key=key)
    yield case("wrapped twice", wrapped=gcm.wrap(KEKS[0], gcm.wrap(KEKS[0], key))[:40], key=key)
    yield case("zeros", wrapped=bytes(40), key=bytes(32))
    body = gcm.encrypt(KEKS[0], good.nonce, PLAIN, bound(OWNER, PURPOSE))
    yield _wrong(
        msgspec.structs.replace(good, body=body).joined(), "sealed under the key-encryption key itself", "WrongKey"
    )


def everything() -> list[Case[Given]]:
    """All cases."""
    return [*right(), *damaged(), *mixed(), *wrapping()]
