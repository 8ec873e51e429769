"""``init``: write the configuration and the secrets, from flags or by asking."""

import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.prompt import Prompt

from altcredit_connector import show
from altcredit_connector.config import (
    ERPS,
    ConfigError,
    Csv,
    base_url,
    load,
    load_secrets,
    toml,
    too_open,
    write_private,
)
from altcredit_connector.sources import csv_file
from altcredit_connector.sources.presets import PRESETS

SHORT_NAMES = {"tally": "tally_prime", "sap": "sap_b1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was given on the command line; what is None is asked for, if there is somebody to ask."""

    config: Path
    erp: str | None = None
    base_url: str | None = None
    distributor_id: str | None = None
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    secrets_file: Path | None = None
    api_key_file: Path | None = None
    signing_secret_file: Path | None = None
    files: tuple[str, ...] = ()
    preset: str | None = None
    erp_url: str | None = None
    company: str | None = None
    user: str | None = None
    erp_password_file: Path | None = None
    erp_ca: Path | None = None
    start: date | None = None
    force: bool = False


def ask(question: str, flag: str, *, secret: bool = False, default: str | None = None) -> str:
    """Ask on the terminal; raises ``ConfigError`` naming the flag if there is none."""
    if not sys.stdin.isatty():
        if default is not None:
            return default
        raise ConfigError(f"{flag} is needed")
    while True:
        answer = Prompt.ask(question, console=show.err, password=secret, default=default or "")
        if answer.strip():
            return answer.strip()


def init(answers: Answers) -> Path:
    """Write the configuration, and the secrets unless their file exists already; return the configuration's path."""
    path = answers.config
    if path.exists() and not answers.force:
        raise ConfigError(f"{path} exists already; --force replaces it (what was sent stays remembered)")
    erp = answers.erp or ask(f"Which ERP ({', '.join(ERPS)})", "--erp", default="csv")
    erp = SHORT_NAMES.get(erp, erp)
    if erp not in ERPS:
        raise ConfigError(f"--erp must be one of {', '.join(ERPS)}")
    folder = path.resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    secrets = answers.secrets_file or path.with_suffix(".secrets")
    table: dict[str, Any] = {
        "base_url": base_url(answers.base_url or ask("AltScore's address (https://…)", "--base-url")),
        "distributor_id": answers.distributor_id or ask("Your distributor id (dist_…)", "--distributor-id"),
        "certificate": _file(answers.cert or ask("File of your client certificate (PEM)", "--cert")),
        "private_key": _file(answers.key or ask("File of its private key (PEM)", "--key")),
        "secrets": str(secrets.resolve()),
        "erp": erp,
    }
    if answers.ca:
        table["ca"] = _file(answers.ca)
    table |= SECTIONS[erp](answers)
    _protect(Path(table["private_key"]))
    _write_secrets(secrets, answers, erp)
    write_private(path, "# altcredit-connector; secrets are in the file named below\n" + toml(table))
    settings = load(path)
    load_secrets(settings.secrets, sap=erp == "sap_b1")
    return path


def _file(given: str | Path) -> str:
    path = Path(given).expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"{path} does not exist")
    return str(path)


def _protect(key: Path) -> None:
    """Take the private key away from other users."""
    if too_open(key):
        key.chmod(stat.S_IMODE(key.stat().st_mode) & 0o700)
        show.err.print(f"made {key} readable by its owner only")


def _write_secrets(path: Path, answers: Answers, erp: str) -> None:
    given = answers.api_key_file or answers.signing_secret_file or answers.erp_password_file
    if path.exists() and not given:
        return
    table = {
        "api_key": _secret(answers.api_key_file, "ALTCREDIT_API_KEY", "API key", "--api-key-file"),
        "signing_secret": _secret(
            answers.signing_secret_file, "ALTCREDIT_SIGNING_SECRET", "Signing secret", "--signing-secret-file"
        ),
    }
    if erp == "sap_b1":
        table["sap_password"] = _secret(
            answers.erp_password_file, "ALTCREDIT_SAP_PASSWORD", "Password of the SAP user", "--erp-password-file"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, toml(table))


def _secret(file: Path | None, variable: str, question: str, flag: str) -> str:
    """Take a secret from a file, the environment or the terminal; never from the command line, which others see."""
    if file:
        return Path(_file(file)).read_text("utf-8").strip()
    return os.environ.get(variable) or ask(question, f"{flag} (or {variable})", secret=True)


def _csv_section(answers: Answers) -> dict[str, Any]:
    files = answers.files or (ask("Export file, or a pattern like D:/exports/*.csv", "--file"),)
    preset = answers.preset or ask(f"Preset ({', '.join(PRESETS)})", "--preset", default="generic")
    section = {"files": [str(Path(name).expanduser().absolute()) for name in files], "preset": preset}
    csv_file.check(Csv(files=tuple(section["files"]), preset=preset))
    return {"csv": section}


def _tally_section(answers: Answers) -> dict[str, Any]:
    if answers.files:
        return {"tally": {"files": [str(Path(name).expanduser().absolute()) for name in answers.files]}}
    section: dict[str, Any] = {
        "url": answers.erp_url or ask("Address of Tally", "--erp-url", default="http://localhost:9000"),
        "company": answers.company or ask("Company, as Tally shows it", "--company"),
    }
    return {"tally": section | ({"start": answers.start} if answers.start else {})}


def _sap_section(answers: Answers) -> dict[str, Any]:
    section: dict[str, Any] = {
        "url": answers.erp_url or ask("Service Layer, like https://sap:50000/b1s/v1", "--erp-url"),
        "company_db": answers.company or ask("Company database", "--company"),
        "user": answers.user or ask("SAP user (read only)", "--user"),
    }
    if answers.erp_ca:
        section["ca"] = _file(answers.erp_ca)
    return {"sap": section | ({"start": answers.start} if answers.start else {})}


SECTIONS: dict[str, Callable[[Answers], dict[str, Any]]] = {
    "csv": _csv_section,
    "tally_prime": _tally_section,
    "sap_b1": _sap_section,
}
