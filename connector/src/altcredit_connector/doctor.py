"""``doctor``: everything a push needs, checked one by one, with what to do where something is wrong."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from altcredit_connector import network
from altcredit_connector.altscore import DENIED, AltScore, describe, server_now
from altcredit_connector.config import Config, ConfigError, Secrets, load_secrets, too_open
from altcredit_connector.journal import Journal, JournalInUse
from altcredit_connector.sources import csv_file
from altcredit_connector.sources.calendar import found
from altcredit_connector.sources.csv_table import parse
from altcredit_connector.sources.sap_session import Session
from altcredit_connector.sources.tally import Tally
from altcredit_connector.staging import SourceError

RENEW_DAYS = 14
SKEW_WARN, SKEW_FAIL = 30, 300
"""Seconds the clock may be wrong: the time in the signature is accepted within five minutes (contract I7)."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    verdict: Literal["ok", "warn", "fail", "skip"]
    detail: str
    todo: str = ""


def examine(config: Config, *, now: datetime) -> list[Check]:
    """Run all checks; none of them changes anything here or there."""
    checks = [*_secrets(config), *_certificate(config, now), _journal(config)]
    secrets: Secrets | None = None
    try:
        secrets = load_secrets(config.secrets, sap=config.erp == "sap_b1")
    except ConfigError:
        checks.append(Check("AltScore", "skip", "not tried without secrets"))
    checks.append(_source(config, secrets))
    if secrets:
        checks += _altscore(config, secrets, now)
    return checks


def _secrets(config: Config) -> Iterator[Check]:
    try:
        load_secrets(config.secrets, sap=config.erp == "sap_b1")
        yield Check("secrets", "ok", f"{config.secrets} is readable by its owner only")
    except ConfigError as error:
        yield Check("secrets", "fail", str(error), "run `altcredit-connector init` again, or mend the file")
    if config.private_key.is_file() and (problem := too_open(config.private_key)):
        yield Check("private key", "fail", problem, f"chmod 600 {config.private_key}")


