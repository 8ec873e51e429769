"""Looking again only at what is new: what that finds, what it leaves to a full look, and who can move the mark."""

import json
import random
from datetime import timedelta
from pathlib import Path

import pytest
from tests.engine.audit.conftest import NOW, Log

from altcredit.engine import audit
from altcredit.engine.audit import second_place

DAY = timedelta(days=1)


async def test_the_next_look_begins_where_the_last_one_ended(log: Log) -> None:
    await log.add(7)
    await log.seal(most=3)
    await log.seal(most=3)
    first = await log.looked()
    assert (first.holds, first.verified_before, first.rows, first.tree_size) == (True, 0, 6, 6)
    await log.add(4)
    await log.seal()
    second = await log.looked()
    assert (second.holds, second.verified_before, second.heads) == (True, 6, 1)
    assert second.heads_in_second_place == 1
    full = await log.looked(new=False)
    assert (full.verified_before, full.root, full.heads) == (0, second.root, 3)
    nothing = await log.looked()
    assert (nothing.holds, nothing.rows, nothing.root) == (True, 0, full.root)


async def test_what_came_after_the_mark_is_held_to_the_seal_and_what_came_before_is_for_a_full_look(log: Log) -> None:
    await log.add(5)
    await log.seal()
    await log.looked()
    await log.add(5, at=NOW + 9 * DAY)
    await log.seal(now=NOW + 9 * DAY)
    await log.tamper("UPDATE audit_event SET actor = 'nobody' WHERE subject = 'lender_8'")
    found = await log.looked(now=NOW + 9 * DAY)
    assert [(one.kind, one.leaf) for one in found.findings] == [("edited", 8)]  # leaf 5: the first look itself
    await log.tamper("UPDATE audit_event SET actor = 'nobody' WHERE subject = 'lender_2'")
    assert [one.leaf for one in (await log.looked(now=NOW + 9 * DAY)).findings] == [8]
    assert [one.leaf for one in (await log.looked(new=False, now=NOW + 9 * DAY)).findings] == [1, 8]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM audit_event WHERE subject = 'lender_7'", "deleted"),
        ("DELETE FROM audit_leaf WHERE leaf = 8", "leaf_missing"),
        ("UPDATE audit_leaf SET sha256 = decode(repeat('00', 32), 'hex') WHERE leaf = 8", "leaf_altered"),
        ("UPDATE audit_head SET key_id = 'another' WHERE tree_size = 11", "head_broken"),
        (
            "INSERT INTO audit_event (at, actor, action, subject, details)"
            " VALUES ('2026-11-22T12:30Z', 'a', 'b', 'c', '{}')",
            "inserted",
        ),
    ],
)
async def test_a_new_look_finds_what_a_full_one_does_in_new_rows(log: Log, statement: str, kind: str) -> None:
    await log.add(5)
    await log.seal()
    await log.looked()
    await log.add(5)
    await log.seal()
    assert (await log.verify(since=audit.recall(log.second, signing=log.keys))).holds
    await log.tamper(statement)
    found = await log.verify(since=audit.recall(log.second, signing=log.keys))
    assert kind in {one.kind for one in found.findings}


async def test_a_database_that_was_set_back_behind_the_mark_is_found_and_looked_at_in_full(log: Log) -> None:
    await log.add(3)
    await log.seal()
    await log.add(3)
    await log.seal()
    await log.looked()
    await log.tamper("DELETE FROM audit_head WHERE tree_size = 6", "DELETE FROM audit_leaf WHERE leaf >= 3")
    found = await log.looked()
    assert (found.holds, found.verified_before) == (False, 0)
    assert {"rolled_back"} <= {one.kind for one in found.findings}


async def test_a_look_that_found_something_leaves_the_mark_where_it_is(log: Log) -> None:
    await log.add(3)
    await log.seal()
    await log.looked()
    before = audit.recall(log.second, signing=log.keys)
    await log.add(3)
    await log.seal()
    await log.tamper("UPDATE audit_event SET actor = 'nobody' WHERE subject = 'lender_5'")
    assert not (await log.looked()).holds
    assert audit.recall(log.second, signing=log.keys) == before


async def test_nobody_else_signs_a_mark_and_no_other_record_passes_for_one(log: Log) -> None:
    await log.add(3)
    head = await log.seal()
    assert head is not None
    await log.looked()
    place = log.second.with_name(log.second.name + ".verified")
    good = place.read_bytes()
    record = json.loads(json.loads(good)["record"])
    for change in ({"tree_size": 2}, {"root": "00" * 32}, {"verified_at": "2030-01-01T00:00:00.000000Z"}):
        place.write_bytes(json.dumps({**json.loads(good), "record": json.dumps({**record, **change})}).encode())
        assert audit.recall(log.second, signing=log.keys) is None
    for other in (b"", b"{}", b"\xff", log.second.read_bytes().splitlines()[0]):
        place.write_bytes(other)
        assert audit.recall(log.second, signing=log.keys) is None
    place.write_bytes(good)
    assert audit.recall(log.second, signing=log.keys) is not None
    place.unlink()
    assert audit.recall(log.second, signing=log.keys) is None


async def test_each_look_is_an_audit_event_with_its_result(log: Log) -> None:
    await log.add(3)
    await log.seal()
    await log.looked()
    await log.tamper("UPDATE audit_event SET actor = 'nobody' WHERE subject = 'lender_2'")
    await log.looked(new=False)
    async with log.database.transaction() as db:
        events = await audit.read(db, action="audit.verified")
    assert [(one.details["holds"], one.details["full"]) for one in events] == [(False, True), (True, True)]
    assert events[0].details["findings"] == ["edited 1"]


async def test_a_long_look_tells_how_far_it_has_come(log: Log) -> None:
    await log.add(3)
    await log.seal()
    told: list[tuple[int, int]] = []
    await log.verify(progress=lambda done, of: told.append((done, of)))
    assert told == [(3, 3)]


def test_the_file_of_heads_is_entered_at_any_size_without_reading_it_from_the_start(tmp_path: Path) -> None:
    rng, path = random.Random(5), tmp_path / "heads.jsonl"
    sizes = sorted(rng.sample(range(1, 10_000), 300))
    peaks = {size: ",".join(f'"{"ab" * 32}"' for _ in range(size.bit_count())) for size in sizes}
    lines = [
        json.dumps(
            {
                "record": f'{{"key_sha256":"k","peaks":[{peaks[size]}],"root":"r","time":"t","tree_size":{size}}}',
                "key_id": "k" * rng.randint(1, 200),
                "signature": "00",
            }
        ).encode()
        for size in sizes
    ]
    path.write_bytes(b"\n".join(lines) + b"\n" + lines[0][:20])
    for above in [0, 1, *sizes, *rng.sample(range(10_000), 100), 10**9]:
        assert list(second_place.lines(path, above=above)) == [
            line for size, line in zip(sizes, lines, strict=True) if size > above
        ]
