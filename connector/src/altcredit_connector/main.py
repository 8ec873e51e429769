"""``altcredit-connector init | doctor | push``.

Exit codes: 0 done, 1 something failed or is left over (run again), 2 wrong use or configuration, 3 AltScore refused.
"""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import cyclopts
from rich.markup import escape

from altcredit_connector import __version__, doctor, push, setup, show
from altcredit_connector.altscore import AltScore, Denied
from altcredit_connector.config import Config, ConfigError, load, load_secrets
from altcredit_connector.journal import Journal, JournalInUse
from altcredit_connector.sending import Patience

OK, FAILED, USAGE, REFUSED = 0, 1, 2, 3
DEFAULT = Path("altcredit-connector.toml")

app = cyclopts.App(
    name="altcredit-connector",
    help="Sends a distributor's bills, receipts and returns from Tally, SAP Business One or CSV to AltScore.",
    version=__version__,
    console=show.out,
    error_console=show.err,
)
ConfigFile = Annotated[Path, cyclopts.Parameter(name=["--config", "-c"])]


@app.command(name="init")
def init_command(
    *,
    config: ConfigFile = DEFAULT,
    erp: str | None = None,
    base_url: str | None = None,
    distributor_id: str | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    ca: Path | None = None,
    secrets_file: Path | None = None,
    api_key_file: Path | None = None,
    signing_secret_file: Path | None = None,
    file: list[str] | None = None,
    preset: str | None = None,
    erp_url: str | None = None,
    company: str | None = None,
    user: str | None = None,
    erp_password_file: Path | None = None,
    erp_ca: Path | None = None,
    start: datetime | None = None,
    force: bool = False,
) -> int:
    """Write the configuration; on a terminal, ask for whatever is not given.

    Parameters
    ----------
    config
        Where to write the configuration.
    erp
        csv, tally_prime or sap_b1.
    base_url
        AltScore's address, https://….
    distributor_id
        Your id at AltScore, dist_….
    cert
        Your client certificate (PEM).
    key
        The certificate's private key (PEM).
    ca
        The CA that signed AltScore's certificate, if it is not a public one (PEM).
    secrets_file
        Where the secrets are, or are to be written (mode 0600).
    api_key_file
        File that holds the API key; else ALTCREDIT_API_KEY, else asked.
    signing_secret_file
        File that holds the signing secret; else ALTCREDIT_SIGNING_SECRET, else asked.
    file
        Export file or pattern, repeatable (csv, tally_prime).
    preset
        Layout of the CSV files.
    erp_url
        Address of Tally or of the SAP Service Layer.
    company
        Tally company, or SAP company database.
    user
        SAP user.
    erp_password_file
        File that holds the SAP password; else ALTCREDIT_SAP_PASSWORD, else asked.
    erp_ca
        The CA that signed the SAP server's certificate (PEM).
    start
        First day to read (Tally, SAP); default two years ago.
    force
        Replace an existing configuration.
    """
    answers = setup.Answers(
        config=config,
        erp=erp,
        base_url=base_url,
        distributor_id=distributor_id,
        cert=cert,
        key=key,
        ca=ca,
        secrets_file=secrets_file,
        api_key_file=api_key_file,
        signing_secret_file=signing_secret_file,
        files=tuple(file or ()),
        preset=preset,
        erp_url=erp_url,
        company=company,
        user=user,
        erp_password_file=erp_password_file,
        erp_ca=erp_ca,
        start=start.date() if start else None,
        force=force,
    )
    path = setup.init(answers)
    show.out.print(escape(f"wrote {path}; next: altcredit-connector doctor --config {path}"))
    return OK


@app.command(name="push")
def push_command(
    *,
    config: ConfigFile = DEFAULT,
    dry_run: bool = False,
    out: Path | None = None,
    wait: bool = True,
    strict: bool = False,
    json: bool = False,
) -> int:
    """Send what is new since the last push.

    Parameters
    ----------
    config
        The configuration file that `init` wrote.
    dry_run
        Read everything, report on the quality of the data, send and remember nothing.
    out
        Write the exact bodies and a manifest into this folder; send and remember nothing.
    wait
        Wait when the hourly quota is used up. With --no-wait the rest stays queued for the next push.
    strict
        Exit with 1 if AltScore put any record aside.
    json
        Print the result as JSON.
    """
    settings = load(config)
    now = datetime.now(UTC)
    if dry_run or out:
        return _rehearse(settings, out, json=json, now=now)
    secrets = load_secrets(settings.secrets, sap=settings.erp == "sap_b1")
    server = AltScore(settings, secrets)
    journal = Journal.open(settings.journal)
    try:
        with show.Shown(quiet=json) as progress:
            reading = push.read(settings, secrets, journal, progress, now=now)
            outcomes = push.send(journal, server, progress, Patience(quota=wait))
    finally:
        server.close()
        journal.close()
    put_aside = push.quarantined(outcomes)
    if json:
        show.as_json(push.result(reading, outcomes))
    else:
        show.quality(reading.quality)
        show.outcomes(outcomes)
        show.quarantine(put_aside)
    show.troubles(reading, outcomes)
    if outcomes.refused:
        return REFUSED
    failed = reading.failed or (outcomes.stopped and not outcomes.stopped_by_quota) or (strict and put_aside)
    return FAILED if failed else OK


@app.command(name="doctor")
def doctor_command(*, config: ConfigFile = DEFAULT, json: bool = False) -> int:
    """Check everything a push needs, and say what to do where something is wrong.

    Parameters
    ----------
    config
        The configuration file that `init` wrote.
    json
        Print the checks as JSON.
    """
    checks = doctor.examine(load(config), now=datetime.now(UTC))
    if json:
        show.as_json([asdict(check) for check in checks])
    else:
        show.checks(checks)
    return FAILED if any(check.verdict == "fail" for check in checks) else OK


def _rehearse(settings: Config, out: Path | None, *, json: bool, now: datetime) -> int:
    """Do everything but send, on a copy of the journal in memory."""
    sap = settings.erp == "sap_b1"
    secrets = load_secrets(settings.secrets, sap=sap) if out or sap else None
    kept = Journal.open(settings.journal)
    journal = kept.rehearsal()
    kept.close()
    with show.Shown(quiet=json) as progress:
        reading = push.read(settings, secrets, journal, progress, now=now)
    written = push.write_out(settings, secrets, journal, out, now=now) if out and secrets else []
    journal.close()
    if json:
        show.as_json(push.result(reading, None) | {"files": [str(path) for path in written]})
    else:
        show.quality(reading.quality)
        show.out.print(f"{reading.records:,} records would go in {reading.batches:,} batches; nothing was sent")
        if out:
            show.out.print(escape(f"{len(written):,} bodies and manifest.json written to {out}"))
    show.troubles(reading, None)
    return FAILED if reading.failed else OK


def run() -> None:
    """Run the command line."""
    sys.exit(code(sys.argv[1:]))


def code(arguments: list[str]) -> int:
    """Run one command and return its exit code; expected troubles become one line on stderr."""
    try:
        result = app(arguments, exit_on_error=False, result_action="return_value")
    except cyclopts.CycloptsError:
        return USAGE
    except ConfigError as error:
        show.err.print(f"[red]error[/red]: {escape(str(error))}")
        return USAGE
    except Denied as error:
        show.err.print(f"[red]refused[/red]: {escape(str(error))}. Run `altcredit-connector doctor`.")
        return REFUSED
    except JournalInUse as error:
        show.err.print(f"[red]error[/red]: {escape(str(error))}")
        return FAILED
    return result if isinstance(result, int) else OK