def _certificate(config: Config, now: datetime) -> Iterator[Check]:
    renew = "ask AltScore's operator for a new one (`altcredit distributor rotate`)"
    try:
        certificate = x509.load_pem_x509_certificate(config.certificate.read_bytes())
        key = load_pem_private_key(config.private_key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        yield Check("certificate", "fail", str(error), "both files must be PEM, the key without a password")
        return
    encoding = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if certificate.public_key().public_bytes(*encoding) != key.public_key().public_bytes(*encoding):
        yield Check("certificate", "fail", "the private key belongs to another certificate", "give both of one pair")
        return
    days = (certificate.not_valid_after_utc - now).days
    until = f"valid until {certificate.not_valid_after_utc:%Y-%m-%d} ({days} days)"
    if certificate.not_valid_after_utc < now or certificate.not_valid_before_utc > now:
        yield Check("certificate", "fail", f"not valid today: {until}", renew)
    elif days < RENEW_DAYS:
        yield Check("certificate", "warn", until, renew)
    else:
        yield Check("certificate", "ok", f"{until}, matches its key")
    names = _names(certificate)
    if any(config.distributor_id in name for name in names):
        yield Check("certificate's name", "ok", ", ".join(names))
    else:
        todo = f"it should name {config.distributor_id}: check distributor_id and the certificate file"
        yield Check("certificate's name", "warn", ", ".join(names) or "(none)", todo)


def _names(certificate: x509.Certificate) -> list[str]:
    names = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    uris: list[str] = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
    dns: list[str] = alternatives.get_values_for_type(x509.DNSName)
    return names + uris + dns


def _journal(config: Config) -> Check:
    if not config.journal.exists():
        return Check("journal", "ok", "nothing was pushed yet")
    try:
        journal = Journal.open(config.journal)
    except JournalInUse as error:
        return Check("journal", "warn", str(error), "wait until it has ended, or end it")
    queued, unfinished = len(journal.batches("queued")), len(journal.batches("accepted"))
    covered = journal.mark("covered_to") or "-"
    journal.close()
    return Check("journal", "ok", f"sent up to {covered}; {queued} batches queued, {unfinished} being processed")


# The ERP.
def _source(config: Config, secrets: Secrets | None) -> Check:
    checks: dict[str, Callable[[], Check]] = {
        "csv": lambda: _csv(config),
        "tally_prime": lambda: _tally(config),
        "sap_b1": lambda: _sap(config, secrets),
    }
    try:
        return checks[config.erp]()
    except (SourceError, ConfigError) as error:
        return Check(f"ERP {config.erp}", "fail", str(error), "see the guide of this ERP in the README")


def _csv(config: Config) -> Check:
    preset = csv_file.check(config.csv)
    paths = found(config.csv.files)
    table = parse(paths[-1], paths[-1].read_bytes(), preset, config.csv.columns)
    detail = f"{len(paths)} files; {paths[-1].name}: {table.encoding}, {len(table.rows)} lines"
    return Check("ERP csv", "ok", f"{detail}, fields {', '.join(sorted(table.columns))}")


def _tally(config: Config) -> Check:
    if config.tally.files:
        paths: list[Path] = found(config.tally.files)
        return Check("ERP tally_prime", "ok", f"{len(paths)} export files")
    tally = Tally(config.tally.url, config.tally.company)
    try:
        companies = tally.companies()
    finally:
        tally.close()
    if config.tally.company in companies:
        return Check("ERP tally_prime", "ok", f"{config.tally.url}, company {config.tally.company} is open")
    detail = f"the company {config.tally.company!r} is not open; open are {', '.join(companies) or 'none'}"
    return Check("ERP tally_prime", "fail", detail, "open it in Tally, or correct tally.company")


def _sap(config: Config, secrets: Secrets | None) -> Check:
    if secrets is None:
        return Check("ERP sap_b1", "skip", "not tried without the password")
    session = Session(config.sap, secrets.sap_password, sleep=lambda _: None)
    try:
        session.login()
    finally:
        session.close()
    return Check("ERP sap_b1", "ok", f"{config.sap.url}, logged in to {config.sap.company_db} as {config.sap.user}")


# AltScore.
def _altscore(config: Config, secrets: Secrets, now: datetime) -> Iterator[Check]:
    try:
        server = AltScore(config, secrets, clock=now.timestamp)
    except ConfigError as error:
        yield Check("AltScore", "fail", str(error))
        return
    try:
        answer = server.probe(str(uuid.uuid4()))
    except httpx2.TransportError as error:
        yield _unreachable(config, error)
        return
    finally:
        server.close()
    yield Check("AltScore", "ok", f"{config.base_url} answers over TLS 1.3")
    yield _clock(answer, now)
    yield _credentials(answer)


def _unreachable(config: Config, error: httpx2.TransportError) -> Check:
    if reason := network.untrusted(error):
        return Check("AltScore", "fail", f"its certificate is not trusted: {reason}", "give the right CA file as `ca`")
    todo = "check base_url, DNS, firewall and proxy (outgoing TCP to this host and port)"
    return Check("AltScore", "fail", f"{config.base_url}: {network.describe(error)}", todo)


def _clock(answer: httpx2.Response, now: datetime) -> Check:
    if "date" not in answer.headers:
        return Check("clock", "skip", "the server does not tell its time")
    skew = now.timestamp() - server_now(answer)
    detail = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AltScore's"
    if abs(skew) < SKEW_WARN:
        return Check("clock", "ok", detail)
    todo = "set the clock by NTP; beyond 5 minutes every batch is refused"
    return Check("clock", "fail" if abs(skew) > SKEW_FAIL else "warn", detail, todo)


def _credentials(answer: httpx2.Response) -> Check:
    """Judge the refusal of an empty body: if it is the body that is refused, we and our signature are known."""
    if answer.status_code in DENIED:
        todo = "compare distributor id, API key, signing secret and certificate with what AltScore's operator issued"
        return Check("credentials", "fail", describe(answer), todo)
    if answer.status_code in (400, 413, 422, 429):
        return Check("credentials", "ok", "certificate, API key and signature are accepted")
    return Check("credentials", "warn", describe(answer), "try again later")
