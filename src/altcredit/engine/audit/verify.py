"""
Verification: what the database holds against every signed head, of the database and of the second place.

The leaves name the first row that is not what it was; the heads show that the leaves are what they were.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from altcredit.engine.audit import second_place, store
from altcredit.engine.audit.head import Head, Mark, Purge, Signed, month_of, root_of
from altcredit.engine.audit.seal import leaf_proof
from altcredit.engine.audit.tree import Tree, leaf_hash
from altcredit.runtime.db import Connection, Record
from altcredit.runtime.keys import Keyring
from altcredit.runtime.signing import SigningKeys

Kind = Literal[
    "edited", "deleted", "inserted", "leaf_missing", "leaf_altered", "reordered", "head_broken", "heads_differ",
    "rolled_back", "purge_broken", "unsealed",
]  # fmt: skip
_PAGE = 5_000
# More than enough to see what happened; the first is what counts.
_MOST_FINDINGS = 50
# Rows are sealed within seconds of their time, but a clock may go wrong, and a transaction take long.
_MARGIN = timedelta(days=2)
# The sealer works within seconds. What waits for longer was kept from it.
_LATE = timedelta(minutes=10)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was sealed. ``leaf``, ``log``, ``row_id`` and ``at`` name the row where one can."""

    kind: Kind
    problem: str
    leaf: int | None = None
    log: str | None = None
    row_id: int | None = None
    at: datetime | None = None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was looked at, and what is wrong, by leaf; nothing is wrong if there are no findings.

    ``verified_before``: leaves before this one were not looked at, since an earlier look found them whole.
    """

    rows: int
    verified_before: int
    tree_size: int
    heads: int
    heads_in_second_place: int
    root: str
    purged_rows: int
    waiting: int
    """Committed rows that the sealer has yet to see to; seconds' worth."""
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether everything is as it was sealed, and nothing waits for its seal for too long."""
        return not self.findings

    @property
    def is_whole(self) -> bool:
        """Whether everything that is sealed is as it was; rows may wait for their seal (no worker runs)."""
        return all(one.kind == "unsealed" for one in self.findings)


class _Walk:
    """Goes through the leaves in order, and remembers what is wrong."""

    def __init__(self, keyring: Keyring, signing: SigningKeys) -> None:
        self.keyring, self.signing = keyring, signing
        self.purged: dict[tuple[str, date], list[tuple[int, int]]] = {}
        """First and last leaf of what was purged of a log's month, on record."""
        self.tree: Tree | None = Tree()
        """The tree so far, by the leaves; None after a leaf that is missing, until the next head."""
        self.next_leaf = 0
        self.sound_size = 0
        self.purged_rows = 0
        self.findings: list[Finding] = []
        self.disturbed = False

    def find(self, kind: Kind, problem: str, row: Record | None = None, leaf: int | None = None) -> None:
        if row is not None:
            named = {"log": row["log"], "row_id": row["row_id"], "at": row["at"]}
            self.findings.append(Finding(kind=kind, problem=problem, leaf=leaf, **named))
        else:
            self.findings.append(Finding(kind=kind, problem=problem, leaf=leaf))

    def leaf(self, row: Record) -> None:
        number = row["leaf"]
        if number != self.next_leaf:
            self.find("leaf_missing", f"leaves {self.next_leaf} to {number - 1} are gone", leaf=self.next_leaf)
            self.tree, self.disturbed = None, True
        self.next_leaf = number + 1
        named = (number, row["log"], row["at"], row["row_id"], row["sha256"])
        if leaf_proof(self.keyring, *named) != row["proof"]:
            self.find("leaf_altered", "the leaf is not the one that was sealed", row, number)
            self.disturbed = True
        elif row["line"] is None:
            self._gone(row)
        elif leaf_hash(row["line"].encode()) != row["sha256"]:
            self.find("edited", "the row is not what it was when it was sealed", row, number)
        if self.tree is not None:
            self.tree.add(row["sha256"])

    def _gone(self, row: Record) -> None:
        ranges = self.purged.get((row["log"], month_of(row["at"])), [])
        if any(first <= row["leaf"] <= last for first, last in ranges):
            self.purged_rows += 1
        else:
            self.find("deleted", "the row is gone, or its time was changed", row, row["leaf"])

    def head(self, signed: Signed) -> Head | None:
        """Return a head of the tree as it is now, or None where it is not one."""
        head = own(signed, self.signing)
        if head is None:
            self.find("head_broken", f"the head at leaf {self.next_leaf} is not signed by this installation")
            return None
        if self.tree is not None and (self.tree.size, self.tree.root().hex()) != (head.tree_size, head.root):
            if not self.disturbed:
                problem = f"leaves {self.sound_size} to {head.tree_size - 1} are not those of the signed head, in order"
                self.find("reordered", problem, leaf=self.sound_size)
            self.tree = None
        if self.tree is None:
            self.tree = head.tree()
        self.sound_size, self.disturbed = head.tree_size, False
        return head


