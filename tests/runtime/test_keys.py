import ast
import hashlib
import hmac as stdlib_hmac
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import altcredit
from altcredit.runtime.keys import (
    KeyProvider,
    Keyring,
    KeysUnusable,
    SealBroken,
    add_kek,
    create_key_file,
)
from altcredit.runtime.settings import Settings

SOURCE = Path(altcredit.__file__).parents[1]
OLD, NEW, ROOT = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(KeyProvider(root=ROOT, keks=(OLD,)))


def test_development_makes_one_private_key_file_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    first = Keyring.open(settings)
    path = tmp_path / "keys" / "development.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    sealed = first.seal(b"secret", owner="o", purpose="p")
    second = Keyring.open(settings)
    assert second.unseal(sealed, owner="o", purpose="p") == b"secret"
    assert second.hmac("p", "x") == first.hmac("p", "x")


def test_processes_that_start_together_agree_on_the_development_key(tmp_path: Path) -> None:
    program = (
        "import sys; from altcredit.runtime.keys import Keyring; from altcredit.runtime.settings import Settings;"
        "print(Keyring.open(Settings(home=sys.argv[1])).hmac('p', 'x').hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=SOURCE)
        for _ in range(4)
    ]
    answers = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0] * 4
    assert len(answers) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["development.json"]


def test_production_refuses_to_start_without_a_key_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(KeysUnusable, match="ALTCREDIT_KEY_FILE"):
        Keyring.open(Settings(environment="production", home=str(tmp_path)))
    Keyring.open(Settings(home=str(tmp_path)))
    development = tmp_path / "keys" / "development.json"
    with pytest.raises(KeysUnusable, match="development"):
        Keyring.open(Settings(environment="production", key_file=str(development)))
    create_key_file(tmp_path / "production.json")
    Keyring.open(Settings(environment="production", key_file=str(tmp_path / "production.json")))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_key_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    path.chmod(mode)
    with pytest.raises(KeysUnusable, match="chmod 600"):
        Keyring.open(Settings(key_file=str(path)))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "null",
        '{"root": "00", "keks": ["00"]}',
        '{"root": "' + "0" * 64 + '", "keks": []}',
        '{"root": "' + "g" * 64 + '", "keks": ["' + "0" * 64 + '"]}',
        '{"root": "' + "0" * 64 + '", "keks": ["' + "0" * 64 + '"], "extra": 1}',
    ],
)
def test_a_malformed_key_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(KeysUnusable, match=r"keys\.json"):
        Keyring.open(Settings(key_file=str(path)))


def test_a_missing_key_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KeysUnusable, match=r"absent\.json"):
        Keyring.open(Settings(key_file=str(tmp_path / "absent.json")))


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        create_key_file(path)
    assert path.read_bytes() == before


def test_adding_a_kek_changes_what_seals_and_neither_what_opens_nor_what_hashes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    settings = Settings(key_file=str(path))
    before = Keyring.open(settings)
    sealed = before.seal(b"secret", owner="o", purpose="p")
    add_kek(path, settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    after = Keyring.open(settings)
    assert after.hmac("p", "x") == before.hmac("p", "x")
    assert not after.is_current(sealed)
    assert after.unseal(sealed, owner="o", purpose="p") == b"secret"
    moved = after.rewrap(sealed)
    assert after.is_current(moved)
    assert moved[61:] == sealed[61:], "the ciphertext is not rewritten"
    assert after.unseal(moved, owner="o", purpose="p") == b"secret"
    with pytest.raises(SealBroken, match="unknown key"):
        before.unseal(moved, owner="o", purpose="p")


def test_a_value_rewrapped_from_a_retired_kek_opens_without_it() -> None:
    sealed = Keyring(KeyProvider(root=ROOT, keks=(OLD,))).seal(b"secret", owner="o", purpose="p")
    moved = Keyring(KeyProvider(root=ROOT, keks=(NEW, OLD))).rewrap(sealed)
    assert Keyring(KeyProvider(root=ROOT, keks=(NEW,))).unseal(moved, owner="o", purpose="p") == b"secret"


@given(plaintext=st.binary(max_size=300), owner=st.text(max_size=20), purpose=st.text(max_size=20))
def test_what_is_sealed_opens_for_its_owner_and_purpose(plaintext: bytes, owner: str, purpose: str) -> None:
    keyring = Keyring(KeyProvider(root=ROOT, keks=(OLD,)))
    sealed = keyring.seal(plaintext, owner=owner, purpose=purpose)
    assert len(sealed) == len(plaintext) + 77
    assert keyring.unseal(sealed, owner=owner, purpose=purpose) == plaintext


def test_a_value_does_not_open_for_another_owner_or_purpose(keyring: Keyring) -> None:
    sealed = keyring.seal(b"secret", owner="ab", purpose="c")
    for owner, purpose in [("a", "bc"), ("ab", "d"), ("x", "c"), ("", "abc"), ("abc", "")]:
        with pytest.raises(SealBroken):
            keyring.unseal(sealed, owner=owner, purpose=purpose)


def test_every_altered_bit_and_every_truncation_is_noticed(keyring: Keyring) -> None:
    sealed = keyring.seal(b"secret", owner="o", purpose="p")
    for position in range(len(sealed)):
        for bit in range(8):
            altered = bytearray(sealed)
            altered[position] ^= 1 << bit
            with pytest.raises(SealBroken):
                keyring.unseal(bytes(altered), owner="o", purpose="p")
        with pytest.raises(SealBroken):
            keyring.unseal(sealed[:position], owner="o", purpose="p")


def test_the_same_plaintext_never_seals_to_the_same_bytes(keyring: Keyring) -> None:
    sealed = {keyring.seal(b"secret", owner="o", purpose="p") for _ in range(50)}
    assert len({value[9:49] for value in sealed}) == 50
    assert len({value[49:61] for value in sealed}) == 50


def test_hmac_is_hmac_sha256_under_an_hkdf_key_of_the_purpose(keyring: Keyring) -> None:
    # RFC 5869 by hand: extract with a zero salt, expand one block.
    extracted = stdlib_hmac.digest(b"\0" * 32, ROOT, "sha256")
    key = stdlib_hmac.digest(extracted, b"altcredit hmac gstin" + b"\x01", "sha256")
    message = (3).to_bytes(8, "big") + b"abc" + (2).to_bytes(8, "big") + "é".encode()
    assert keyring.hmac("gstin", "abc", "é") == stdlib_hmac.digest(key, message, hashlib.sha256)


def test_hmac_separates_purposes_and_parts(keyring: Keyring) -> None:
    results = [
        keyring.hmac("a", "bc"),
        keyring.hmac("ab", "c"),
        keyring.hmac("a", "b", "c"),
        keyring.hmac("a", "c", "b"),
        keyring.hmac("a", "bc", ""),
        keyring.hmac("a"),
    ]
    assert len(set(results)) == len(results)
    assert keyring.hmac("a", b"bc") == keyring.hmac("a", "bc")


def test_the_page_says_of_every_keyed_hash_what_a_leaked_root_would_mean() -> None:
    used = set()
    for module in (SOURCE / "altcredit").rglob("*.py"):
        for call in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("keyring.hmac"):
                assert isinstance(call.args[0], ast.Constant), f"{module}: name the purpose where it is used"
                used.add(call.args[0].value)
    page = (SOURCE.parent / "docs" / "keys.md").read_text(encoding="utf-8")
    table = page[page.index("## The root cannot be changed") :]
    assert used == set(re.findall(r"`([a-z][a-z._-]+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
    assert len(used) > 15
