"""
No change of a bundle passes ``sh`` and ``openssl``: ten thousand of them, of every kind (security.md, figure 9).

Small bundles of several shapes, so that each verification is short: it is the changes that must be many. ``sh`` runs
them a hundred at a time.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.engine.audit.conftest import NOW, Log
from tests.engine.audit.test_bundle import verified

from altcredit.engine import audit
from altcredit.engine.audit.tree import leaf_hash

Files = dict[str, bytes]
OLD = datetime(2018, 10, 5, tzinfo=UTC)
AT_ONCE = 100
_FOLDERS = """
for folder in "$@"; do
  code=0
  sh "$folder/verify.sh" "$folder" >"$folder.said" 2>/dev/null || code=$?
  echo "$code" >"$folder.code"
done
"""


class Good:
    """Bundles that verify, and whose keys they are."""

    def __init__(self, bundles: list[Files]) -> None:
        self.bundles = bundles
        pems = {content for one in bundles for name, content in one.items() if name.endswith(".pem")}
        self.keys = {hashlib.sha256(pem).hexdigest() for pem in pems}


def _files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
async def good(log: Log, tmp_path: Path) -> Good:
    """All there may be in a bundle: starts, an end by another key, both logs, purged rows; one to seven rows each."""
    await log.add(1, at=OLD)
    await log.seal()
    await log.add(1, at=OLD)
    await log.access(1)
    await log.seal()
    await log.rotate()
    await log.add(2)
    await log.seal()
    async with log.database.transaction() as db:
        await audit.purge(db, signing=log.keys, actor="test", now=NOW)
    await log.seal()
    await log.add(1, at=NOW + timedelta(days=1))
    await log.seal()
    await log.export(tmp_path / "whole")
    await log.export(tmp_path / "since", since=NOW, until=NOW + timedelta(hours=1))
    await log.export(tmp_path / "until", until=OLD + timedelta(days=1))
    await log.export(tmp_path / "tail", since=NOW + timedelta(days=1))
    folders = [tmp_path / name for name in ("whole", "since", "until", "tail")]
    assert [verified(folder)[0] for folder in folders] == [0, 0, 0, 0]
    whole, since, until, tail = map(_files, folders)
    assert set(since) >= {"start.json", "head.json", "purge-1.json", "purge-1.txt", "rows.jsonl"}
    assert since["start.pem"] != since["head.pem"]
    assert "start.json" not in until
    assert "purge-1.json" not in tail
    return Good([whole, since, until, tail])


# ---- kinds of mutation: each returns the files it changes, or none where a bundle has nothing of the kind


def _name(rng: random.Random, bundle: Files) -> str:
    """Choose a file; rows and records of purges, which there is most to gain from, twice as often."""
    names = [name for name in bundle if name != "verify.sh"]
    return rng.choice([*names, *(name for name in names if name == "rows.jsonl" or name.startswith("purge"))])


def _bit(rng: random.Random, bundle: Files, _other: Files) -> Files:
    name = _name(rng, bundle)
    content = bundle[name]
    at = rng.randrange(len(content))
    return {name: content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]}


def _byte_put_in(rng: random.Random, bundle: Files, _other: Files) -> Files:
    name = _name(rng, bundle)
    at = rng.randrange(len(bundle[name]) + 1)
    return {name: bundle[name][:at] + bytes([rng.choice(b"\n \t\r{}\"0a\\'$`%\xff")]) + bundle[name][at:]}


def _bytes_taken_out(rng: random.Random, bundle: Files, _other: Files) -> Files:
    name = _name(rng, bundle)
    at = rng.randrange(len(bundle[name]))
    return {name: bundle[name][:at] + bundle[name][at + rng.randint(1, 9) :]}


def _truncated(rng: random.Random, bundle: Files, _other: Files) -> Files:
    name = _name(rng, bundle)
    return {name: bundle[name][: rng.randrange(len(bundle[name]))]}


def _nul(rng: random.Random, bundle: Files, _other: Files) -> Files:
    name = _name(rng, bundle)
    at = rng.choice([0, len(bundle[name]), rng.randrange(len(bundle[name]))])
    return {name: bundle[name][:at] + b"\0" * rng.randint(1, 3) + bundle[name][at:]}


def _with_lines(
    change: Callable[[random.Random, list[bytes]], None],
) -> Callable[[random.Random, Files, Files], Files]:
    def changed(rng: random.Random, bundle: Files, _other: Files) -> Files:
        name = rng.choice([one for one in bundle if one == "rows.jsonl" or one.endswith((".txt", ".pem"))])
        lines = bundle[name].splitlines(keepends=True)
        change(rng, lines)
        return {name: b"".join(lines)}

    return changed


def _drop(rng: random.Random, lines: list[bytes]) -> None:
    del lines[rng.randrange(len(lines))]


def _swap(rng: random.Random, lines: list[bytes]) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _double(rng: random.Random, lines: list[bytes]) -> None:
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))


def _crlf(rng: random.Random, lines: list[bytes]) -> None:
    every, one = rng.random() < 0.3, rng.randrange(len(lines))
    lines[:] = [line.replace(b"\n", b"\r\n") if every or at == one else line for at, line in enumerate(lines)]


def _hidden(rng: random.Random, bundle: Files, _other: Files) -> Files:
    """Put a row's leaf hash in its place, as a purged row has: the tree stays whole."""
    lines = bundle["rows.jsonl"].splitlines(keepends=True)
    at = rng.choice([at for at, line in enumerate(lines) if line.startswith(b"{")])
    lines[at] = leaf_hash(lines[at].rstrip(b"\n")).hex().encode() + b"\n"
    return {"rows.jsonl": b"".join(lines)}


