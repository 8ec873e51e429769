"""``altcredit serve`` as an operator starts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_production_without_keys_is_refused_once_and_for_good(database_url: str, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "ALTCREDIT_ENVIRONMENT": "production"}
    environ |= {"ALTCREDIT_HOME": str(tmp_path), "ALTCREDIT_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "altcredit", "serve"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 3, ended.stderr
    assert "set ALTCREDIT_KEY_FILE" in ended.stderr
