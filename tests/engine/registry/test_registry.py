from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from tests.staffing import Member, staff_member

from altcredit.engine import audit, identity, registry
from altcredit.engine.registry import Comparison, Interval
from altcredit.runtime.db import Connection, Database
from altcredit.runtime.keys import KeyProvider, Keyring

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MONTH = timedelta(days=30)

GOOD = Comparison(
    shops=2000,
    bad_shops=180,
    auc_difference=Interval(value=0.01, low=-0.004, high=0.02),
    calibration_slope=Interval(value=1.04, low=0.93, high=1.15),
    band_bad_rates={
        "A": Interval(value=0.01, low=0.005, high=0.02),
        "B": Interval(value=0.05, low=0.03, high=0.07),
        "C": Interval(value=0.12, low=0.09, high=0.15),
        "D": Interval(value=0.31, low=0.26, high=0.36),
    },
    two_band_moves=0.004,
    band_flips=0.08,
    mean_score_move=1.5,
    limit_change=-120_000,
    score_psi=0.03,
    psi_alert=0.1,
    champion_is_expert=False,
)


async def registered(
    db: Connection,
    version: str,
    *,
    origin: str = "ledgers",
    environment: Any = "production",
    kind: str = "xgboost",
    product: str = "altscore",
) -> None:
    await registry.register(
        db,
        card={
            "version": version,
            "product": product,
            "kind": kind,
            "data_origin": origin,
            "metrics": {"auc": {"value": 0.87}},
        },
        path=version,
        sha256=version.encode().hex().rjust(64, "0"),
        key_id="kid",
        signature=b"signed",
        environment=environment,
        actor="staff:asha",
        now=NOW,
    )


async def promoted(db: Connection, version: str, *, now: datetime = NOW) -> None:
    await registry.approve(db, version=version, actor="staff:asha", now=now)
    await registry.promote(db, version=version, actor="staff:bela", environment="production", now=now)


async def compared(db: Connection, version: str, against: str, comparison: Comparison = GOOD) -> None:
    await registry.record_comparison(
        db, version=version, against=against, comparison=comparison, actor="worker", now=NOW
    )


