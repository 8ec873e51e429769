"""A key file in the custody of a real PKCS#11 token (SoftHSM), and of a transit engine over real HTTPS."""

import json
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from tests.transit import Transit, serving

from altcredit.cli import app
from altcredit.runtime.custody import CustodianUnusable, custodian
from altcredit.runtime.keys import Keyring, KeysUnusable, create_key_file, wrap_key_file
from altcredit.runtime.settings import Settings, load
from altcredit.runtime.vault import Vault

SOFTHSM = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/local/lib/softhsm/libsofthsm2.so")]
HSM = "pkcs11:token=altcredit;object=key%20file"
VAULT = "vault:transit/altcredit"


def altcredit(*arguments: object) -> int:
    return app.main([str(one) for one in arguments], {}, lambda _product: b"")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The library of a SoftHSM that has a token with a few keys; PIN 1234."""
    program = shutil.which("softhsm2-util")
    assert program, "softhsm2 is missing: run `make system`"
    library = next(path for path in SOFTHSM if path.exists())
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        made = [program, "--init-token", "--free", "--label", "altcredit", "--pin", "1234", "--so-pin", "5678"]
        subprocess.run(made, check=True, capture_output=True)
        loaded = pkcs11.lib(str(library))
        kept: dict[pkcs11.Attribute, Any] = {pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.SENSITIVE: True}
        with loaded.get_token(token_label="altcredit").open(rw=True, user_pin="1234") as session:
            for label in ("key file", "other", "twice", "twice"):
                session.generate_key(pkcs11.KeyType.AES, 256, label=label, store=True, template=kept)
            useless = {**kept, pkcs11.Attribute.ENCRYPT: False, pkcs11.Attribute.DECRYPT: False}
            session.generate_key(pkcs11.KeyType.AES, 256, label="useless", store=True, template=useless)
        loaded.finalize()
        yield library


@pytest.fixture
def hsm(module: Path, tmp_path: Path) -> Settings:
    (tmp_path / "pin").write_text("1234\n")
    return Settings(pkcs11_module=str(module), pkcs11_pin_file=str(tmp_path / "pin"), key_file=str(tmp_path / "keys"))


@pytest.fixture
def transit(tmp_path: Path) -> Iterator[tuple[Transit, Settings]]:
    engine = Transit()
    (tmp_path / "token").write_text("s.good\n")
    with serving(engine, tmp_path) as address:
        yield (
            engine,
            Settings(
                vault_address=address,
                vault_token_file=str(tmp_path / "token"),
                vault_ca=str(tmp_path / "ca.pem"),
                key_file=str(tmp_path / "keys"),
            ),
        )


@pytest.fixture(params=["hsm", "vault"])
def reached(request: pytest.FixtureRequest) -> tuple[str, Settings]:
    """Each kind of custodian: its address, and settings that reach it."""
    if request.param == "hsm":
        return HSM, request.getfixturevalue("hsm")
    return VAULT, request.getfixturevalue("transit")[1]


def changed(settings: Settings, **values: str) -> Settings:
    return Settings(**{name: getattr(settings, name) for name in Settings.__struct_fields__} | values)  # type: ignore[arg-type]


def test_a_key_file_made_in_custody_never_was_on_the_disk_and_serves_as_any_other(
    reached: tuple[str, Settings],
) -> None:
    address, settings = reached
    path = Path(settings.key_file)
    create_key_file(path, keeper=custodian(address, settings))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_bytes())) == {"custodian", "wrapped"}
    keyring = Keyring.open(changed(settings, environment="production"))
    assert address in keyring.custody
    sealed = keyring.seal(b"secret", owner="o", purpose="p")
    again = Keyring.open(settings)
    assert again.unseal(sealed, owner="o", purpose="p") == b"secret"
    assert again.hmac("p", "x") == keyring.hmac("p", "x")


def test_wrapping_and_unwrapping_change_who_may_read_the_keys_and_not_the_keys(
    reached: tuple[str, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, settings = reached
    path = Path(settings.key_file)
    for name in ("pkcs11_module", "pkcs11_pin_file", "vault_address", "vault_token_file", "vault_ca", "key_file"):
        monkeypatch.setenv(f"ALTCREDIT_{name.upper()}", getattr(settings, name))
    assert altcredit("keys", "create", path) == 0
    clear, before = path.read_bytes(), Keyring.open(settings)
    sealed = before.seal(b"secret", owner="o", purpose="p")
    for _ in range(2):  # the second time it is wrapped anew
        wrapped = path.read_bytes()
        assert altcredit("keys", "wrap", path, "--custodian", address) == 0
        assert path.read_bytes() != wrapped
        assert not any(
            key.encode() in path.read_bytes() for key in [json.loads(clear)["root"], *json.loads(clear)["keks"]]
        )
        assert Keyring.open(settings).unseal(sealed, owner="o", purpose="p") == b"secret"
    assert altcredit("keys", "add-kek", path) == 0
    after = Keyring.open(settings)
    assert (len(after.kek_ids), after.hmac("p", "x")) == (2, before.hmac("p", "x"))
    assert not after.is_current(sealed)
    assert after.unseal(sealed, owner="o", purpose="p") == b"secret"
    assert altcredit("keys", "unwrap", path) == 0
    assert json.loads(path.read_bytes())["root"] == json.loads(clear)["root"]
    assert json.loads(path.read_bytes())["keks"][1:] == json.loads(clear)["keks"]


def test_a_key_file_that_was_altered_or_is_of_another_key_does_not_open(reached: tuple[str, Settings]) -> None:
    address, settings = reached
    path = Path(settings.key_file)
    keeper = custodian(address, settings)
    create_key_file(path, keeper=keeper)
    good = json.loads(path.read_bytes())
    middle = len(good["wrapped"]) // 2
    swapped = "A" if good["wrapped"][middle] != "A" else "B"
    for wrapped in (
        good["wrapped"][:middle] + swapped + good["wrapped"][middle + 1 :],
        good["wrapped"][:20],
        good["wrapped"] + "====",
        "",
    ):
        path.write_text(json.dumps({**good, "wrapped": wrapped}))
        with pytest.raises(CustodianUnusable):
            Keyring.open(settings)
    path.write_text(json.dumps({**good, "wrapped": keeper.wrap(b"something else of ours")}))
    with pytest.raises(KeysUnusable, match="not a key file"):
        Keyring.open(settings)
    path.write_text(json.dumps({**good, "wrapped": keeper.wrap(json.dumps(good).encode())}))
    with pytest.raises(KeysUnusable, match="twice"):
        Keyring.open(settings)


def test_a_file_is_not_replaced_by_one_that_does_not_open_again(tmp_path: Path) -> None:
    class Forgetful:
        address = "vault:transit/forgetful"

        def wrap(self, content: bytes) -> str:
            self.kept = content.replace(b"false", b"true")
            return "wrapped"

        def unwrap(self, _wrapped: str) -> bytes:
            return self.kept

    path = tmp_path / "keys"
    create_key_file(path)
    before = path.read_bytes()
    with pytest.raises(CustodianUnusable, match="nothing was written"):
        wrap_key_file(path, Settings(), keeper=Forgetful())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("file:keys", "not a custodian"),
        ("", "not a custodian"),
        ("pkcs11:", "must be"),
        ("pkcs11:token=a", "must be"),
        ("pkcs11:token=a;object=", "must be"),
        ("pkcs11:token=a;object=b;object=c", "must be"),
        ("pkcs11:token=a;object=b?pin-value=1234", "ALTCREDIT_PKCS11_MODULE"),
        ("pkcs11:token=a;object=b", "ALTCREDIT_PKCS11_MODULE"),
        ("vault:", "must be"),
        ("vault:transit", "must be"),
        ("vault:transit/../sys", "ALTCREDIT_VAULT_ADDRESS"),
        ("vault:transit/a b", "must be"),
        ("vault:transit/a", "ALTCREDIT_VAULT_ADDRESS"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_by_name(address: str, problem: str) -> None:
    with pytest.raises(CustodianUnusable, match=problem):
        custodian(address, Settings())


@pytest.mark.parametrize(
    "address",
    ["http://vault.example:8200", "http://localhost:8200", "ftp://127.0.0.1", "https://", "vault:8200",
     "https://me:secret@vault.example", "https://vault.example:99999", "https://[::1", "https://vault.example?x=1"],
)  # fmt: skip
def test_a_token_is_sent_over_tls_or_to_this_machine_alone(address: str) -> None:
    with pytest.raises(CustodianUnusable, match="ALTCREDIT_VAULT_ADDRESS"):
        custodian(VAULT, Settings(vault_address=address))


@pytest.mark.parametrize("content", [None, b"", b"\n", b"12\n34", b"\xff\xfe"])
def test_a_secret_file_that_holds_no_secret_is_refused_by_its_setting(
    module: Path, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    settings = Settings(
        pkcs11_module=str(module),
        pkcs11_pin_file=str(tmp_path / "secret"),
        vault_address="https://127.0.0.1",
        vault_token_file=str(tmp_path / "secret"),
    )
    with pytest.raises(CustodianUnusable, match="ALTCREDIT_PKCS11_PIN_FILE"):
        custodian(HSM, settings)
    with pytest.raises(CustodianUnusable, match="ALTCREDIT_VAULT_TOKEN_FILE"):
        custodian(VAULT, settings)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("pkcs11:token=none;object=key%20file", "no token of this label"),
        ("pkcs11:token=altcredit;object=none", "has 0 AES keys"),
        ("pkcs11:token=altcredit;object=twice", "has 2 AES keys"),
        ("pkcs11:token=altcredit;object=useless", "may not encrypt"),
    ],
)
def test_a_token_that_lacks_the_key_is_refused_with_its_cause(hsm: Settings, address: str, problem: str) -> None:
    with pytest.raises(CustodianUnusable, match=problem):
        custodian(address, hsm).wrap(b"content")


def test_a_wrong_pin_a_wrong_module_and_a_foreign_key_are_told_apart(hsm: Settings, tmp_path: Path) -> None:
    wrapped = custodian(HSM, hsm).wrap(b"content")
    assert custodian(HSM, hsm).unwrap(wrapped) == b"content"
    with pytest.raises(CustodianUnusable, match="did not wrap"):
        custodian("pkcs11:token=altcredit;object=other", hsm).unwrap(wrapped)
    (tmp_path / "wrong").write_text("9999")
    with pytest.raises(CustodianUnusable, match="PIN is wrong"):
        custodian(HSM, changed(hsm, pkcs11_pin_file=str(tmp_path / "wrong"))).unwrap(wrapped)
    for library in ("/nonexistent.so", __file__):
        with pytest.raises(CustodianUnusable, match=r"\.so|\.py"):
            custodian(HSM, changed(hsm, pkcs11_module=library)).unwrap(wrapped)
    assert custodian(HSM, hsm).unwrap(wrapped) == b"content"


def test_the_library_for_modules_is_asked_for_where_it_is_missing(
    hsm: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(CustodianUnusable, match=r"altcredit\[pkcs11\]"):
        custodian(HSM, hsm).wrap(b"content")


def test_a_rotated_key_of_the_engine_opens_what_it_wrapped_and_wraps_anew(
    transit: tuple[Transit, Settings],
) -> None:
    engine, settings = transit
    path = Path(settings.key_file)
    create_key_file(path, keeper=custodian(VAULT, settings))
    before = Keyring.open(settings)
    engine.keys["/transit/altcredit"].append(secrets.token_bytes(32))
    assert Keyring.open(settings).hmac("p") == before.hmac("p")
    wrap_key_file(path, settings, keeper=custodian(VAULT, settings))
    assert json.loads(path.read_bytes())["wrapped"].startswith("vault:v2:")
    assert Keyring.open(settings).hmac("p") == before.hmac("p")


def test_one_request_opens_the_key_file_and_none_follows(transit: tuple[Transit, Settings]) -> None:
    engine, settings = transit
    create_key_file(Path(settings.key_file), keeper=custodian(VAULT, settings))
    engine.requests.clear()
    keyring = Keyring.open(settings)
    for number in range(100):
        keyring.unseal(keyring.seal(b"x", owner=str(number), purpose="p"), owner=str(number), purpose="p")
    assert [path for path, _ in engine.requests] == ["/v1/transit/decrypt/altcredit"]


def test_a_namespace_and_a_deep_mount_are_asked_for_as_documented(
    transit: tuple[Transit, Settings],
) -> None:
    engine, settings = transit
    engine.keys["credit/deep/er/key.1"] = [secrets.token_bytes(32)]
    keeper = custodian("vault:deep/er/key.1", changed(settings, vault_namespace="credit"))
    assert keeper.unwrap(keeper.wrap(b"content")) == b"content"
    path, headers = engine.requests[-1]
    assert path == "/v1/deep/er/decrypt/key.1"
    assert headers["x-vault-namespace"] == "credit"
    assert headers["x-vault-token"] == "s.good"
    assert headers["x-vault-request"] == "true"
    with pytest.raises(CustodianUnusable, match=r"404.*route entry not found"):
        custodian("vault:deep/er/key.1", settings).wrap(b"content")


def test_an_agent_on_loopback_is_asked_without_a_token(tmp_path: Path) -> None:
    engine = Transit()
    engine.tokens[""] = {"encrypt", "decrypt"}  # as one that adds its own
    with serving(engine, tmp_path, tls=False) as address:
        keeper = custodian(VAULT, Settings(vault_address=address))
        assert keeper.unwrap(keeper.wrap(b"content")) == b"content"
    assert "x-vault-token" not in engine.requests[-1][1]


def test_what_the_engine_refuses_is_said_in_its_words(transit: tuple[Transit, Settings], tmp_path: Path) -> None:
    engine, settings = transit
    wrapped = custodian(VAULT, settings).wrap(b"content")

    def refused(problem: str, address: str = VAULT, given: Settings = settings, text: str = wrapped) -> None:
        with pytest.raises(CustodianUnusable, match=problem) as caught:
            custodian(address, given).unwrap(text)
        assert "s." not in str(caught.value), "a token is told to nobody"

    refused("400.*encryption key not found", "vault:transit/none")
    refused("404.*no handler for route", "vault:none/altcredit")
    refused("400.*message authentication failed", text=wrapped[:-6] + "AAAA==")
    refused("400.*no prefix", text="something")
    refused("400.*too new", text=wrapped.replace("v1", "v7"))
    (tmp_path / "foreign").write_text("s.foreign")
    refused("403.*permission denied", given=changed(settings, vault_token_file=str(tmp_path / "foreign")))
    engine.sealed = True
    refused("503.*Vault is sealed")
    for status, body, problem in [
        (429, b"", "standby"),
        (473, b"{}", "standby"),
        (503, b'{"errors": null}', "sealed"),
        (500, b"<html>", "no answer of a transit engine"),
        (200, b"<html>", "holds no plaintext"),
        (200, b"[]", "holds no plaintext"),
        (200, b'{"data": {"plaintext": 7}}', "holds no plaintext"),
        (200, b'{"data": {"plaintext": "\xc3\xa9"}}', "not base64"),
    ]:
        engine.instead = (status, body)
        refused(problem)


def test_a_token_may_unwrap_without_being_able_to_wrap(transit: tuple[Transit, Settings], tmp_path: Path) -> None:
    _, settings = transit
    create_key_file(Path(settings.key_file), keeper=custodian(VAULT, settings))
    (tmp_path / "reader").write_text("s.reader")
    reader = changed(settings, vault_token_file=str(tmp_path / "reader"))
    Keyring.open(reader)
    with pytest.raises(CustodianUnusable, match="403"):
        wrap_key_file(Path(settings.key_file), reader, keeper=custodian(VAULT, reader))
    Keyring.open(reader)


def test_a_token_follows_no_redirect(transit: tuple[Transit, Settings], tmp_path: Path) -> None:
    engine, settings = transit
    elsewhere = Transit()
    with serving(elsewhere, tmp_path, tls=False) as address:
        engine.standby = address
        with pytest.raises(CustodianUnusable, match="307"):
            custodian(VAULT, settings).wrap(b"content")
    assert elsewhere.requests == []


def test_a_server_of_an_unknown_authority_is_not_told_the_token(transit: tuple[Transit, Settings]) -> None:
    engine, settings = transit
    with pytest.raises(CustodianUnusable, match="certificate is not accepted"):
        custodian(VAULT, changed(settings, vault_ca="")).wrap(b"content")
    assert engine.requests == []
    with pytest.raises(CustodianUnusable, match="ALTCREDIT_VAULT_CA"):
        custodian(VAULT, changed(settings, vault_ca="/nonexistent.pem"))


def test_a_server_that_hangs_or_is_not_there_is_given_up(transit: tuple[Transit, Settings], tmp_path: Path) -> None:
    engine, settings = transit
    with serving(Transit(), tmp_path, tls=False) as gone:
        pass
    with pytest.raises(CustodianUnusable, match="cannot be reached"):
        custodian(VAULT, changed(settings, vault_address=gone)).wrap(b"content")
    engine.wait.clear()
    keeper = custodian(VAULT, settings)
    assert isinstance(keeper, Vault)
    keeper._seconds = 0.3
    with pytest.raises(CustodianUnusable, match=r"cannot be reached: .*timed out"):
        keeper.wrap(b"content")


def test_settings_reach_a_custodian_by_the_environment(transit: tuple[Transit, Settings]) -> None:
    _, settings = transit
    environ = {
        f"ALTCREDIT_{name.upper()}": getattr(settings, name)
        for name in ("vault_address", "vault_token_file", "vault_ca")
    }
    keeper = custodian(VAULT, load(environ))
    assert keeper.unwrap(keeper.wrap(b"content")) == b"content"
