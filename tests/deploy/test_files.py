"""What deploy/ names exists: settings, commands, files; units that systemd takes and finds hardened."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tools import command_pages

from altcredit.runtime.settings import Settings, load

DEPLOY = Path(__file__).parents[2] / "deploy"
ROOT = DEPLOY.parent
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_setting_that_a_file_names_is_one(file: Path) -> None:
    known = {f"ALTCREDIT_{name.upper()}" for name in Settings.__struct_fields__}
    assert set(re.findall(r"ALTCREDIT_[A-Z_]+[A-Z]", file.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_what_a_unit_starts_is_a_command(unit: Path) -> None:
    (command,) = re.findall(r"^ExecStart=/opt/altcredit/bin/altcredit (.+)$", unit.read_text(), re.MULTILINE)
    assert _is_command(command.split())


def test_what_containers_start_is_a_command_and_their_settings_are_production_s() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name in ("migrate", "api", "worker"):
        assert _is_command(services[name]["command"]), name
        environment = dict(services[name]["environment"], ALTCREDIT_DATABASE_URL="postgresql://database/altcredit")
        assert load(environment).environment == "production"
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]


def test_the_environment_of_the_units_is_production_s() -> None:
    lines = (DEPLOY / "systemd" / "altcredit.env").read_text().splitlines()
    assert load(dict(line.split("=", 1) for line in lines if line and line[0] != "#")).environment == "production"


def test_the_image_is_built_of_files_that_are_there_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "Containerfile").read_text()
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", lines, re.MULTILINE):
        assert all((ROOT / one).exists() for one in copied.split())
    assert lines.count("--require-hashes") == lines.count("-r /src/requirements/")
    assert "USER 10001:10001" in lines
    hashed = (ROOT / "requirements" / "dev.txt").read_text()
    assert all(line in hashed for line in (ROOT / "requirements" / "build.txt").read_text().splitlines())


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_unit_and_finds_it_hardened(unit: Path, tmp_path: Path) -> None:
    assert shutil.which("systemd-analyze"), "`make system` installs it"
    for one in UNITS:  # they name each other; the program is not installed here
        (tmp_path / one.name.replace("@", "@1")).write_text(
            one.read_text().replace("/opt/altcredit/bin/altcredit", "/bin/true")
        )
    file = str(tmp_path / unit.name.replace("@", "@1"))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True)
    ours = [line for line in verified.stderr.splitlines() if "altcredit" in line]
    assert (verified.returncode, ours) == (0, [])
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", file], capture_output=True, text=True
    )
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert float(level) <= 1.5


def _is_command(words: list[str]) -> bool:
    known = {line.split("`")[1] for line in command_pages.page().splitlines() if line.startswith("| `altcredit")}
    plain = [word for word in words if not word.startswith("-")]
    return f"altcredit {' '.join(plain[:2])}" in known or f"altcredit {plain[0]}" in known