async def test_a_registered_model_is_found_as_it_was_registered(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        model = await registry.get(db, version="altscore-xgb-v1")
        assert model.card["metrics"] == {"auc": {"value": 0.87}}
        assert (model.kind, model.data_origin, model.path, model.signature) == (
            "xgboost",
            "ledgers",
            "altscore-xgb-v1",
            b"signed",
        )
        assert model.aliases == ()
        assert await registry.list_versions(db) == [model]


async def test_a_version_is_registered_once(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        with pytest.raises(registry.VersionTaken, match="altscore-xgb-v1"):
            await registered(db, "altscore-xgb-v1")


@pytest.mark.parametrize("origin", ["simulated", "public"])
async def test_production_refuses_what_was_not_learnt_from_ledgers(database: Database, origin: str) -> None:
    async with database.transaction() as db:
        with pytest.raises(registry.OriginUnproven, match=origin):
            await registered(db, "altscore-xgb-v1", origin=origin)
        # Registered in development, the database then being used for production.
        await registered(db, "altscore-xgb-v1", origin=origin, environment="development")
        await registry.approve(db, version="altscore-xgb-v1", actor="staff:asha", now=NOW)
        with pytest.raises(registry.OriginUnproven):
            await registry.promote(db, version="altscore-xgb-v1", actor="staff:bela", environment="production", now=NOW)


async def test_production_takes_the_expert_scorecard(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-expert-v1", origin="expert", kind="expert")
        await promoted(db, "altscore-expert-v1")
        assert (await registry.holder(db, product="altscore", alias="champion")).version == "altscore-expert-v1"


async def test_a_promotion_needs_two_different_people(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        for _ in range(2):
            assert await registry.approve(db, version="altscore-xgb-v1", actor="staff:asha", now=NOW) == ["staff:asha"]
        with pytest.raises(registry.SecondPersonNeeded):
            await registry.promote(db, version="altscore-xgb-v1", actor="staff:asha", environment="production", now=NOW)
        promotion = await registry.promote(
            db, version="altscore-xgb-v1", actor="staff:bela", environment="production", now=NOW
        )
        assert promotion.promoted_by == ("staff:asha", "staff:bela")
        (event,) = await audit.read(db, action="model.promoted")
        assert event.details["people"] == ["staff:asha", "staff:bela"]
        assert event.details["sole_operator"] is False


async def test_an_approval_lapses_after_seven_days_and_is_used_up_by_a_promotion(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        await registry.approve(
            db, version="altscore-xgb-v1", actor="staff:asha", now=NOW - timedelta(days=7, seconds=1)
        )
        with pytest.raises(registry.SecondPersonNeeded):
            await registry.promote(db, version="altscore-xgb-v1", actor="staff:bela", environment="production", now=NOW)
        await registered(db, "altscore-xgb-v2")
        await promoted(db, "altscore-xgb-v2")
        await registered(db, "altscore-xgb-v3")
        await compared(db, "altscore-xgb-v3", "altscore-xgb-v2")
        await promoted(db, "altscore-xgb-v3", now=NOW + MONTH)
        await compared(db, "altscore-xgb-v2", "altscore-xgb-v3")
        with pytest.raises(registry.SecondPersonNeeded):
            await registry.promote(db, version="altscore-xgb-v2", actor="staff:bela", environment="production", now=NOW)


async def test_a_sole_operator_may_promote_in_development_and_the_audit_log_says_so(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1", origin="simulated", environment="development")
        await registry.promote(db, version="altscore-xgb-v1", actor="cli:dev", environment="development", now=NOW)
        (event,) = await audit.read(db, action="model.promoted")
        assert event.details["sole_operator"] is True
        await registered(db, "altscore-xgb-v2", origin="simulated", environment="sandbox")
        await compared(db, "altscore-xgb-v2", "altscore-xgb-v1")
        with pytest.raises(registry.SecondPersonNeeded):
            await registry.promote(db, version="altscore-xgb-v2", actor="cli:dev", environment="sandbox", now=NOW)


async def test_a_successor_must_have_been_compared_with_the_champion_of_now(database: Database) -> None:
    async with database.transaction() as db:
        for number in (1, 2, 3):
            await registered(db, f"altscore-xgb-v{number}")
        await promoted(db, "altscore-xgb-v1")
        await compared(db, "altscore-xgb-v2", "altscore-xgb-v3")
        with pytest.raises(registry.NotCompared, match="altscore-xgb-v1"):
            await promoted(db, "altscore-xgb-v2")
        await compared(db, "altscore-xgb-v2", "altscore-xgb-v1")
        await promoted(db, "altscore-xgb-v2")
        assert (await registry.holder(db, product="altscore", alias="champion")).version == "altscore-xgb-v2"


async def test_the_gate_keeps_a_worse_model_out_and_says_why(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        await registered(db, "altscore-xgb-v2")
        await promoted(db, "altscore-xgb-v1")
        worse = msgspec.structs.replace(GOOD, auc_difference=Interval(value=-0.02, low=-0.03, high=-0.01))
        await compared(db, "altscore-xgb-v2", "altscore-xgb-v1", worse)
        with pytest.raises(registry.GateClosed) as refused:
            await promoted(db, "altscore-xgb-v2")
        assert [detail.path for detail in refused.value.details] == ["auc_difference"]
        assert (await registry.holder(db, product="altscore", alias="champion")).version == "altscore-xgb-v1"


async def test_rollback_walks_back_through_the_champions(database: Database) -> None:
    async with database.transaction() as db:
        for number in (1, 2, 3):
            await registered(db, f"altscore-xgb-v{number}")
        await promoted(db, "altscore-xgb-v1")
        for number in (2, 3):
            await compared(db, f"altscore-xgb-v{number}", f"altscore-xgb-v{number - 1}")
            await promoted(db, f"altscore-xgb-v{number}")
        for expected in ("altscore-xgb-v2", "altscore-xgb-v1"):
            back = await registry.rollback(db, product="altscore", actor="staff:asha", now=NOW)
            assert back.version == expected
            assert (await registry.champion_artefact(db, product="altscore"))[0] == expected
        with pytest.raises(registry.NothingBefore):
            await registry.rollback(db, product="altscore", actor="staff:asha", now=NOW)
        events = await audit.read(db, action="model.rolled_back")
        assert [(e.details["from"], e.subject) for e in events] == [
            ("altscore-xgb-v2", "altscore-xgb-v1"),
            ("altscore-xgb-v3", "altscore-xgb-v2"),
        ]


async def test_after_a_rollback_the_better_model_can_come_back(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        await registered(db, "altscore-xgb-v2")
        await promoted(db, "altscore-xgb-v1")
        await compared(db, "altscore-xgb-v2", "altscore-xgb-v1")
        await promoted(db, "altscore-xgb-v2")
        await registry.rollback(db, product="altscore", actor="staff:asha", now=NOW)
        await promoted(db, "altscore-xgb-v2")
        assert (
            await registry.rollback(db, product="altscore", actor="staff:asha", now=NOW)
        ).version == "altscore-xgb-v1"


async def test_a_challenger_leaves_its_place_when_it_wins(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        await registry.challenge(db, version="altscore-xgb-v1", actor="staff:asha", now=NOW)
        assert (await registry.holder(db, product="altscore", alias="challenger")).version == "altscore-xgb-v1"
        await promoted(db, "altscore-xgb-v1")
        assert (await registry.get(db, version="altscore-xgb-v1")).aliases == ("champion",)
        with pytest.raises(registry.ModelUnknown):
            await registry.holder(db, product="altscore", alias="challenger")
        with pytest.raises(registry.AlreadyChampion):
            await registry.challenge(db, version="altscore-xgb-v1", actor="staff:asha", now=NOW)
        with pytest.raises(registry.AlreadyChampion):
            await promoted(db, "altscore-xgb-v1")


async def test_nothing_is_champion_at_first(database: Database) -> None:
    async with database.transaction() as db:
        with pytest.raises(registry.ModelUnknown):
            await registry.champion_artefact(db, product="altscore")
        with pytest.raises(registry.NothingBefore):
            await registry.rollback(db, product="altscore", actor="staff:asha", now=NOW)
        with pytest.raises(registry.ModelUnknown):
            await registry.approve(db, version="altscore-xgb-v9", actor="staff:asha", now=NOW)


async def test_each_product_has_its_own_champion_and_its_own_way_back(database: Database) -> None:
    async with database.transaction() as db:
        for number in (1, 2):
            await registered(db, f"altscore-xgb-v{number}")
            await registered(db, f"guard-xgb-v{number}", product="guard")
        for product in ("altscore", "guard"):
            await promoted(db, f"{product}-xgb-v1")
            await compared(db, f"{product}-xgb-v2", f"{product}-xgb-v1")
        await promoted(db, "guard-xgb-v2")
        assert (await registry.champion_artefact(db, product="altscore"))[0] == "altscore-xgb-v1"
        assert (await registry.champion_artefact(db, product="guard"))[0] == "guard-xgb-v2"
        with pytest.raises(registry.ModelUnknown):
            await registry.champion_artefact(db, product="guard_screen")
        with pytest.raises(registry.NothingBefore):
            await registry.rollback(db, product="altscore", actor="staff:asha", now=NOW)
        assert (await registry.rollback(db, product="guard", actor="staff:asha", now=NOW)).version == "guard-xgb-v1"
        assert [one.version for one in await registry.list_versions(db, product="guard")] == [
            "guard-xgb-v1",
            "guard-xgb-v2",
        ]


async def test_a_promotion_says_of_which_product_it_is(database: Database) -> None:
    async with database.transaction() as db:
        await registered(db, "guard-xgb-v1", product="guard")
        await promoted(db, "guard-xgb-v1")
        assert await db.fetchval("SELECT data->>'product' FROM outbox WHERE type = 'model.promoted'") == "guard"


KEYRING = Keyring(KeyProvider(root=b"\x03" * 32, keks=(b"\x01" * 32,)))


async def owner(database: Database, *roles: identity.Role, name_id: str | None = None) -> Member:
    return await staff_member(database, KEYRING, *(roles or ("model_owner",)), name_id=name_id, now=NOW)


async def signed(db: Connection, version: str, who: Member, *, now: datetime = NOW) -> registry.Promotion | None:
    return await registry.sign_promotion(db, version=version, session=who.session, environment="development", now=now)


async def test_the_second_signature_promotes_and_never_the_same_hand_twice(database: Database) -> None:
    asha, bela = await owner(database), await owner(database)
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        assert await signed(db, "altscore-xgb-v1", asha) is None
        with pytest.raises(identity.SecondPersonNeeded):
            await signed(db, "altscore-xgb-v1", asha)
        with pytest.raises(registry.ModelUnknown):
            await registry.holder(db, product="altscore", alias="champion")
        promotion = await signed(db, "altscore-xgb-v1", bela)
        assert promotion is not None
        assert promotion.promoted_by == (asha.actor, bela.actor)
        with pytest.raises(registry.AlreadyChampion):
            await signed(db, "altscore-xgb-v1", asha)


async def test_signatures_from_the_host_and_those_of_staff_do_not_add_up(database: Database) -> None:
    asha = await owner(database)
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        await registry.approve(db, version="altscore-xgb-v1", actor="person:bela", now=NOW)
        assert await signed(db, "altscore-xgb-v1", asha) is None
        await registered(db, "altscore-xgb-v2")
        assert await signed(db, "altscore-xgb-v2", asha) is None
        with pytest.raises(registry.SecondPersonNeeded):
            await registry.promote(
                db, version="altscore-xgb-v2", actor="person:bela", environment="production", now=NOW
            )


async def test_a_lapsed_signature_may_be_given_again(database: Database) -> None:
    asha, bela = await owner(database), await owner(database)
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        assert await signed(db, "altscore-xgb-v1", asha) is None
        later = NOW + timedelta(days=8)
        assert await signed(db, "altscore-xgb-v1", asha, now=later) is None
        assert await signed(db, "altscore-xgb-v1", bela, now=later) is not None


async def test_what_the_gate_keeps_out_is_not_even_signed_for(database: Database) -> None:
    asha = await owner(database)
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        await registered(db, "altscore-xgb-v2")
        await promoted(db, "altscore-xgb-v1")
        with pytest.raises(registry.NotCompared):
            await signed(db, "altscore-xgb-v2", asha)


async def _suspended(db: Connection, who: Member) -> None:
    for status in ("suspended", "active"):  # being active again does not bring the signature back
        await identity.set_staff_status(db, staff_id=who.staff_id, status=status, actor="staff:boss", now=NOW)


async def _without_the_role(db: Connection, who: Member) -> None:
    await identity.set_staff_roles(db, staff_id=who.staff_id, roles=["auditor"], actor="staff:boss", now=NOW)


async def _without_the_key(db: Connection, who: Member) -> None:
    key_id = await db.fetchval("SELECT key_id FROM staff_key WHERE staff_id = $1", who.staff_id)
    await identity.revoke_staff_key(db, staff_id=who.staff_id, key_id=key_id, actor="staff:boss", now=NOW)


@pytest.mark.parametrize("deprived", [None, _suspended, _without_the_role, _without_the_key])
async def test_an_approval_on_the_host_counts_as_long_as_the_person_may_promote(
    database: Database, deprived: Callable[[Connection, Member], Awaitable[None]] | None
) -> None:
    asha = await owner(database, name_id="asha@example.in")
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        approval = {"version": "altscore-xgb-v1", "now": NOW}
        assert await registry.approve(db, actor="person:asha@example.in", **approval) == ["person:asha@example.in"]
        promote = partial(registry.promote, db, actor="person:bela", environment="production", **approval)
        if deprived is None:
            assert (await promote()).promoted_by == ("person:asha@example.in", "person:bela")
            return
        await deprived(db, asha)
        with pytest.raises(registry.SecondPersonNeeded):
            await promote()


async def test_staff_who_may_not_promote_approve_and_promote_nothing_on_the_host(database: Database) -> None:
    await owner(database, "ops", name_id="ravi@example.in")
    async with database.transaction() as db:
        await registered(db, "altscore-xgb-v1")
        for environment in ("development", "production"):
            with pytest.raises(identity.PermissionDenied):
                await registry.promote(
                    db, version="altscore-xgb-v1", actor="person:ravi@example.in", environment=environment, now=NOW
                )
        with pytest.raises(identity.PermissionDenied):
            await registry.approve(db, version="altscore-xgb-v1", actor="person:ravi@example.in", now=NOW)
