"""The command line: what it writes where, and its exit codes."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from connector.tests.harness import Site

from altcredit_connector import main, wire
from altcredit_connector.config import load, load_secrets
from altcredit_connector.journal import Journal

SOURCE = Path(__file__).parent.parent / "src"


def test_the_signatures_are_those_of_the_contract() -> None:
    body, secret, batch_id = b'{"a":1}', "sh\u00fch", "6f0d3a0c-7d3a-4a57-9c80-3d7e6a5b4c3d"
    by_openssl = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}", "-r"]

    def openssl(payload: bytes) -> str:
        return subprocess.run(by_openssl, input=payload, capture_output=True, check=True).stdout.decode().split()[0]

    assert wire.signature(secret, body) == openssl(body)
    signed = wire.signature_v2(secret, body, batch_id=batch_id, at=1764000000)
    assert signed == f"t=1764000000,v2={openssl(b'1764000000.' + batch_id.encode() + b'.' + body)}"


def test_a_dry_run_reports_and_leaves_no_trace(site: Site, printed: Callable[[], dict[str, Any]]) -> None:
    site.init_csv()
    assert site.run("push", "--dry-run", "--json") == 0
    report = printed()
    assert report["data_quality"]["summary"] == ["2 of 2 bills usable", "1 of 1 receipt usable", "1 of 1 return usable"]
    assert report["read"]["records"] == 6
    assert not site.server.ledger.posts
    journal = Journal.open(load(site.config).journal)
    assert not journal.batches("queued")
    assert journal.mark("covered_to") is None
    journal.close()


def test_results_go_to_stdout_and_progress_to_stderr(site: Site) -> None:
    site.init_csv()
    command = [sys.executable, "-m", "altcredit_connector", "push", "--config", str(site.config)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True)
    assert done.returncode == 0
    assert "2 of 2 bills usable" in done.stdout
    assert "1 batches accepted, 6 records stored, 0 put aside" in done.stdout
    assert "sent 1 of 1 batches" in done.stderr
    assert "sent 1 of" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["push", "--config", "/nowhere/connector.toml"],
        ["push", "--colour"],
        ["pull"],
        ["init", "--config", "/nowhere/x.toml", "--erp", "csv"],
        ["init", "--config", "/nowhere/x.toml", "--erp", "excel", "--base-url", "https://a", "--distributor-id", "d"],
        ["init", "--config", "/nowhere/x.toml", "--erp", "csv", "--base-url", "http://a", "--distributor-id", "d"],
    ],
)
def test_wrong_use_ends_with_2(arguments: list[str], tmp_path: Path) -> None:
    arguments = [argument.replace("/nowhere", str(tmp_path)) for argument in arguments]
    assert main.code(arguments) == main.USAGE


def test_init_writes_private_files_that_the_other_commands_read(site: Site) -> None:
    site.init_csv()
    settings = load(site.config)
    assert settings.secrets.stat().st_mode & 0o777 == 0o600
    assert load_secrets(settings.secrets).signing_secret == site.server.signing_secret
    assert site.init("--erp", "csv", "--file", str(site.export)) == main.USAGE, "it is not replaced unasked"
    assert site.init("--erp", "csv", "--file", str(site.export), "--force") == 0


def test_init_asks_on_a_terminal_for_what_is_missing(site: Site) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "altcredit_connector", "init", "--config", str(site.config), *site.credentials]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(SOURCE)}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, f"csv\n{site.export}\ngeneric\n".encode())
    assert process.wait(timeout=60) == 0
    os.close(ours)
    assert load(site.config).csv.files == (str(site.export),)
    assert site.run("push") == 0


def test_a_secrets_file_that_exists_is_used_as_it_is(site: Site) -> None:
    secrets = site.folder / "given.json"
    secrets.touch(mode=0o600)
    secrets.write_text(json.dumps({"api_key": site.server.api_key, "signing_secret": site.server.signing_secret}))
    flags = [flag for n, flag in enumerate(site.credentials) if n < site.credentials.index("--api-key-file")]
    site.credentials = [*flags, "--secrets-file", str(secrets)]
    assert site.init("--erp", "csv", "--file", str(site.export)) == 0
    assert site.run("push") == 0


def test_names_are_left_out_if_so_configured(site: Site) -> None:
    site.init_csv()
    site.config.write_text("send_names = false\n" + site.config.read_text("utf-8"), "utf-8")
    assert site.run("push") == 0
    assert all("name" not in shop for shop in site.server.ledger.records("retailers"))


def test_a_version_path_in_the_address_does_no_harm(site: Site) -> None:
    site.init_csv()
    site.config.write_text(site.config.read_text("utf-8").replace(site.server.url, site.server.url + "/v1/"), "utf-8")
    assert site.run("push") == 0
    assert len(site.server.ledger.batches) == 1
