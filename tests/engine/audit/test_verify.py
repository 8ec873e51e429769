"""Verification names the first row that is not what it was, however it came to be so."""

import asyncio
import random
from datetime import timedelta

import pytest
from tests.engine.audit.conftest import NOW, Log

from altcredit.engine import audit

MONTH = f"{NOW:%Y_%m}"


@pytest.fixture
async def sealed(log: Log) -> Log:
    """Forty rows, half of them reads, under four heads."""
    for _ in range(4):
        await log.add(5)
        await log.access(5)
        await log.seal()
    assert (await log.verify()).holds
    return log


def names(finding: audit.Finding) -> tuple[str, int | None]:
    return finding.kind, finding.leaf


async def first(log: Log, **options: object) -> tuple[str, int | None]:
    found = await log.verify(**options)  # type: ignore[arg-type]
    assert not found.holds
    return names(found.findings[0])


EVENT = "at = (SELECT at FROM audit_leaf WHERE leaf = {leaf}) AND event_id = (SELECT row_id FROM audit_leaf WHERE leaf = {leaf})"
ACCESS = EVENT.replace("event_id", "access_id")


@pytest.mark.parametrize("leaf", [0, 13, 33])
@pytest.mark.parametrize(
    "change", ["actor = 'x'", "action = 'x'", "subject = subject || ' '", "details = details || '{\"a\": 1}'"]
)
async def test_an_edited_event_is_named(sealed: Log, leaf: int, change: str) -> None:
    await sealed.tamper(f"UPDATE audit_event SET {change} WHERE {EVENT.format(leaf=leaf)}")
    found = await sealed.verify()
    (finding,) = found.findings
    assert names(finding) == ("edited", leaf)
    assert finding.log == "audit_event"
    assert finding.row_id == await sealed.database.reads.fetchval("SELECT row_id FROM audit_leaf WHERE leaf = $1", leaf)


@pytest.mark.parametrize("column", ["lender_id", "operation", "requested_id", "retailer_id", "purpose", "outcome", "consent_id", "score_id", "request_id"])  # fmt: skip
async def test_an_edited_read_is_named_whichever_field_it_was(sealed: Log, column: str) -> None:
    await sealed.tamper(f"UPDATE score_access SET {column} = 'x' WHERE {ACCESS.format(leaf=6)}")
    assert await first(sealed) == ("edited", 6)


async def test_the_first_of_several_is_named_first(sealed: Log) -> None:
    await sealed.tamper(
        f"UPDATE audit_event SET actor = 'x' WHERE {EVENT.format(leaf=31)}",
        f"DELETE FROM score_access WHERE {ACCESS.format(leaf=17)}",
        f"UPDATE audit_event SET actor = 'x' WHERE {EVENT.format(leaf=22)}",
    )
    assert [names(one) for one in (await sealed.verify()).findings] == [("deleted", 17), ("edited", 22), ("edited", 31)]


async def test_a_row_whose_time_was_changed_is_gone_from_its_place(sealed: Log) -> None:
    await sealed.tamper(f"UPDATE score_access SET at = at + interval '1 s' WHERE {ACCESS.format(leaf=8)}")
    assert [names(one) for one in (await sealed.verify()).findings] == [("deleted", 8), ("inserted", None)]


async def test_a_row_put_in_past_the_sealer_is_named(sealed: Log) -> None:
    await sealed.tamper("INSERT INTO audit_event (at, actor, action, subject, details) SELECT at, 'x', action, subject, details FROM audit_event LIMIT 1")  # fmt: skip
    found = await sealed.verify()
    (finding,) = found.findings
    assert (finding.kind, finding.log) == ("inserted", "audit_event")
    assert finding.row_id == await sealed.database.reads.fetchval("SELECT event_id FROM audit_event WHERE actor = 'x'")


async def test_a_row_taken_away_before_it_was_sealed_is_named(sealed: Log) -> None:
    await sealed.add()
    await sealed.tamper("DELETE FROM audit_event WHERE event_id = (SELECT max(event_id) FROM audit_event)")
    await sealed.seal()
    assert await first(sealed) == ("deleted", None)


SWAP = """
UPDATE audit_leaf l SET log = o.log, at = o.at, row_id = o.row_id, sha256 = o.sha256{proof}
FROM audit_leaf o WHERE (l.leaf, o.leaf) IN ((11, 12), (12, 11))
"""


async def test_rows_that_changed_places_are_named(sealed: Log) -> None:
    await sealed.tamper("DROP INDEX IF EXISTS x", "ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_log_row_id_key")
    await sealed.tamper(SWAP.format(proof=""))
    assert await first(sealed) == ("leaf_altered", 11)


