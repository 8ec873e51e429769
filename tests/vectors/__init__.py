"""
Test vectors in the manner of Project Wycheproof, made here and the same on every run, for *our* verifying functions.

Each case says what it is, in flags, and whether it is valid, which follows from how it was made. The making shares no
code with what is tested: P-256, DER, AES-GCM, key wrap and HMAC are written out in this folder on whole numbers and on
single blocks of AES, and hold the published values of their standards (``test_published.py``).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Case(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One vector: what is given, and whether it must be accepted."""

    comment: str
    flags: tuple[str, ...]
    valid: bool
    given: T


class Stream:
    """Bytes that look random and are the same on every run: SHA-256 of a label and a counter."""

    def __init__(self, label: str) -> None:
        self._label = label.encode()
        self._count = 0

    def bytes(self, length: int) -> bytes:
        made = b""
        while len(made) < length:
            made += hashlib.sha256(self._label + self._count.to_bytes(8, "big")).digest()
            self._count += 1
        return made[:length]

    def below(self, bound: int) -> int:
        """A number from 1 to ``bound`` - 1."""
        return 1 + int.from_bytes(self.bytes(40), "big") % (bound - 1)


def judge(name: str, cases: Iterable[Case[T]], accepts: Callable[[T], bool], *, at_least: int) -> None:
    """Put every case to a function of ours; fail with all that it gets wrong, or when there are too few to mean much."""
    counts: Counter[bool] = Counter()
    wrong = []
    for case in cases:
        counts[case.valid] += 1
        try:
            accepted = accepts(case.given)
        except Exception as problem:  # a crash is no answer
            wrong.append(f"crashed ({problem!r}): {case.comment} {case.flags}")
            continue
        if accepted != case.valid:
            wrong.append(f"{'accepted' if accepted else 'refused'}: {case.comment} {case.flags}")
    print(f"{name}: {counts[True]} valid, {counts[False]} invalid, {len(wrong)} wrong")  # noqa: T201 - the figures, with `pytest -rP`
    assert not wrong, "\n".join(wrong)
    assert min(counts[True], counts[False]) > 0
    assert counts.total() >= at_least
