"""Sending: proofs, pacing, repetition with the very same bytes, and what AltScore says of the records."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from connector.tests.authority import Authority
from connector.tests.fake_altscore import FakeAltScore, Handler
from connector.tests.harness import Site, many_bills

from altcredit_connector import main, push
from altcredit_connector.altscore import AltScore
from altcredit_connector.config import load, load_secrets
from altcredit_connector.journal import Journal
from altcredit_connector.sending import Patience, Sender

PATIENT = Patience()


class Silent:
    def sent(self, done: int, total: int) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class Clock:
    """A clock that sleeping moves on, so that hours of waiting take no time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def queued(site: Site) -> Site:
    """A site with three batches in its queue."""
    site.export.write_text(many_bills(2500), "utf-8")
    site.init_csv()
    read(site)
    return site


def read(site: Site) -> None:
    """Queue what is new, and send nothing."""
    journal = Journal.open(load(site.config).journal)
    push.read(load(site.config), None, journal, Silent(), now=datetime.now(UTC))
    journal.close()


def send(site: Site, *, patience: Patience = PATIENT) -> tuple[Any, Clock]:
    settings, clock = load(site.config), Clock()
    journal, server = Journal.open(settings.journal), AltScore(settings, load_secrets(settings.secrets))
    try:
        sender = Sender(journal, server, patience=patience, progress=Silent(), sleep=clock.sleep, clock=clock)
        return sender.run(), clock
    finally:
        server.close()
        journal.close()


def test_batches_hold_at_most_a_thousand_records_and_every_proof(queued: Site) -> None:
    send(queued)
    ledger = queued.server.ledger
    sizes = [sum(len(body.get(k, ())) for k in ("retailers", "invoices", "payments")) for body in ledger.bodies()]
    assert max(sizes) <= 1000
    assert len(ledger.records("invoices")) == 2500
    assert all(len(versions) == 1 for versions in ledger.stored.values())
    post = ledger.headers[0]
    assert post["X-ERP-Type"] == "csv"
    assert post["X-Batch-ID"] == ledger.order[0]
    assert post["Content-Type"] == "application/json"


def test_claimed_days_are_contiguous_and_never_ahead_of_the_records(queued: Site) -> None:
    send(queued)
    bodies = queued.server.ledger.bodies()
    last_day = [max(bill["invoice_date"] for bill in body["invoices"]) for body in bodies]
    for earlier, later, claimed in zip(bodies, bodies[1:], last_day, strict=False):
        first_later = min(bill["invoice_date"] for bill in later["invoices"])
        assert earlier["sync_to"][:10] < first_later
        assert earlier["sync_to"][:10] <= claimed
    assert bodies[-1]["sync_to"][:10] == last_day[-1]


def test_a_quota_that_is_used_up_is_waited_for_by_the_servers_clock(queued: Site) -> None:
    left = [2]

    def pace() -> dict[str, str]:
        left[0] -= 1
        return {
            "X-RateLimit-Limit": "2",
            "X-RateLimit-Remaining": str(left[0] % 2),
            "X-RateLimit-Reset": str(int(time.time()) + 1800),
        }

    queued.server.ledger.pace = pace
    outcomes, clock = send(queued)
    assert len(outcomes.accepted) == 3
    assert [round(seconds / 100) for seconds in clock.slept] == [18]
    assert queued.server.ledger.posts == 3, "the wait came before a refusal, not after"


def test_without_waiting_the_rest_stays_queued_and_goes_next_time(queued: Site) -> None:
    queued.server.ledger.faults = [
        lambda handler: False,
        lambda handler: bool(handler.refuse(429, "RATE_LIMIT_EXCEEDED", {"Retry-After": "1200"})) or True,
    ]
    outcomes, clock = send(queued, patience=Patience(quota=False))
    assert len(outcomes.accepted) == 1
    assert outcomes.stopped_by_quota
    assert not clock.slept
    outcomes, _ = send(queued)
    assert len(outcomes.accepted) == 2
    assert len(queued.server.ledger.records("invoices")) == 2500


@pytest.mark.parametrize("retry_after", ["1200", "soon", None])
def test_after_429_the_same_batch_is_sent_after_the_wait_asked_for(queued: Site, retry_after: str | None) -> None:
    headers = {"Retry-After": retry_after} if retry_after else {}
    queued.server.ledger.faults = [lambda handler: bool(handler.refuse(429, "RATE_LIMIT_EXCEEDED", headers)) or True]
    outcomes, clock = send(queued)
    assert len(outcomes.accepted) == 3
    assert clock.slept == [1200.0 if retry_after == "1200" else 60.0]


def cut_before_the_answer(handler: Handler) -> bool:
    """Store the batch, then drop the connection: the sender cannot know."""
    handler.answer = lambda *_: None  # type: ignore[method-assign]
    handler.accept(handler.headers["X-Batch-ID"], handler.server.last_body)
    handler.close_connection = True
    return True


def cut_at_once(handler: Handler) -> bool:
    handler.close_connection = True
    return True


