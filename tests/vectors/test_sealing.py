"""Sealed values open for their owner and purpose, as they were made, and in no other way."""

from altcredit.runtime.keys import KeyProvider, Keyring, SealBroken
from tests.vectors import judge
from tests.vectors.sealing import KEKS, ROOT, Given, everything

KEYRING = Keyring(KeyProvider(root=ROOT, keks=KEKS))
CASES = everything()


def opens(given: Given) -> bool:
    try:
        plain = KEYRING.unseal(given.sealed, owner=given.owner, purpose=given.purpose)
    except SealBroken:
        return False
    assert plain == given.plain, "it opened, and says something else"
    return True


def opens_after_rewrapping(given: Given) -> bool:
    try:
        moved = KEYRING.rewrap(given.sealed)
    except SealBroken:
        return False
    assert KEYRING.is_current(moved)
    assert moved[49:] == given.sealed[49:]
    sealed = Keyring(KeyProvider(root=ROOT, keks=KEKS[:1]))  # none of the older keys
    try:
        return sealed.unseal(moved, owner=given.owner, purpose=given.purpose) == given.plain
    except SealBroken:
        return False


def test_sealed_values() -> None:
    judge("AES-GCM, Keyring.unseal", CASES, opens, at_least=1_000)


def test_sealed_values_that_are_moved_to_another_key() -> None:
    judge("AES-GCM, Keyring.rewrap", CASES, opens_after_rewrapping, at_least=1_000)


def test_the_cases_are_the_same_on_every_run() -> None:
    assert everything() == CASES
