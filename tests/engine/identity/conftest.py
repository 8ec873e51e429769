from datetime import UTC, datetime

import pytest

from altcredit.runtime.certificates import Authority
from altcredit.runtime.keys import KeyProvider, Keyring


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.create(now=datetime(2026, 11, 22, 12, tzinfo=UTC))