async def test_an_operator_who_has_the_keys_cannot_change_what_the_second_place_knows(sealed: Log) -> None:
    """Rows, leaves, their proofs, and all later heads, signed anew with the installation's own key."""
    from altcredit.engine.audit import store
    from altcredit.engine.audit.head import head_of, record_of
    from altcredit.engine.audit.seal import leaf_proof
    from altcredit.engine.audit.tree import Tree, leaf_hash

    await sealed.tamper(f"UPDATE audit_event SET actor = 'x' WHERE {EVENT.format(leaf=14)}")
    async with sealed.database.transaction() as db:
        await db.execute("SET LOCAL session_replication_role = replica")
        tree = Tree()
        heads = {row["tree_size"] for row in await db.fetch("SELECT tree_size FROM audit_head WHERE tree_size > 14")}
        for row in await store.leaves(db, 0, 40):
            sha256 = leaf_hash(row["line"].encode())
            named = (row["leaf"], row["log"], row["at"], row["row_id"], sha256)
            proof = leaf_proof(sealed.keyring, *named)
            await db.execute(
                "UPDATE audit_leaf SET sha256 = $2, proof = $3 WHERE leaf = $1", row["leaf"], sha256, proof
            )
            tree.add(sha256)
            if tree.size in heads:
                pem = sealed.keys.public_pem(sealed.keys.active("audit"))
                record = record_of(head_of(tree, time="2026-11-22T12:00:00.000000Z", public_pem=pem))
                _, signature = sealed.keys.sign("audit", record)
                await db.execute(
                    "UPDATE audit_head SET record = $2, signature = $3 WHERE tree_size = $1",
                    tree.size,
                    record,
                    signature,
                )
    found = await sealed.verify()
    assert [names(one) for one in found.findings] == [("heads_differ", 19), ("heads_differ", 29), ("heads_differ", 39)]


async def test_leaves_rewritten_by_whoever_has_all_keys_but_the_signing_one_are_bounded_by_heads(sealed: Log) -> None:
    from altcredit.engine.audit.seal import leaf_proof

    sha256 = b"\x07" * 32
    row = await sealed.database.reads.fetchrow("SELECT leaf, log, at, row_id FROM audit_leaf WHERE leaf = 25")
    assert row is not None
    proof = leaf_proof(sealed.keyring, row["leaf"], row["log"], row["at"], row["row_id"], sha256)
    await sealed.tamper(
        f"UPDATE audit_leaf SET sha256 = '\\x{sha256.hex()}', proof = '\\x{proof.hex()}' WHERE leaf = 25"
    )
    found = await sealed.verify()
    assert [names(one) for one in found.findings] == [("reordered", 20), ("edited", 25)]
    assert "leaves 20 to 29" in found.findings[0].problem


async def test_the_newest_rows_taken_away_with_their_heads_are_missed(sealed: Log) -> None:
    await sealed.tamper(
        "DELETE FROM audit_event e USING audit_leaf l WHERE l.leaf >= 30 AND l.log = 'audit_event' AND l.row_id = e.event_id",
        "DELETE FROM score_access a USING audit_leaf l WHERE l.leaf >= 30 AND l.log = 'score_access' AND l.row_id = a.access_id",
        "DELETE FROM audit_leaf WHERE leaf >= 30",
        "DELETE FROM audit_head WHERE tree_size > 30",
    )
    assert await first(sealed) == ("rolled_back", 30)


async def test_everything_taken_away_is_missed(sealed: Log) -> None:
    await sealed.tamper(*(f"DELETE FROM {one}" for one in ("audit_event", "score_access", "audit_leaf", "audit_head")))
    assert await first(sealed) == ("rolled_back", 0)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM audit_leaf WHERE leaf = 12", ("leaf_missing", 12)),
        ("DELETE FROM audit_leaf WHERE leaf = 0", ("leaf_missing", 0)),
        ("DELETE FROM audit_leaf WHERE leaf = 39", ("leaf_missing", 39)),
        ("DELETE FROM audit_leaf WHERE leaf BETWEEN 8 AND 21", ("leaf_missing", 8)),
        ("UPDATE audit_leaf SET sha256 = sha256(sha256) WHERE leaf = 3", ("leaf_altered", 3)),
        ("UPDATE audit_leaf SET at = at + interval '1 us' WHERE leaf = 3", ("leaf_altered", 3)),
        ("DELETE FROM audit_head WHERE tree_size = 20", ("heads_differ", 19)),
        ("UPDATE audit_head SET signature = signature || '\\x00' WHERE tree_size = 20", ("heads_differ", 19)),
        ("UPDATE audit_head SET record = record || ' ' WHERE tree_size = 20", ("heads_differ", 19)),
        ("UPDATE audit_head SET key_id = 'x' WHERE tree_size = 40", ("heads_differ", 39)),
    ],
)
async def test_whatever_is_done_to_the_seal_is_found(sealed: Log, statement: str, expected: tuple[str, int]) -> None:
    await sealed.tamper(statement)
    assert await first(sealed) == expected


