"""Cases of HMAC-SHA256 tags: over which bytes, under which key, and what is done to a tag that would be right."""

import itertools
from collections.abc import Callable, Iterator

import msgspec

from tests.vectors import Case, Stream, mac

BODIES = (
    b"", b"\0", b"{}", b"a" * 55, b"a" * 63, b"a" * 64, b"a" * 65, bytes(1000), bytes(range(256)) * 8,
    '{"records":[{"party":"शर्मा किराना","amount":"1,234.50"}]}'.encode(), b'{"b":1,"a":2}\n', b"\xef\xbb\xbf{}",
)  # fmt: skip


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The key that the receiver holds, the bytes that came, and the tag that came with them, as it is written."""

    key: bytes
    body: bytes
    tag: str


def keys(label: str, *sizes: int) -> list[bytes]:
    """Keys of these sizes, of letters and digits; one longer than a block of SHA-256 is hashed first."""
    stream = Stream(label)
    return [stream.bytes(size).hex().encode()[:size] for size in sizes]


def cases(
    held: list[bytes],
    *,
    written: Callable[[bytes], str],
    content: Callable[[bytes], bytes] = lambda body: body,
    altered: Callable[[bytes], Iterator[tuple[str, str]]],
    is_text: bool = False,
) -> Iterator[Case[Given]]:
    """
    Cases for a receiver.

    ``written`` is how it wants a tag written, ``content`` what it hashes of a body. ``altered`` gives other ways of
    writing the same tag, none of which it is to take. ``is_text``: keys are text, and cannot hold every byte.
    """

    for key in held:
        for body in BODIES:
            right = mac.tag(key, content(body))
            yield _case(
                f"key of {len(key)}, body of {len(body)}", "Pseudorandom", key, body, written(right), valid=True
            )
            for comment, flag, tag in itertools.chain(
                _wrong(right), _over_others(key, body, content), _by_others(key, content(body), is_text=is_text)
            ):
                if tag != right:
                    yield _case(comment, flag, key, body, written(tag))
        for comment, text in altered(mac.tag(key, content(BODIES[-1]))):
            yield _case(comment, "Encoding", key, BODIES[-1], text)


def _case(comment: str, flag: str, key: bytes, body: bytes, tag: str, *, valid: bool = False) -> Case[Given]:
    return Case(comment=comment, flags=(flag,), valid=valid, given=Given(key=key, body=body, tag=tag))


def _over_others(key: bytes, body: bytes, content: Callable[[bytes], bytes]) -> Iterator[tuple[str, str, bytes]]:
    for comment, other in _other_bodies(body):
        yield comment, "ModifiedMessage", mac.tag(key, content(other))


def _by_others(key: bytes, content: bytes, *, is_text: bool) -> Iterator[tuple[str, str, bytes]]:
    for comment, stranger in _other_keys(key, is_text=is_text):
        yield comment, "WrongKey", mac.tag(stranger, content)
    for algorithm in ("md5", "sha1", "sha224", "sha384", "sha512", "sha3_256"):
        tag = mac.tag(key, content, algorithm)
        yield f"HMAC of {algorithm}", "WrongHash", tag
        yield f"HMAC of {algorithm}, made to fit", "WrongHash", tag.ljust(32, b"\0")[:32]


def _wrong(right: bytes) -> Iterator[tuple[str, str, bytes]]:
    for comment, tag in _modified(right):
        yield comment, "ModifiedTag", tag


def _modified(right: bytes) -> Iterator[tuple[str, bytes]]:
    for at in range(0, 256, 5):
        yield f"bit {at} flipped", (int.from_bytes(right, "big") ^ 1 << at).to_bytes(32, "big")
    for size in (0, 1, 4, 8, 12, 16, 20, 24, 28, 30, 31):
        yield f"cut to {size} bytes", right[:size]
        yield f"cut to {size} bytes and filled with zeros", right[:size].ljust(32, b"\0")
    yield from {
        "a zero more": right + b"\0", "a byte more": right + b"a", "a zero in front": b"\0" + right, "twice": right + right, "zeros": bytes(32),
        "ones": b"\xff" * 32, "inverted": bytes(b ^ 0xFF for b in right), "backwards": right[::-1], "halves swapped": right[16:] + right[:16],
        "last half alone": right[16:],
    }.items()  # fmt: skip


def _other_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    for comment, other in {
        "a body with a line end": body + b"\n", "a body with a zero": body + b"\0", "a space in front": b" " + body, "half the body": body[: len(body) // 2],
        "the body without its last byte": body[:-1], "an empty body": b"", "the body twice": body + body, "without white space": body.strip(),
        "in capitals": body.upper(), "in hex": body.hex().encode(), "with a byte-order mark": b"\xef\xbb\xbf" + body,
    }.items():  # fmt: skip
        if other != body:
            yield comment, other


def _other_keys(key: bytes, *, is_text: bool) -> Iterator[tuple[str, bytes]]:
    """Keys that are not this one. Zeros after a short key make the same key: HMAC fills it up with them."""
    found = {
        "no key": b"", "the key cut": key[:-1], "the key and a letter": key + b"a", "in capitals": key.upper(), "backwards": key[::-1],
        "the key and a line end": key + b"\n", "a key of zeros": bytes(len(key)), "in hex": key.hex().encode(), "the key twice": key + key,
        "another": b"z" * len(key), "a zero in front": b"\0" + key,
    }  # fmt: skip
    if not is_text and len(key) > 64:
        found["the key cut to a block"] = key[:64]
        found["a zero after"] = key + b"\0"
    for comment, other in found.items():
        if other.rstrip(b"\0") != key.rstrip(b"\0"):
            yield comment, other


def of_hex(right: bytes) -> Iterator[tuple[str, str]]:
    """The tag in hex as it must not be written."""
    text = right.hex()
    yield from {
        "capitals": text.upper(), "one capital": next(text[:at] + one.upper() + text[at + 1 :] for at, one in enumerate(text) if one.isalpha()),
        "a space after": text + " ", "a space before": " " + text, "a line end after": text + "\n", "a tab before": "\t" + text,
        "0x in front": "0x" + text, "spaces between": " ".join(text[at : at + 2] for at in range(0, 64, 2)), "colons": ":".join(text[at : at + 2] for at in range(0, 64, 2)),
        "full-width digits": "".join(chr(ord(one) + 0xFEE0) for one in text), "one full-width digit": chr(ord(text[0]) + 0xFEE0) + text[1:],
        "Arabic digits": text.translate({ord("0") + at: 0x660 + at for at in range(10)}) + "٠", "a soft hyphen": text[:32] + "\u00ad" + text[32:],
        "a zero-width space after": text + "\u200b", "a NUL after": text + "\0", "half of it": text[:32], "a digit less": text[:-1], "a digit more": text + "0",
        "a pair more": text + "00", "empty": "", "latin-1 beyond ASCII": text[:-1] + "é", "quotes": f'"{text}"', "a list": f"{text},{text}", "a wildcard": "*" * 64,
    }.items()  # fmt: skip
