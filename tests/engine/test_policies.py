"""The operator's own policy files: read once, refused at the start with the file and the field, named in decisions."""

import hashlib
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from tests.engine.underwriting.applicants import decided, read

from altcredit.engine import scoring, underwriting
from altcredit.runtime.settings import Settings

ROOT = Path(__file__).parents[2]


def shipped(capability: str) -> str:
    return files(f"altcredit.engine.{capability}").joinpath("policy.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("product", [scoring, underwriting])
def test_without_a_file_of_the_operators_the_products_own_counts(product: object) -> None:
    assert product.policy_of(Settings()) is product.POLICY  # type: ignore[attr-defined]
    text = shipped(product.__name__.rsplit(".", 1)[-1])  # type: ignore[attr-defined]
    assert hashlib.sha256(text.encode()).hexdigest() == product.POLICY.sha256  # type: ignore[attr-defined]


def test_the_operators_policy_decides_and_is_named_in_the_decision(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    text = shipped("underwriting").replace("guard-policy-1", "ours-7").replace("cap_brl = 15000", "cap_brl = 400")
    file.write_text(text)
    policy = underwriting.policy_of(Settings(underwriting_policy=str(file)))
    decision = decided(read(), 0.004, policy=policy)
    assert (decision.outcome, decision.limit) == ("approved", 400)
    assert decided(read(), 0.004).limit > 400
    assert (decision.policy_version, decision.policy_sha256) == ("ours-7", hashlib.sha256(text.encode()).hexdigest())


def test_a_policy_in_force_does_not_change_under_a_running_process(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(shipped("scoring").replace("lgd = 0.65", "lgd = 0.7"))
    settings = Settings(limit_policy=str(file))
    assert scoring.policy_of(settings).lgd == 0.7
    file.write_text("nonsense")
    assert scoring.policy_of(settings).lgd == 0.7


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("cap_brl = 15000", "cap_brl = 0"), "limit.cap_brl"),
        (("[review]", "[reviews]"), "review"),
        (('version = "guard-policy-1"', 'version = "1"\nsha256 = "aa"'), "sha256"),
        (("version = ", "version "), "at line 3"),
        (None, "cannot be read"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_its_file_and_field(
    tmp_path: Path, change: tuple[str, str] | None, problem: str
) -> None:
    file = tmp_path / "own.toml"
    if change is not None:
        file.write_text(shipped("underwriting").replace(*change, 1))
    with pytest.raises(underwriting.PolicyInvalid, match=problem) as refused:
        underwriting.policy_of(Settings(underwriting_policy=str(file)))
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("setting", ["LIMIT", "UNDERWRITING"])
@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_process_does_not_start_on_a_policy_that_cannot_be_used(tmp_path: Path, setting: str, role: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text("version = 1")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTCREDIT_")}
    environ |= {
        "PYTHONPATH": str(ROOT / "src"),
        "ALTCREDIT_HOME": str(tmp_path),
        "ALTCREDIT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        f"ALTCREDIT_{setting}_POLICY": str(file),
    }
    command = [sys.executable, "-m", "altcredit", "serve", "--role", role]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert f"{file}: " in done.stderr
    assert "PolicyInvalid" in done.stderr
