"""``altcredit admin`` as an operator types it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from altcredit.engine import identity

SOURCE = Path(__file__).parents[2] / "src"


def typed(tmp_path: Path, database_url: str, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {"PYTHONPATH": str(SOURCE), "ALTCREDIT_HOME": str(tmp_path), "ALTCREDIT_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "altcredit", "admin", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)


def answer(tmp_path: Path, database_url: str, *words: str) -> Any:
    ended = typed(tmp_path, database_url, *words, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


def test_the_first_administrator_is_named_and_listed(tmp_path: Path, url: str) -> None:
    issued = answer(tmp_path, url, "bootstrap", "--user", "asha@example.in")
    assert len(issued["ticket"]) == 64
    (listed,) = answer(tmp_path, url, "staff", "list")
    assert (listed["staff_id"], listed["name_id"], listed["roles"]) == (
        issued["staff_id"],
        "asha@example.in",
        ["admin"],
    )
    assert issued["ticket"] not in json.dumps(listed)
    refused = typed(tmp_path, url, "bootstrap", "--user", " ")
    assert refused.returncode == 3
    assert "NameIdInvalid" in refused.stderr


def test_roles_are_printed_as_they_are_enforced(tmp_path: Path, url: str) -> None:
    printed = {row["permission"]: frozenset(row["roles"]) for row in answer(tmp_path, url, "roles")}
    assert printed == dict(identity.PERMISSIONS)
