"""`altcredit doctor` finds what is wrong and says what it is."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.runtime.test_kafka import broker, free_port

from altcredit.cli.app import FAILED

ROOT = Path(__file__).parents[2]


async def examined(home: Path, **settings: str) -> tuple[int, dict[str, Any]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "ALTCREDIT_HOME": str(home)}
    environ |= {f"ALTCREDIT_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "altcredit", "doctor", "--json"]
    done = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, text=True, timeout=120)
    return done.returncode, {one["check"]: (one["ok"], one["finding"]) for one in json.loads(done.stdout)}


async def test_a_sound_installation_passes(database_url: str, tmp_path: Path) -> None:
    with broker(free_port()) as bootstrap:
        status, found = await examined(tmp_path, database_url=database_url, kafka_bootstrap=bootstrap)
    assert all(ok for ok, _ in found.values()), found
    assert status == 0
    assert found["kafka"] == (True, "topic altcredit.events has 1 partitions")


async def test_kafka_settings_that_cannot_be_used_are_named_and_the_rest_is_still_examined(
    database_url: str, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.properties")
    status, found = await examined(
        tmp_path, database_url=database_url, kafka_bootstrap="127.0.0.1:1", kafka_properties=missing
    )
    assert status == FAILED
    assert [check for check, (ok, _) in found.items() if not ok] == ["kafka"]
    assert missing in found["kafka"][1]


async def test_a_database_that_is_away_is_a_finding(tmp_path: Path) -> None:
    status, found = await examined(tmp_path, database_url=f"postgresql://u:p@127.0.0.1:{free_port()}/d")
    assert status == FAILED
    assert not found["database"][0]
    assert "no connection" in found["database"][1]