def test_a_lost_answer_is_asked_again_with_the_same_id_and_bytes_and_nothing_doubles(queued: Site) -> None:
    queued.server.ledger.faults = [cut_before_the_answer, cut_at_once]
    outcomes, clock = send(queued)
    assert len(outcomes.accepted) == 3
    assert queued.server.ledger.posts == 5
    assert clock.slept == sorted(clock.slept)
    assert len(clock.slept) == 2
    assert all(len(versions) == 1 for versions in queued.server.ledger.stored.values())
    assert len(queued.server.ledger.records("invoices")) == 2500


def test_503_waits_as_long_as_it_says(queued: Site) -> None:
    queued.server.ledger.faults = [
        lambda handler: bool(handler.refuse(503, "SERVICE_UNAVAILABLE", {"Retry-After": "30"})) or True
    ]
    outcomes, clock = send(queued)
    assert clock.slept == [30.0]
    assert len(outcomes.accepted) == 3


def test_a_server_that_stays_away_ends_the_run_and_keeps_the_queue(queued: Site) -> None:
    queued.server.ledger.faults = [cut_at_once] * 1000
    outcomes, clock = send(queued)
    assert outcomes.stopped
    assert not outcomes.accepted
    assert clock.now <= Patience().network
    queued.server.ledger.faults = []
    outcomes, _ = send(queued)
    assert len(outcomes.accepted) == 3


def test_a_refused_batch_is_shown_and_its_records_are_read_again(queued: Site) -> None:
    queued.server.ledger.faults = [lambda handler: bool(handler.refuse(400, "INVALID_REQUEST")) or True]
    outcomes, _ = send(queued)
    assert len(outcomes.refused) == 1
    assert len(outcomes.accepted) == 2
    assert queued.run("push") == 0
    assert len(queued.server.ledger.records("invoices")) == 2500


def test_wrong_credentials_end_with_3_and_keep_the_queue(queued: Site, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = queued.folder / "connector.secrets"
    good = secrets.read_text("utf-8")
    secrets.write_text('api_key = "wrong"\nsigning_secret = "wrong"\n', "utf-8")
    assert queued.run("push") == main.REFUSED
    assert "CREDENTIALS_INVALID" in capsys.readouterr().err
    secrets.write_text(good, "utf-8")
    assert queued.run("push") == 0
    assert len(queued.server.ledger.records("invoices")) == 2500


def test_a_certificate_of_another_ca_is_refused_on_either_side(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "Another CA")
    certificate, key = stranger.issue("dist_c4f9")
    site.init_csv()
    good = site.config.read_text("utf-8")
    settings = load(site.config)
    assert settings.ca is not None
    site.config.write_text(good.replace(str(settings.ca), str(stranger.ca)), "utf-8")
    assert site.run("push") == main.REFUSED
    assert "certificate is not trusted" in capsys.readouterr().err
    foreign = good.replace(str(settings.certificate), str(certificate)).replace(str(settings.private_key), str(key))
    site.config.write_text(foreign, "utf-8")
    assert site.run("push") == main.REFUSED
    assert not site.server.ledger.batches


def test_records_put_aside_are_shown_with_their_reasons(
    site: Site, printed: Callable[[], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    site.server.ledger.quarantine = lambda kind, record: (
        "DATE_IN_FUTURE" if record.get("invoice_id") == "INV-2026-002" else None
    )
    site.init_csv()
    assert site.run("push", "--json") == 0
    [record] = printed()["quarantined_records"]
    assert (record["record_id"], record["code"]) == ("INV-2026-002", "DATE_IN_FUTURE")
    site.export.write_text(site.export.read_text("utf-8").replace("6500", "6600"), "utf-8")
    assert site.run("push", "--strict") == main.FAILED
    assert "DATE_IN_FUTURE" in capsys.readouterr().out


def test_a_batch_still_processing_is_asked_for_by_the_next_push(site: Site) -> None:
    site.init_csv()
    site.server.still_processing = True
    read(site)
    outcomes, clock = send(site)
    assert len(outcomes.unfinished) == 1
    assert clock.now <= Patience().processing
    site.server.still_processing = False
    outcomes, _ = send(site)
    assert next(iter(outcomes.finished.values()))["status"] == "complete"


def test_two_pushes_at_once_do_not_disturb_each_other(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.init_csv()
    journal = Journal.open(load(site.config).journal)
    assert site.run("push") == main.FAILED
    assert "another push" in capsys.readouterr().err
    journal.close()
    assert site.run("push") == 0


def test_secrets_that_others_may_read_are_not_used(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.init_csv()
    (site.folder / "connector.secrets").chmod(0o640)
    assert site.run("push") == main.USAGE
    assert "chmod 600" in capsys.readouterr().err


def test_no_secret_is_written_into_the_configuration_the_manifest_or_the_output(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.init_csv()
    assert site.run("push", "--out", str(site.folder / "out")) == 0
    assert site.run("push", "--json") == 0
    shown = capsys.readouterr()
    written = [path.read_text("utf-8") for path in (site.config, *(site.folder / "out").iterdir())]
    for text in (shown.out, shown.err, *written):
        assert FakeAltScore.api_key not in text
        assert json.dumps(FakeAltScore.signing_secret)[1:-1] not in text
        assert FakeAltScore.signing_secret not in text