def _same_value_other_text(rng: random.Random, bundle: Files, _other: Files) -> Files:
    """The same JSON value, written with other spaces, order, or escapes."""
    name = rng.choice([one for one in bundle if one.endswith((".json", ".jsonl"))])
    lines = bundle[name].splitlines()
    at = rng.choice([at for at, line in enumerate(lines) if line.startswith(b"{")] or [0])
    if not lines[at].startswith(b"{"):
        return {}
    value = json.loads(lines[at])
    style = rng.choice(
        [{"separators": (",", ":")}, {"separators": (" , ", " : ")}, {"sort_keys": True}, {"ensure_ascii": False}, {}]
    )
    lines[at] = json.dumps(value, **style).encode()
    return {name: b"\n".join(lines) + (b"\n" if bundle[name].endswith(b"\n") else b"")}


_ALIKE = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "x": "х", "i": "і", " ": "\u00a0", "-": "‐", "0": "０"}


def _look_alike(rng: random.Random, bundle: Files, _other: Files) -> Files:
    """A letter in its Cyrillic double, a space that does not break, an A with ring in two parts."""
    name = rng.choice([one for one in bundle if one.endswith((".json", ".jsonl"))])
    text = bundle[name].decode()
    places = [at for at, letter in enumerate(text) if letter in _ALIKE or letter == "Ä"]
    if not places:
        return {}
    at = rng.choice(places)
    return {name: (text[:at] + _ALIKE.get(text[at], "A\u0308") + text[at + 1 :]).encode()}


def _file_dropped(rng: random.Random, bundle: Files, _other: Files) -> Files:
    name = rng.choice([one for one in bundle if one != "verify.sh"])
    return {name: b"dropped"}  # see ``mutations``


def _files_exchanged(rng: random.Random, bundle: Files, _other: Files) -> Files:
    one, other = rng.sample([name for name in bundle if name != "verify.sh"], 2)
    return {one: bundle[other], other: bundle[one]}


