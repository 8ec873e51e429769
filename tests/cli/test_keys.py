"""The commands around keys, as an operator types them."""

import stat
from pathlib import Path

from altcredit.cli import app
from altcredit.runtime.keys import KeyProvider
from altcredit.runtime.settings import Settings

PRODUCTION = Settings(environment="production")


def altcredit(*arguments: object) -> int:
    return app.main([str(one) for one in arguments], {}, lambda: b"")


def test_a_created_key_file_is_fit_for_production_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "altcredit.keys"
    assert altcredit("keys", "create", file) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    root = KeyProvider.from_file(file, PRODUCTION).root
    assert altcredit("keys", "create", file) == app.REFUSED
    assert KeyProvider.from_file(file, PRODUCTION).root == root
