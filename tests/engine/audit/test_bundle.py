"""Bundles: verified by ``sh`` and ``openssl`` alone, whichever shell that is."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.engine.audit.conftest import NOW, Log

from altcredit.engine import audit
from altcredit.engine.audit.bundle import VERIFIER

OLD = datetime(2018, 10, 5, tzinfo=UTC)


def verified(folder: Path, *, shell: str = "sh") -> tuple[int, str]:
    done = subprocess.run(
        [*shell.split(), str(folder / "verify.sh"), str(folder)], capture_output=True, text=True, errors="replace"
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("counts", [(1,), (2,), (3,), (8,), (13,), (1, 1), (5, 3), (7, 6, 4), (16, 1, 15)])
async def test_sh_and_openssl_verify_a_bundle_of_any_size(log: Log, tmp_path: Path, counts: tuple[int, ...]) -> None:
    for count in counts:
        await log.add(count)
        head = await log.seal()
    assert head is not None
    bundle = await log.export(tmp_path / "bundle")
    code, said = verified(tmp_path / "bundle")
    assert (code, said) == (0, f"OK: {sum(counts)} rows, key {bundle.key_sha256}\n")
    assert bundle.rows == len((tmp_path / "bundle" / "rows.jsonl").read_bytes().splitlines())


async def test_a_range_begins_and_ends_at_signed_heads(log: Log, tmp_path: Path) -> None:
    sizes = [0]
    for day in range(8):
        await log.add(3 + day % 3, at=NOW + timedelta(days=day))
        head = await log.seal()
        assert head is not None
        sizes.append(head.tree_size)
    for first in range(8):
        for last in range(first, 8, 3):
            range_ = {"since": NOW + timedelta(days=first), "until": NOW + timedelta(days=last, seconds=1)}
            folder = tmp_path / f"{first}-{last}"
            bundle = await log.export(folder, **range_)
            assert (bundle.first_leaf, bundle.tree_size) == (sizes[first], sizes[last + 1])
            assert verified(folder)[0] == 0, (first, last)


async def test_other_shells_verify_it_too(log: Log, tmp_path: Path) -> None:
    """Also busybox's, which brings its own awk, sed, grep and xargs: what a rescue disk or a router has."""
    await log.add(2, at=OLD)
    await log.seal()
    await log.add(9)
    await log.seal()
    async with log.database.transaction() as db:
        await audit.purge(db, signing=log.keys, actor="test", now=NOW)
    await log.seal()
    await log.export(tmp_path / "a folder")
    shells = [one for one in ("sh", "bash", "dash", "ksh", "zsh", "busybox sh") if shutil.which(one.split()[0])]
    assert {"dash", "bash", "busybox sh"} <= set(shells), "install them: make system"
    good = {shell: verified(tmp_path / "a folder", shell=shell)[0] for shell in shells}
    assert good == dict.fromkeys(shells, 0)
    rows = tmp_path / "a folder" / "rows.jsonl"
    rows.write_bytes(rows.read_bytes().replace(b"lender_3", b"lender_4", 1))
    bad = {shell: verified(tmp_path / "a folder", shell=shell) for shell in shells}
    assert {shell: (code, said.split(":")[0]) for shell, (code, said) in bad.items()} == dict.fromkeys(
        shells, (1, "BROKEN")
    )


async def test_a_bundle_of_nothing_but_purged_rows_verifies(log: Log, tmp_path: Path) -> None:
    await log.add(5, at=OLD)
    await log.seal()
    async with log.database.transaction() as db:
        await audit.purge(db, signing=log.keys, actor="test", now=NOW)
    bundle = await log.export(tmp_path / "bundle")
    assert (bundle.rows, bundle.purged_rows) == (0, 5)
    assert verified(tmp_path / "bundle") == (0, f"OK: 5 rows, key {bundle.key_sha256}\n")


async def test_an_empty_range_and_a_folder_in_use_are_refused(log: Log, tmp_path: Path) -> None:
    with pytest.raises(audit.NothingSealed):
        await log.export(tmp_path / "bundle")
    await log.add()
    await log.seal()
    with pytest.raises(audit.NothingSealed):
        await log.export(tmp_path / "bundle", since=NOW + timedelta(days=1))
    await log.export(tmp_path / "bundle")
    with pytest.raises(audit.BundleExists):
        await log.export(tmp_path / "bundle")


def test_the_verifier_is_small_enough_to_be_read() -> None:
    assert len(VERIFIER) <= 2048
