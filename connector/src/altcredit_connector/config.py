"""The configuration file (TOML), and the secrets, which live in a file of their own that only its owner may read."""

import json
import os
import stat
import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

Erp = Literal["csv", "tally_prime", "sap_b1"]
ERPS: tuple[Erp, ...] = ("csv", "tally_prime", "sap_b1")


class ConfigError(Exception):
    """The configuration or the command line cannot be used as it is (exit code 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """``files`` are paths or patterns; ``columns`` names the header of a field where the preset has it wrong."""

    files: tuple[str, ...] = ()
    preset: str = "generic"
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Either ``url`` of a running Tally and its ``company``, or ``files`` exported from it."""

    url: str = "http://localhost:9000"
    company: str = ""
    start: date | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sap:
    url: str = ""
    company_db: str = ""
    user: str = ""
    start: date | None = None
    ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything but the secrets. Relative paths in the file are relative to the file."""

    path: Path
    base_url: str
    distributor_id: str
    certificate: Path
    private_key: Path
    ca: Path | None
    secrets: Path
    journal: Path
    erp: Erp
    send_names: bool = True
    csv: Csv = Csv()
    tally: Tally = Tally()
    sap: Sap = Sap()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    api_key: str
    signing_secret: str
    sap_password: str = ""


def load(path: Path) -> Config:
    """Read the configuration at ``path``; raises ``ConfigError`` naming the setting that is wrong."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: run `altcredit-connector init --config {path}` first") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    folder = path.resolve().parent
    erp = _text(table, "erp", path)
    if erp not in ERPS:
        raise ConfigError(f"{path}: erp must be one of {', '.join(ERPS)}")
    return Config(
        path=path,
        base_url=base_url(_text(table, "base_url", path)),
        distributor_id=_text(table, "distributor_id", path),
        certificate=folder / _text(table, "certificate", path),
        private_key=folder / _text(table, "private_key", path),
        ca=folder / _text(table, "ca", path) if table.get("ca") else None,
        secrets=folder / _text(table, "secrets", path),
        journal=folder / str(table.get("journal", path.with_suffix(".journal").name)),
        erp=erp,
        send_names=bool(table.get("send_names", True)),
        csv=_csv(table.get("csv", {}), folder),
        tally=_tally(table.get("tally", {}), folder),
        sap=_sap(table.get("sap", {}), folder),
    )


def base_url(text: str) -> str:
    """Check and normalise AltScore's address; the version path may be given or not."""
    text = text.rstrip("/").removesuffix("/v1")
    if not text.startswith("https://"):
        raise ConfigError(f"base_url must begin with https://, not {text!r}")
    return text


def _text(table: dict[str, Any], name: str, path: Path) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{path}: {name} is missing")
    return value


def _files(table: dict[str, Any], folder: Path) -> tuple[str, ...]:
    files = table.get("files", [])
    return tuple(str(folder / name) for name in ([files] if isinstance(files, str) else files))


def _start(table: dict[str, Any]) -> date | None:
    start = table.get("start")
    if start is not None and not isinstance(start, date):
        raise ConfigError("start must be a date without quotes, like 2025-04-01")
    return start


def _csv(table: dict[str, Any], folder: Path) -> Csv:
    columns = {str(name): str(header) for name, header in table.get("columns", {}).items()}
    return Csv(files=_files(table, folder), preset=str(table.get("preset", "generic")), columns=columns)


def _tally(table: dict[str, Any], folder: Path) -> Tally:
    return Tally(
        url=str(table.get("url", Tally().url)).rstrip("/"),
        company=str(table.get("company", "")),
        start=_start(table),
        files=_files(table, folder),
    )


def _sap(table: dict[str, Any], folder: Path) -> Sap:
    return Sap(
        url=_service_layer(str(table.get("url", ""))),
        company_db=str(table.get("company_db", "")),
        user=str(table.get("user", "")),
        start=_start(table),
        ca=folder / str(table["ca"]) if table.get("ca") else None,
    )


def _service_layer(url: str) -> str:
    """Return the address with the path of version 1, which alone is spoken here."""
    url = url.rstrip("/")
    return url if not url or url.endswith("/b1s/v1") else f"{url.removesuffix('/b1s/v2')}/b1s/v1"


def too_open(path: Path) -> str | None:
    """Say what is wrong with the mode of a file that holds a secret; None if only its owner may read it.

    On Windows the mode says nothing; the file inherits the access list of its folder.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "nt" or not mode & 0o077:
        return None
    return f"{path} may be read by others (mode {mode:04o}): chmod 600 {path}"


def load_secrets(path: Path, *, sap: bool = False) -> Secrets:
    """Read the secrets (TOML or JSON); raises ``ConfigError`` if others may read the file or one is missing."""
    try:
        if problem := too_open(path):
            raise ConfigError(problem)
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} with the secrets does not exist: run `altcredit-connector init`") from error
    try:
        table = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is neither TOML nor JSON") from error
    password = _text(table, "sap_password", path) if sap else ""
    return Secrets(
        api_key=_text(table, "api_key", path),
        signing_secret=_text(table, "signing_secret", path),
        sap_password=password,
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def toml(table: dict[str, Any]) -> str:
    """Write a table of strings, booleans, dates, lists of strings and sub-tables as TOML."""
    lines = [f"{name} = {_toml_value(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for name, value in table.items():
        if isinstance(value, dict) and value:
            lines += ["", f"[{name}]", *(f"{key} = {_toml_value(item)}" for key, item in value.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return json.dumps(str(value), ensure_ascii=False)  # a JSON string is a TOML basic string