def own(signed: Signed, signing: SigningKeys) -> Head | None:
    """Return what a signed head says, None where the signature is not ours or the head is at odds with itself."""
    if not signing.verify("audit", signed.key_id, signed.record, signed.signature):
        return None
    try:
        head = msgspec.json.decode(signed.record, type=Head)
        head.tree()
    except ValueError:
        return None
    return head


async def verify(
    db: Connection,
    *,
    keyring: Keyring,
    signing: SigningKeys,
    second: Path,
    now: datetime,
    since: Mark | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Verification:
    """
    Look at every row, every leaf and every head, as of one moment; ``db`` has just begun its transaction.

    Costs about as much as reading the logs once; the sealer may go on meanwhile.

    :param since: look only at what was sealed after this (:func:`recall`): rows that were changed since they were last
        looked at are for a full look to find. A mark of another tree is a finding, and then all is looked at.
    :param progress: told after each few thousand leaves how many are done, and of how many.
    """
    length = second_place.length(second)  # first: a head gets there once it is committed, so the database knows these
    await store.hold_still(db)
    walk = _Walk(keyring, signing)
    newest = await _taken_up(db, walk, since)
    first = walk.next_leaf
    horizon = _moment(since.verified_at) - _MARGIN if since and first else None
    await _check_purges(db, walk, horizon)
    file = _SecondPlace(second, above=first, upto=length)
    last = await store.last_leaf(db)
    heads = 0
    position = first
    while position <= last:
        beyond = min(position + _PAGE, last + 1)
        due = await store.heads(db, above=position, upto=beyond)
        heads += len(due)
        newest = _page(walk, await store.leaves(db, position, beyond), due, file) or newest
        position = beyond
        progress(position - first, last + 1 - first)
    heads += await _heads_without_leaves(db, walk, last, file)
    if file.compared < last + 1:
        walk.find("head_broken", f"no head covers leaves {file.compared} to {last}", leaf=file.compared)
    file.finish(walk, newest, now)
    await _unsealed(db, walk, now, horizon)
    waiting, _ = await store.waiting(db)
    return Verification(
        rows=last + 1 - first - walk.purged_rows,
        verified_before=first,
        tree_size=newest.tree_size if newest else 0,
        heads=heads,
        heads_in_second_place=file.seen,
        root=newest.root if newest else Tree().root().hex(),
        purged_rows=walk.purged_rows,
        waiting=waiting,
        findings=tuple(sorted(walk.findings, key=_place)[:_MOST_FINDINGS]),
    )


async def _taken_up(db: Connection, walk: "_Walk", since: Mark | None) -> Head | None:
    """Let the walk begin at the head that a mark names, if the database has it as it was; return that head."""
    if since is None:
        return None
    signed = await store.head_at(db, since.tree_size)
    head = own(signed, walk.signing) if signed else None
    if head is None or (head.tree_size, head.root) != (since.tree_size, since.root):
        walk.find(
            "rolled_back",
            f"the database lacks the head of {since.tree_size} rows that was verified at {since.verified_at}",
            leaf=since.tree_size - 1,
        )
        return None
    walk.tree, walk.next_leaf, walk.sound_size = head.tree(), head.tree_size, head.tree_size
    return head


def _place(finding: Finding) -> tuple[bool, int]:
    return finding.leaf is None, finding.leaf or 0


def _page(walk: _Walk, rows: list[Record], due: list[tuple[int, Signed]], file: "_SecondPlace") -> Head | None:
    newest = None
    pending = iter([*due, (0, None)])
    size, signed = next(pending)
    for row in rows:
        while signed is not None and row["leaf"] >= size:  # leaves up to this head are missing
            walk.tree = None
            newest = _headed(walk, size, signed, file) or newest
            size, signed = next(pending)
        walk.leaf(row)
        if signed is not None and walk.next_leaf == size:
            newest = _headed(walk, size, signed, file) or newest
            size, signed = next(pending)
    while signed is not None:
        walk.tree = None
        newest = _headed(walk, size, signed, file) or newest
        size, signed = next(pending)
    return newest


def _headed(walk: _Walk, size: int, signed: Signed, file: "_SecondPlace") -> Head | None:
    file.compare(walk, size, signed)
    return walk.head(signed)


async def _heads_without_leaves(db: Connection, walk: _Walk, last: int, file: "_SecondPlace") -> int:
    beyond = await store.heads(db, above=last + 1, upto=2**62, limit=_MOST_FINDINGS)
    for size, signed in beyond:
        file.compare(walk, size, signed)
        if own(signed, walk.signing) is None:
            walk.find("head_broken", f"the head of {size} rows is not signed by this installation")
        else:
            walk.find(
                "leaf_missing", f"a signed head knows leaves {last + 1} to {size - 1}, which are gone", leaf=last + 1
            )
    return len(beyond)


class _SecondPlace:
    """The heads that are in the second place now, read alongside those of the database."""

    def __init__(self, path: Path, *, above: int, upto: int) -> None:
        self.path = path
        self.seen = 0
        self.compared = above
        """Size of the last head of the database, sound or not."""
        self._above = above
        self._lines: Iterator[bytes] = second_place.lines(path, above=above, upto=upto)
        self._ahead: tuple[int, Signed] | None = None
        self._ended = False
        self._missing = 0
        """Size of the first head of the database that the file lacks."""

    def _next(self, walk: _Walk) -> tuple[int, Signed] | None:
        while self._ahead is None and not self._ended:
            line = next(self._lines, None)
            if line is None:
                self._ended = True
                break
            self.seen += 1
            try:
                signed = second_place.parse(line)
                if (size := second_place.size_of(signed)) > self._above:
                    self._ahead = size, signed
            except ValueError:
                walk.find("heads_differ", f"line {self.seen} of {self.path.name} is not a tree head")
        return self._ahead

    def compare(self, walk: _Walk, size: int, signed: Signed) -> None:
        """Hold one head of the database, in order, against the file."""
        self.compared = size
        while (ahead := self._next(walk)) is not None and ahead[0] < size:
            self._odd(walk, ahead)
        if ahead is None or ahead[0] != size:
            self._missing = self._missing or size
            if ahead is not None:
                walk.find("heads_differ", f"{self.path.name} lacks the head of {size} rows", leaf=size - 1)
            return
        if ahead[1] != signed:
            walk.find("heads_differ", f"the head of {size} rows differs from that of {self.path.name}", leaf=size - 1)
        self._ahead = None

    def _odd(self, walk: _Walk, ahead: tuple[int, Signed]) -> None:
        size, signed = ahead
        if own(signed, walk.signing) is None:
            walk.find("head_broken", f"line {self.seen} of {self.path.name} is not signed by this installation")
        else:
            walk.find(
                "heads_differ", f"the database lacks the head of {size} rows that {self.path.name} has", leaf=size - 1
            )
        self._ahead = None

    def finish(self, walk: _Walk, newest: Head | None, now: datetime) -> None:
        """Say what is left of the file, and what it should have by now."""
        size = newest.tree_size if newest else 0
        while (ahead := self._next(walk)) is not None and len(walk.findings) < _MOST_FINDINGS:
            if ahead[0] > size and own(ahead[1], walk.signing) is not None:
                problem = f"{self.path.name} knows of {ahead[0]} rows, the database of {size}: the newest are gone"
                walk.find("rolled_back", problem, leaf=size)
                self._ahead = None
            else:
                self._odd(walk, ahead)
        if self._missing and newest is not None and _moment(newest.time) < now - _LATE:
            walk.find("heads_differ", f"{self.path.name} lacks the head of {self._missing} rows and later ones")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


async def _unsealed(db: Connection, walk: _Walk, now: datetime, horizon: datetime | None) -> None:
    for row in await store.strays(db, horizon, _MOST_FINDINGS):
        if row["is_there"]:
            walk.find("inserted", "the row was put in past the log's own way", row)
        else:
            walk.find("deleted", "the row was taken away before it was sealed", row)
    for row in await store.doubles(db, horizon, _MOST_FINDINGS):
        walk.find("inserted", "the row bears the number of another", row)
    waiting, oldest = await store.waiting(db)
    if oldest is not None and oldest < now - _LATE and not walk.findings:
        walk.find("unsealed", f"{waiting} rows wait to be sealed, the oldest since {oldest.isoformat()}")


async def _check_purges(db: Connection, walk: _Walk, horizon: datetime | None) -> None:
    for log, month, signed in await store.purges(db):
        purge = own_purge(signed, walk.signing)
        if purge is None or (purge.log, purge.month) != (log, f"{month:%Y-%m}"):
            walk.find("purge_broken", f"the record of the purge of {log} {month:%Y-%m} is not signed for it")
            continue
        if horizon is not None and _moment(purge.time) < horizon:
            continue
        hashes = await store.leaves_of_month(db, purge.log, bounds(month), (purge.first_leaf, purge.last_leaf))
        if (len(hashes), root_of(hashes).hex()) != (purge.rows, purge.root):
            walk.find("purge_broken", f"the leaves of {log} {month:%Y-%m} are not those whose rows were purged")
            continue
        walk.purged.setdefault((log, month), []).append((purge.first_leaf, purge.last_leaf))


def own_purge(signed: Signed, signing: SigningKeys) -> Purge | None:
    """Return what a purge record says, None where it is not signed by this installation."""
    if not signing.verify("audit", signed.key_id, signed.record, signed.signature):
        return None
    try:
        return msgspec.json.decode(signed.record, type=Purge)
    except msgspec.DecodeError:  # a head, under a purge's name
        return None


def bounds(month: date) -> tuple[datetime, datetime]:
    """Return the first moment (UTC) of a month and of the next."""
    first = datetime(month.year, month.month, 1, tzinfo=UTC)
    return first, (first + timedelta(days=32)).replace(day=1)
