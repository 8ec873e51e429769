"""Bundles: verified by ``sh`` and ``openssl`` alone, and no change of one goes unnoticed."""

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.engine.audit.conftest import NOW, Log

from altcredit.engine import audit
from altcredit.engine.audit.bundle import VERIFIER

Files = dict[str, bytes]
OLD = datetime(2018, 10, 5, tzinfo=UTC)


def verified(folder: Path, *, shell: str = "sh") -> tuple[int, str]:
    done = subprocess.run(
        [shell, str(folder / "verify.sh"), str(folder)], capture_output=True, text=True, errors="replace"
    )
    return done.returncode, done.stdout


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
    await log.add(9)
    await log.seal()
    await log.export(tmp_path / "a folder")
    shells = [shell for shell in ("sh", "bash", "dash", "ksh", "zsh") if shutil.which(shell)]
    assert len(shells) >= 2
    assert {shell: verified(tmp_path / "a folder", shell=shell)[0] for shell in shells} == dict.fromkeys(shells, 0)


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


# ---- mutations


@pytest.fixture
async def bundle(log: Log, tmp_path: Path) -> Files:
    """A small bundle with everything in it: a start, an end by another key, both logs, purged rows."""
    await log.add(2, at=OLD)
    await log.seal()
    await log.add(1, at=OLD)
    await log.access(2)
    await log.seal()
    await log.rotate()
    await log.add(4)
    await log.seal()
    async with log.database.transaction() as db:
        await audit.purge(db, signing=log.keys, actor="test", now=NOW)
    await log.seal()
    # From the second head on: a purged row is in the range, and others before it.
    await log.export(tmp_path / "good")
    await log.export(tmp_path / "ranged", since=NOW)
    assert verified(tmp_path / "good")[0] == verified(tmp_path / "ranged")[0] == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "ranged").iterdir()}
    assert set(files) >= {"start.json", "head.json", "purge-1.json", "purge-1.txt", "rows.jsonl"}
    assert files["start.pem"] != files["head.pem"]
    return files


def _at(rng: random.Random, content: bytes) -> int:
    return rng.randrange(len(content))


def _edit(rng: random.Random, content: bytes) -> bytes:
    at = _at(rng, content)
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def _put_in(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + bytes([rng.choice(b"\x00\n \t\r{}\"0a\\'$`\xff")]) + content[at:]


def _take_out(rng: random.Random, content: bytes) -> bytes:
    at = _at(rng, content)
    return content[:at] + content[at + rng.randint(1, 9) :]


def _truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: _at(rng, content)]


def _lines(change: Callable[[random.Random, list[bytes]], None]) -> Callable[[random.Random, bytes], bytes]:
    def changed(rng: random.Random, content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        change(rng, lines)
        return b"".join(lines)

    return changed


def _swap(rng: random.Random, lines: list[bytes]) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _double(rng: random.Random, lines: list[bytes]) -> None:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))


def _delete(rng: random.Random, lines: list[bytes]) -> None:
    del lines[rng.randrange(len(lines))]


def _hide(rng: random.Random, lines: list[bytes]) -> None:
    """Put a row's leaf hash in its place, as a purged row has: the tree stays whole."""
    from altcredit.engine.audit.tree import leaf_hash

    at = rng.randrange(len(lines))
    lines[at] = leaf_hash(lines[at].rstrip(b"\n")).hex().encode() + b"\n"


CHANGES = (_edit, _put_in, _take_out, _truncate, *map(_lines, (_swap, _double, _delete, _hide)))


def mutations(bundle: Files, rng: random.Random) -> Iterator[Files]:
    """Yield bundles that differ from this one in a single respect, for ever."""
    # All but the script and, most of the time, what there is most of to gain from: rows.
    names = [name for name in bundle if name != "verify.sh"]
    while True:
        name = rng.choice([*names, *["rows.jsonl"] * len(names)])
        kind = rng.random()
        changed = dict(bundle)
        if kind < 0.05:
            del changed[name]
        elif kind < 0.12:
            # A file in another's place: heads that are older, keys that are not the head's.
            other = rng.choice(names)
            changed[name], changed[other] = changed[other], changed[name]
        else:
            changed[name] = rng.choice(CHANGES)(rng, bundle[name])
        if changed != bundle:
            yield changed


def caught(folder: Path, files: Files) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    code, said = verified(folder)
    return code != 0 and not said.startswith("OK")


def survivors(bundle: Files, folder: Path, *, seed: int, count: int) -> list[dict[str, bytes]]:
    """Return what the script let pass of ``count`` mutations, each with its changed files only."""
    made = mutations(bundle, random.Random(seed))
    return [
        {name: content for name, content in files.items() if content != bundle[name]}
        for files in (next(made) for _ in range(count))
        if not caught(folder, files)
    ]


async def test_nothing_may_follow_a_signature(log: Log, bundle: Files, tmp_path: Path) -> None:
    """``openssl dgst`` reads no more of the file than the longest signature: the script must look at its length."""
    while len(signature := log.keys.sign("audit", bundle["head.json"])[1]) != 72:
        pass
    assert not caught(tmp_path / "mutated", {**bundle, "head.sig": signature})
    for behind in (b"\x00", b"\n", signature):
        assert caught(tmp_path / "mutated", {**bundle, "head.sig": signature + behind})
        assert caught(tmp_path / "mutated", {**bundle, "start.sig": bundle["start.sig"] + behind})


async def test_no_mutation_of_a_bundle_passes(bundle: Files, tmp_path: Path) -> None:
    assert survivors(bundle, tmp_path / "mutated", seed=1, count=150) == []


@pytest.mark.long
async def test_none_of_ten_thousand_mutations_passes(bundle: Files, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(survivors, bundle, tmp_path / str(n), seed=n, count=5_000) for n in (11, 12)]
        assert [half.result() for half in halves] == [[], []]


async def test_a_script_that_checks_nothing_would_be_noticed(bundle: Files, tmp_path: Path) -> None:
    """The mutations are changes: with a verifier that says yes to all, every one of them passes."""
    blind = {**bundle, "verify.sh": b"echo OK\n"}
    assert len(survivors(blind, tmp_path / "mutated", seed=1, count=20)) == 20
