"""doctor names what is wrong, one line each, and is content when nothing is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from connector.tests.authority import Authority
from connector.tests.fake_sap import FakeSap
from connector.tests.fake_tally import FakeTally
from connector.tests.harness import Site

from altcredit_connector import doctor
from altcredit_connector.config import load


def verdicts(site: Site, *, now: datetime | None = None) -> dict[str, str]:
    return {check.name: check.verdict for check in doctor.examine(load(site.config), now=now or datetime.now(UTC))}


def test_a_good_site_passes_every_check(site: Site, printed: Callable[[], Any]) -> None:
    site.init_csv()
    assert site.run("doctor") == 0
    assert set(verdicts(site).values()) == {"ok"}
    assert {
        "secrets",
        "certificate",
        "certificate's name",
        "journal",
        "ERP csv",
        "AltScore",
        "clock",
        "credentials",
    } == set(verdicts(site))


def test_a_wrong_clock_is_found_and_a_bit_of_skew_is_only_warned_of(site: Site) -> None:
    site.init_csv()
    now = datetime.now(UTC)
    assert verdicts(site, now=now + timedelta(seconds=60))["clock"] == "warn"
    late = verdicts(site, now=now - timedelta(minutes=10))
    assert late["clock"] == "fail"
    assert late["credentials"] == "fail", "the server refuses a signature ten minutes old"


def swap(site: Site, name: str, path: Path) -> None:
    settings = load(site.config)
    site.config.write_text(site.config.read_text("utf-8").replace(str(getattr(settings, name)), str(path)), "utf-8")


def test_a_certificate_that_ends_soon_has_ended_or_is_not_of_this_key_is_named(
    site: Site, authority: Authority
) -> None:
    site.init_csv()
    assert verdicts(site, now=datetime.now(UTC) + timedelta(days=20))["certificate"] == "warn"
    assert verdicts(site, now=datetime.now(UTC) + timedelta(days=40))["certificate"] == "fail"
    other, _ = authority.issue("dist_other")
    swap(site, "certificate", other)
    assert verdicts(site)["certificate"] == "fail"


def test_the_certificate_of_another_distributor_is_noticed(site: Site, authority: Authority) -> None:
    site.init_csv()
    other, key = authority.issue("dist_other")
    swap(site, "certificate", other)
    swap(site, "private_key", key)
    assert verdicts(site)["certificate's name"] == "warn"


def test_loose_modes_are_refused(site: Site, authority: Authority) -> None:
    site.init_csv()
    settings = load(site.config)
    settings.secrets.chmod(0o644)
    assert verdicts(site)["secrets"] == "fail"
    settings.secrets.chmod(0o600)
    settings.private_key.chmod(0o640)
    try:
        assert verdicts(site)["private key"] == "fail"
    finally:
        settings.private_key.chmod(0o600)


def test_wrong_credentials_an_unknown_ca_and_a_dead_server_are_told_apart(site: Site, tmp_path: Path) -> None:
    site.init_csv()
    settings = load(site.config)
    good = settings.secrets.read_text("utf-8")
    settings.secrets.write_text('api_key = "x"\nsigning_secret = "y"\n', "utf-8")
    assert verdicts(site)["credentials"] == "fail"
    settings.secrets.write_text(good, "utf-8")
    (tmp_path / "other").mkdir()
    swap(site, "ca", Authority(tmp_path / "other", "Another CA").ca)
    [check] = [c for c in doctor.examine(load(site.config), now=datetime.now(UTC)) if c.name == "AltScore"]
    assert "not trusted" in check.detail
    site.server.stop()
    [check] = [c for c in doctor.examine(settings, now=datetime.now(UTC)) if c.name == "AltScore"]
    assert "firewall" in check.todo
    site.server.stop = lambda: None  # type: ignore[method-assign]


def test_the_erp_is_asked_too(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.init_csv()
    site.export.unlink()
    assert site.run("doctor") == 1
    assert "no file matches" in capsys.readouterr().out
    tally = FakeTally()
    assert site.init("--force", "--erp", "tally", "--erp-url", tally.url, "--company", tally.company) == 0
    assert verdicts(site)["ERP tally_prime"] == "ok"
    tally.company = "Another"
    assert verdicts(site)["ERP tally_prime"] == "fail"
    tally.stop()
    assert verdicts(site)["ERP tally_prime"] == "fail"
    sap = FakeSap()
    password = site.folder / "password"
    flags = ("--erp", "sap", "--erp-url", sap.url, "--company", "SBODEMOIN", "--user", "altscore_ro")
    for text, verdict in (("s3cret", "ok"), ("wrong", "fail")):
        password.write_text(text, "utf-8")
        assert site.init("--force", *flags, "--erp-password-file", str(password)) == 0
        assert verdicts(site)["ERP sap_b1"] == verdict
    sap.stop()