async def test_a_second_place_that_was_altered_is_found(sealed: Log) -> None:
    good = sealed.second.read_bytes()
    lines = good.splitlines(keepends=True)
    for content, expected in {
        good.replace(b'tree_size\\":20', b'tree_size\\":21'): "heads_differ",
        b"".join([lines[0], *lines[2:]]): "heads_differ",
        b"".join([*lines[:2], b"nonsense\n", *lines[2:]]): "heads_differ",
        b"".join([lines[1], lines[0], *lines[2:]]): "heads_differ",
        lines[0].replace(b'"signature":"30', b'"signature":"31') + b"".join(lines[1:]): "heads_differ",
    }.items():
        sealed.second.write_bytes(content)
        found = await sealed.verify()
        assert found.findings, content
        assert found.findings[0].kind == expected, content
    for content in (b"".join(lines[:2]), b""):
        sealed.second.write_bytes(content)
        assert (await sealed.verify()).holds, "the newest heads may be on their way"
        found = await sealed.verify(now=NOW + timedelta(minutes=11))
        assert [one.kind for one in found.findings] == ["heads_differ"]
    sealed.second.unlink()
    assert await first(sealed, now=NOW + timedelta(minutes=11)) == ("heads_differ", None)


async def test_rows_that_wait_too_long_for_their_seal_are_reported(sealed: Log) -> None:
    await sealed.add()
    assert (await sealed.verify()).waiting == 1
    assert await first(sealed, now=NOW + timedelta(minutes=11)) == ("unsealed", None)


async def test_a_seal_that_goes_on_meanwhile_is_no_finding(sealed: Log) -> None:
    """What the second place is told while verification reads the database of a moment before is not held against it."""

    async def keep_sealing() -> None:
        for _ in range(60):
            await sealed.add()
            await sealed.seal()

    sealing = asyncio.create_task(keep_sealing())
    while not sealing.done():
        assert (await sealed.verify()).findings == ()
    await sealing


async def test_no_random_change_of_any_table_goes_unnoticed(sealed: Log) -> None:
    """One statement at a time, drawn at random, each undone before the next."""
    rng = random.Random(5)
    columns = {
        "audit_event": ["at", "actor", "action", "subject", "details", "event_id"],
        "score_access": [
            "at",
            "lender_id",
            "operation",
            "requested_id",
            "outcome",
            "request_id",
            "access_id",
            "purpose",
        ],
        "audit_leaf": ["log", "at", "row_id", "sha256", "proof"],
        "audit_head": ["record", "key_id", "signature"],
    }
    new = {
        "at": "at + interval '3 s'",
        "details": "'{}'",
        "event_id": "event_id + 1000",
        "access_id": "access_id + 1000",
    }
    new |= {
        "row_id": "row_id + 1000",
        "log": "'x'",
        "sha256": "sha256(sha256)",
        "proof": "substr(sha256(proof), 1, 16)",
    }
    new |= {"record": "record || 'x'", "signature": "sha256(signature)"}
    for _ in range(60):
        table = rng.choice(list(columns))
        pick = f"ctid = (SELECT ctid FROM {table} ORDER BY md5(ctid::text || '{rng.random()}') LIMIT 1)"
        where = f"{pick} AND tableoid = (SELECT tableoid FROM {table} LIMIT 1)"
        column = rng.choice(columns[table])
        value = new.get(column, f"coalesce({column}, '') || 'x'")
        statement = rng.choice(
            [f"UPDATE {table} SET {column} = {value} WHERE {where}", f"DELETE FROM {table} WHERE {where}"]
        )
        async with sealed.database.writes.acquire() as db:
            outer = db.transaction(isolation="repeatable_read")
            await outer.start()
            await db.execute("SET LOCAL session_replication_role = replica")
            changed = await db.execute(statement)
            found = await audit.verify(
                _Still(db), keyring=sealed.keyring, signing=sealed.keys, second=sealed.second, now=NOW
            )  # type: ignore[arg-type]
            await outer.rollback()
        assert changed.endswith(" 1"), statement
        assert not found.holds, statement
    assert (await sealed.verify()).holds


class _Still:
    """A connection whose transaction was made to see one moment already."""

    def __init__(self, db: object) -> None:
        self.db = db

    async def execute(self, statement: str, *arguments: object) -> None:
        assert statement.startswith("SET TRANSACTION")

    def __getattr__(self, name: str) -> object:
        return getattr(self.db, name)
