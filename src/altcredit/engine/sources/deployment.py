"""
The file of sources: where each source of a deployment is, what it costs here, and how its answers are read.

TOML, one table a source; docs/sources.md documents every field. Secrets are never in it, only where they are found.
"""

import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

import msgspec

from altcredit.engine.sources.source import Source
from altcredit.runtime.refusal import Detail, Refusal
from altcredit.runtime.strict_json import misfits

_CREDENTIAL = re.compile(r"(?:(?P<scheme>[A-Za-z]+) )?(?P<kind>env|file):(?P<name>.+)")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_AUTHORITY = re.compile(r"[A-Za-z0-9.:\[\]_-]+")
_PATH = re.compile(r"/[\x21-\x7e]*")
_OURS = frozenset({"host", "content-length", "content-type", "accept", "connection", "transfer-encoding"})
_QUESTION_FIELDS = ("cpf", "zip_code", "phone", "device_id", "authorisation")

Scalar = str | int | float | bool


class DeploymentInvalid(Refusal):
    """The file of sources cannot be used; message and details name the file, the table and the field."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Where one of our fields is in a provider's answer.

    ``path`` is dotted, lists by index. ``values`` translates codes; ``scale`` multiplies numbers, which may then also
    be written as text; ``constant`` stands for what the provider does not say.
    """

    path: str | None = None
    values: dict[str, Scalar] = {}
    scale: float | None = None
    constant: Scalar | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an answer of status 200 or 404 says that the source does not know the person."""

    path: str = "known"
    equals: Scalar = False


class Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file. What is None is as the source declares it."""

    base_url: str
    path: str = ""
    credentials: dict[str, str] = {}
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=120)] | None = None
    price_centavos: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    valid_for_hours: Annotated[float, msgspec.Meta(ge=0, le=2160)] | None = None
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    at_once: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 32
    request: dict[str, str] = {}
    mapping: dict[str, str | Rule] = {}
    unknown: Unknown = Unknown()


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a source is asked: what its client needs, secrets and certificates read."""

    host: str
    port: int
    target: str
    authority: str
    headers: tuple[tuple[str, str], ...] = ()
    context: ssl.SSLContext | None = None


def load(path: Path, sources: Mapping[str, Source], *, production: bool) -> dict[str, Terms]:
    """
    Read and check the file; prices, timeouts and validity are filled in from the declarations. In order of ``sources``.

    :raises DeploymentInvalid: with every offending field. Certificates and secrets are read by :func:`endpoint`.
    """
    try:
        tables: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeploymentInvalid(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeploymentInvalid(f"{path}: not TOML ({error}).") from error
    problems = [Detail(name, "is not a known source") for name in tables if name not in sources]
    problems += [one for name in tables if name in sources for one in misfits(tables[name], Terms, name)]
    if not problems:
        found = {name: msgspec.convert(tables[name], Terms) for name in sources if name in tables}
        for name, terms in found.items():
            problems += [Detail(f"{name}.{field}", says) for field, says in _flaws(terms, sources[name], production)]
    if problems:
        raise _invalid(path, problems)
    return {name: _filled(terms, sources[name]) for name, terms in found.items()}


def _invalid(path: Path, problems: list[Detail]) -> DeploymentInvalid:
    first = problems[0]
    return DeploymentInvalid(f"{path}: {first.path}: {first.problem}", details=tuple(problems))


def _filled(terms: Terms, source: Source) -> Terms:
    hours = source.valid_for.total_seconds() / 3600
    return msgspec.structs.replace(
        terms,
        timeout_seconds=source.timeout_seconds if terms.timeout_seconds is None else terms.timeout_seconds,
        price_centavos=source.price_centavos if terms.price_centavos is None else terms.price_centavos,
        valid_for_hours=hours if terms.valid_for_hours is None else terms.valid_for_hours,
    )


def _flaws(terms: Terms, source: Source, production: bool) -> list[tuple[str, str]]:
    return [
        *_address_flaws(terms, production),
        *_credential_flaws(terms),
        *(
            (f"request.{name}", "is not a field of a question")
            for name in terms.request
            if name not in _QUESTION_FIELDS
        ),
        *_mapping_flaws(terms.mapping, source),
    ]


def _address_flaws(terms: Terms, production: bool) -> list[tuple[str, str]]:
    flaws = []
    try:
        url = urlsplit(terms.base_url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not _AUTHORITY.fullmatch(url.netloc) or url.query or url.fragment:
        return [("base_url", "must be https://host[:port][/path] in ASCII, without credentials and query")]
    if url.scheme == "http" and production:
        flaws.append(("base_url", "plain http is not for production"))
    if url.scheme == "http" and (terms.ca_file or terms.cert_file):
        flaws.append(("base_url", "certificates need https"))
    if not _PATH.fullmatch(url.path.rstrip("/") + (terms.path or "/")):
        flaws.append(("path", "must begin with / and hold no space"))
    if bool(terms.cert_file) != bool(terms.key_file):
        flaws.append(("key_file", "a client certificate needs both cert_file and key_file"))
    return flaws


def _credential_flaws(terms: Terms) -> list[tuple[str, str]]:
    flaws = []
    for name, where in terms.credentials.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in (*_OURS, "idempotency-key"):
            flaws.append((f"credentials.{name}", "is not the name of a header that may be set"))
        elif not _CREDENTIAL.fullmatch(where):
            flaws.append(
                (f"credentials.{name}", "must say where the secret is: env:NAME or file:PATH, never the secret")
            )
    return flaws


def _mapping_flaws(mapping: Mapping[str, str | Rule], source: Source) -> list[tuple[str, str]]:
    if not mapping:
        return []
    required, known = _fields(source.answer)
    flaws = [(f"mapping.{name}", "is not a field of this source's answer") for name in mapping if name not in known]
    flaws += [(f"mapping.{name}", "is required and not mapped") for name in required if name not in mapping]
    for name, rule in mapping.items():
        if isinstance(rule, Rule) and (rule.path is None) == (rule.constant is None):
            flaws.append((f"mapping.{name}", "needs either a path or a constant"))
    return flaws


def _fields(struct: type[Any], prefix: str = "") -> tuple[list[str], list[str]]:
    """Return the dotted names of the fields that must be there, and of all."""
    required, known = [], []
    for field in msgspec.structs.fields(struct):
        name = prefix + field.encode_name
        nested = [one for one in (field.type, *get_args(field.type)) if _is_struct(one)]
        if nested:
            known += _fields(nested[0], name + ".")[1]
        else:
            known.append(name)
            required += [name] if field.required else []
    return required, known


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def endpoint(terms: Terms, *, name: str, file: Path, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """
    Read the secrets and certificates of one table; relative paths are relative to the file of sources.

    :raises DeploymentInvalid:
    """
    url = urlsplit(terms.base_url)
    host = url.hostname or ""
    tls = url.scheme == "https"
    return Endpoint(
        host=host,
        port=url.port or (443 if tls else 80),
        target=(url.path.rstrip("/") + terms.path) or "/",
        authority=url.netloc,
        headers=tuple(
            (header, _secret(where, name=f"{name}.credentials.{header}", file=file, environ=environ))
            for header, where in terms.credentials.items()
        ),
        context=_context(terms, name=name, file=file) if tls else None,
    )


def _secret(where: str, *, name: str, file: Path, environ: Mapping[str, str]) -> str:
    found = _CREDENTIAL.fullmatch(where)
    assert found is not None  # checked when the file was loaded
    if found["kind"] == "env":
        secret = environ.get(found["name"], "")
    else:
        try:
            secret = (file.parent / found["name"]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise _invalid(file, [Detail(name, f"{found['name']}: cannot be read")]) from error
    value = f"{found['scheme']} {secret}" if found["scheme"] else secret
    if not secret or not _HEADER_VALUE.fullmatch(value):
        raise _invalid(file, [Detail(name, "is empty, or no text that a header can carry")])
    return value


def _context(terms: Terms, *, name: str, file: Path) -> ssl.SSLContext:
    field = "ca_file"
    try:
        context = ssl.create_default_context(cafile=str(file.parent / terms.ca_file) if terms.ca_file else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if terms.cert_file:
            field = "cert_file"
            context.load_cert_chain(file.parent / terms.cert_file, file.parent / terms.key_file)
    except (OSError, ssl.SSLError) as error:
        raise _invalid(file, [Detail(f"{name}.{field}", f"cannot be used ({error.strerror})")]) from error
    return context
