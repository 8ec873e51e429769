"""kill -9 of a real push at any moment: no record is lost, none is stored twice."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from connector.tests.fake_altscore import Handler
from connector.tests.harness import Site, many_bills

SOURCE = Path(__file__).parent.parent / "src"


def start(site: Site) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "altcredit_connector", "push", "--config", str(site.config), "--json"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def hold(handler: Handler) -> bool:
    """Take a little time over each batch, so that kills fall before, while and after it is stored."""
    time.sleep(0.03)
    return False


@pytest.mark.parametrize("kills", [8, pytest.param(60, marks=pytest.mark.long)])
def test_killed_pushes_lose_nothing_and_double_nothing(site: Site, kills: int) -> None:
    bills = 6000
    chance = random.Random(20261122)
    ledger = site.server.ledger
    site.export.write_text(many_bills(bills), "utf-8")
    site.init_csv()
    ledger.faults = [hold] * 100_000
    for n in range(kills):
        before, process = ledger.posts, start(site)
        if n % 4 == 0:  # while it starts, reads and writes its journal
            time.sleep(chance.uniform(0.3, 1.5))
        else:  # while it sends
            while ledger.posts < before + 1 and process.poll() is None:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        bills += 50  # the books go on meanwhile, so that every push has something to send
        site.export.write_text(many_bills(bills), "utf-8")
    process = start(site)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    invoices = {record_id: versions for (kind, record_id), versions in ledger.stored.items() if kind == "invoices"}
    assert len(invoices) == bills
    doubled = [record_id for record_id, versions in ledger.stored.items() if len(versions) > 1]
    assert not doubled
    assert ledger.posts > len(ledger.batches), "no kill fell between a batch's arrival and its being noted"