def _head_of_another(rng: random.Random, bundle: Files, other: Files) -> Files:
    """A genuine head, signature and key, of another bundle of the same log."""
    part, foreign = rng.choice(["head", "start"]), rng.choice(["head", "start"])
    if f"{foreign}.json" not in other:
        return {}
    kinds = rng.choice([("json", "sig", "pem"), ("json", "sig"), ("json",), ("sig",), ("pem",)])
    if f"{part}.json" not in bundle and "json" not in kinds:
        return {}  # nobody would read it
    return {f"{part}.{kind}": other[f"{foreign}.{kind}"] for kind in kinds}


def _rows_of_another(rng: random.Random, bundle: Files, other: Files) -> Files:
    mine, theirs = (one["rows.jsonl"].splitlines(keepends=True) for one in (bundle, other))
    if rng.random() < 0.3:
        return {"rows.jsonl": other["rows.jsonl"]}
    mine[rng.randrange(len(mine))] = rng.choice(theirs)
    return {"rows.jsonl": b"".join(mine)}


def _signed_by_another(rng: random.Random, bundle: Files, _other: Files) -> Files:
    """Records made up and signed by a stranger's key, all of a piece: a head, or a purge that hides a row."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if rng.random() < 0.5 or "purge-1.json" not in bundle:
        name, changed, record = "head", {}, json.loads(bundle["head.json"])
    else:
        changed = _hidden(rng, bundle, bundle)
        (line,) = set(changed["rows.jsonl"].splitlines()) - set(bundle["rows.jsonl"].splitlines())
        name, record = "purge-2", json.loads(bundle["purge-1.json"])
        changed["purge-2.txt"] = line + b"\n"
        record["leaves_sha256"] = hashlib.sha256(changed["purge-2.txt"]).hexdigest()
    record["key_sha256"] = hashlib.sha256(pem).hexdigest()
    said = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    signature = key.sign(said, ec.ECDSA(hashes.SHA256()))
    return {**changed, f"{name}.json": said, f"{name}.sig": signature, f"{name}.pem": pem}


def _behind_a_signature(rng: random.Random, bundle: Files, _other: Files) -> Files:
    """``openssl dgst`` reads no more of the file than the longest signature: what follows is for the script to see."""
    name = rng.choice([one for one in bundle if one.endswith(".sig")])
    return {name: bundle[name] + rng.choice([b"\0", b"\n", bundle[name], b"more"])}


KINDS: dict[str, Callable[[random.Random, Files, Files], Files]] = {
    "bit": _bit,
    "byte put in": _byte_put_in,
    "bytes taken out": _bytes_taken_out,
    "truncated": _truncated,
    "NUL": _nul,
    "line dropped": _with_lines(_drop),
    "lines swapped": _with_lines(_swap),
    "line doubled": _with_lines(_double),
    "CRLF": _with_lines(_crlf),
    "row hidden": _hidden,
    "same value, other text": _same_value_other_text,
    "look-alike": _look_alike,
    "file dropped": _file_dropped,
    "files exchanged": _files_exchanged,
    "head of another": _head_of_another,
    "rows of another": _rows_of_another,
    "signed by another": _signed_by_another,
    "behind a signature": _behind_a_signature,
}


class Mutation:
    """A bundle that differs in one respect from one that is good."""

    def __init__(self, kind: str, files: Files, changed: Files) -> None:
        self.kind, self.files, self.changed = kind, files, changed


def mutations(good: Good, rng: random.Random) -> Iterator[Mutation]:
    """Yield mutations for ever, each kind as often as the others."""
    while True:
        for kind, change in KINDS.items():
            while True:
                bundle, other = rng.sample(good.bundles, 2)
                changed = change(rng, bundle, other)
                files = {**bundle, **changed}
                if kind == "file dropped":
                    files = {name: content for name, content in files.items() if name not in changed}
                if changed and files != bundle:
                    break
            yield Mutation(kind, files, changed)


def passed(made: list[Mutation], folder: Path, keys: set[str]) -> list[Mutation]:
    """Return the mutations that the script says yes to, without naming a key that nobody knows."""
    folders = []
    for number, mutation in enumerate(made):
        folders.append(folder / str(number))
        folders[-1].mkdir(parents=True)
        for name, content in mutation.files.items():
            (folders[-1] / name).write_bytes(content)
    subprocess.run(
        ["sh", "-c", _FOLDERS, "sh", *map(str, folders)], check=True, env={**os.environ, "TMPDIR": str(folder)}
    )
    found = []
    for mutation, one in zip(made, folders, strict=True):
        code, said = int(Path(f"{one}.code").read_text()), Path(f"{one}.said").read_text(errors="replace")
        named = set(said.partition(" key ")[2].split())
        if (code == 0 or said.startswith("OK")) and not named - keys:
            found.append(mutation)
    shutil.rmtree(folder)
    return found


def survivors(good: Good, folder: Path, *, seed: int, count: int) -> tuple[list[tuple[str, Files]], Counter[str]]:
    """Return what the script lets pass of ``count`` mutations, and how many of each kind there were."""
    endless = mutations(good, random.Random(seed))
    found, kinds = [], Counter[str]()
    while count:
        made = [next(endless) for _ in range(min(count, AT_ONCE))]
        count -= len(made)
        kinds.update(one.kind for one in made)
        found += [(one.kind, one.changed) for one in passed(made, folder, good.keys)]
    return found, kinds


def _quick(tmp_path: Path) -> Path:
    """Thousands of small files are written: in memory where that is to be had."""
    shared = Path("/dev/shm")
    return shared / f"mutations-{os.getpid()}" if os.access(shared, os.W_OK) else tmp_path / "mutations"


async def test_nothing_may_follow_a_signature(log: Log, good: Good, tmp_path: Path) -> None:
    """Nor after the longest there is, which ``openssl`` reads to its end."""
    bundle = good.bundles[1]
    while len(signature := log.keys.sign("audit", bundle["head.json"])[1]) != 72:
        pass
    longest = {**bundle, "head.sig": signature}
    made = [Mutation("none", longest, {})]
    made += [Mutation("behind", {**bundle, "head.sig": signature + more}, {}) for more in (b"\0", b"\n", signature)]
    assert [one.kind for one in passed(made, tmp_path / "signed", good.keys)] == ["none"]


async def test_a_made_up_purge_shows_by_its_key(good: Good, tmp_path: Path) -> None:
    """A row's hash in its place, vouched for by a stranger: the script cannot know him, and says whose keys it took."""
    rng = random.Random(7)
    while "purge-2.json" not in (changed := _signed_by_another(rng, good.bundles[0], good.bundles[1])):
        pass
    folder = tmp_path / "forged"
    folder.mkdir()
    for name, content in {**good.bundles[0], **changed}.items():
        (folder / name).write_bytes(content)
    code, said = verified(folder)
    assert code == 0
    assert hashlib.sha256(changed["purge-2.pem"]).hexdigest() in said


async def test_no_mutation_of_a_bundle_passes(good: Good, tmp_path: Path) -> None:
    found, kinds = survivors(good, _quick(tmp_path), seed=1, count=15 * len(KINDS))
    assert found == []
    assert kinds == dict.fromkeys(KINDS, 15)


@pytest.mark.long
async def test_none_of_ten_thousand_mutations_passes(good: Good, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        places = [_quick(tmp_path).with_name(f"mutations-{os.getpid()}-{n}") for n in (11, 12)]
        halves = [pool.submit(survivors, good, place, seed=n, count=5_000) for n, place in enumerate(places)]
        found = [half.result() for half in halves]
    assert [one for one, _ in found] == [[], []]
    kinds = found[0][1] + found[1][1]
    assert sum(kinds.values()) == 10_000
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) > 500


async def test_a_script_that_checks_nothing_would_be_noticed(good: Good, tmp_path: Path) -> None:
    """The mutations are changes: with a verifier that says yes to all, every one of them passes."""
    blind = Good([{**one, "verify.sh": b"echo OK\n"} for one in good.bundles])
    found, _ = survivors(blind, tmp_path / "mutated", seed=1, count=2 * len(KINDS))
    assert len(found) == 2 * len(KINDS)
