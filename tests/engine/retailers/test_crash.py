"""What a crash of the database leaves of shops that a batch has just been told the ids of."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from altcredit.engine import retailers
from altcredit.runtime import schema
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring
from altcredit.runtime.postgres import Server

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that a test may kill."""
    home = Path(tempfile.mkdtemp(prefix="altcredit-crash-"))
    home.chmod(0o755)
    server = Server(home, durable=False)
    yield server
    server.discard()
    shutil.rmtree(home, ignore_errors=True)


def kill(server: Server) -> None:
    """End the whole server at once, as a crash does."""
    postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().split("\n", 1)[0]))
    everyone = [postmaster, *postmaster.children(recursive=True)]
    for process in everyone:
        process.send_signal(signal.SIGSTOP)
    for process in everyone:
        process.kill()
    psutil.wait_procs(everyone, timeout=10)


async def test_an_id_that_was_told_survives_a_crash_of_the_database(own: Server) -> None:
    """A process goes on telling the ids that it remembers, so what it remembers must be on record."""
    keyring = Keyring(KeyProvider(root=b"r" * 32, keks=(b"k" * 32,)))
    dsn = own.start()
    await schema.upgrade(dsn)
    pools = await Database.connect(dsn, connections=4)
    shop = [retailers.ShopKey(ref="C1", name="Shah Kirana")]
    try:
        told = await retailers.resolve(pools, keyring=keyring, distributor_id="dist_1", shops=shop, now=NOW)
        kill(own)
    finally:
        await pools.close()
    pools = await Database.connect(own.start(), connections=4)
    try:
        again = await retailers.resolve(pools, keyring=keyring, distributor_id="dist_1", shops=shop, now=NOW)
        assert again == told
        async with pools.transaction() as db:
            assert await retailers.by_ref(db, keyring=keyring, distributor_id="dist_1", ref="C1") == told[0]
    finally:
        await pools.close()
