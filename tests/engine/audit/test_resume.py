"""Going on after a restore: the break is on record, the file with the lost heads stays, and sealing goes on."""

import pytest
from tests.engine.audit.conftest import NOW, Log

from altcredit.engine import audit

# What a restore of the state at the head of three rows leaves.
RESTORED = (
    "DELETE FROM audit_head WHERE tree_size > 3",
    "DELETE FROM audit_leaf WHERE leaf >= 3",
    "DELETE FROM audit_event WHERE subject IN ('lender_4', 'lender_5', 'lender_6', 'lender_7')",
)


async def _restored(log: Log) -> audit.Head:
    await log.add(3)
    await log.seal()
    await log.add(2)
    await log.seal()
    await log.add(2)
    lost = await log.seal()
    assert lost is not None
    await log.looked()
    await log.tamper(*RESTORED, "DELETE FROM audit_event WHERE action = 'audit.verified'", "DELETE FROM audit_unsealed")
    return lost


async def test_after_a_restore_nothing_is_sealed_until_somebody_says_so(log: Log) -> None:
    await _restored(log)
    await log.add()
    for ask in (audit.keep_heads, audit.waiting):
        async with log.database.transaction() as db:
            with pytest.raises(audit.HeadsDisagree, match="audit resume"):
                await ask(db, path=log.second)


async def test_the_break_is_recorded_with_the_head_that_was_lost_and_the_log_goes_on(log: Log) -> None:
    lost = await _restored(log)
    kept = log.second.read_bytes()
    found = await log.resume()
    assert (found.resumed_at_size, found.lost_size, found.lost_rows) == (3, 7, 4)
    assert found.lost_root == lost.root
    place = audit.set_aside(log.second, found=found)
    assert place.read_bytes() == kept
    assert audit.recall(log.second, signing=log.keys) is None
    await log.seal()
    after = await log.verify()
    assert after.holds, after.findings
    assert after.tree_size == 4
    async with log.database.transaction() as db:
        (event,) = await audit.read(db, action="audit.resumed")
        assert await audit.waiting(db, path=log.second) == (0, None)
    assert event.details["reason"] == "restored"
    assert event.details["lost_root"] == lost.root
    # The signature in the event is that of the lost head, which anybody can hold against the file.
    assert event.details["lost_head_signature"] in kept.decode()


async def test_it_may_be_done_again_after_a_crash_before_the_file_was_put_aside(log: Log) -> None:
    await _restored(log)
    assert await log.resume() == await log.resume()


async def test_a_file_in_a_place_that_cannot_be_renamed_in_is_named_and_left(log: Log) -> None:
    await _restored(log)
    old = log.second
    found = await log.resume(second=old)
    log.second = old.with_name("new.jsonl")
    await log.seal()
    assert (await log.verify()).holds
    old.with_name(f"heads.until-{found.lost_size}.jsonl").write_text("taken")
    with pytest.raises(audit.NotResumable, match="ALTCREDIT_AUDIT_HEADS"):
        audit.set_aside(old, found=found)
    assert old.exists()


async def test_where_nothing_has_stopped_there_is_nothing_to_resume(log: Log) -> None:
    with pytest.raises(audit.NothingToResume):
        await log.resume()
    await log.add(3)
    await log.seal()
    with pytest.raises(audit.NothingToResume):
        await log.resume()


async def test_a_restore_of_a_database_that_had_sealed_nothing_is_a_break_from_the_beginning(log: Log) -> None:
    await log.add(3)
    await log.seal()
    await log.tamper("DELETE FROM audit_head", "DELETE FROM audit_leaf", "DELETE FROM audit_event")
    found = await log.resume()
    assert (found.resumed_at_size, found.lost_rows) == (0, 3)


async def test_heads_that_this_installation_did_not_sign_are_no_restore(log: Log) -> None:
    await _restored(log)
    lines = log.second.read_bytes().splitlines(keepends=True)
    log.second.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b'\\"tree_size\\":7', b'\\"tree_size\\":9'))
    with pytest.raises(audit.NotResumable):
        await log.resume()
    log.second.write_bytes(b"nonsense\n")
    with pytest.raises(audit.NotResumable):
        await log.resume()
    async with log.database.transaction() as db:
        assert await audit.read(db, action="audit.resumed", since=NOW) == []
