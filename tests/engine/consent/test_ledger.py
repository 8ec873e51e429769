"""Which grants are live, from the ledger alone (contract C3), on chains worked through by hand."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from altcredit.engine.consent.ledger import PLATFORM, Active, Entry, live, with_grant, without

T0 = datetime(2026, 5, 20, 8, 0, tzinfo=UTC)


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def entry(
    name: str,
    granted: float,
    *,
    lenders: tuple[str, ...] = ("lender_a",),
    purpose: str = "loan",
    revoked: float | None = None,
) -> Entry:
    return Entry(
        consent_id=name,
        lender_ids=lenders,
        purpose=purpose,
        granted_at=at(granted),
        expires_at=at(granted) + timedelta(days=365),
        revoked_at=None if revoked is None else at(revoked),
    )


def ids(found: dict[str, tuple[Active, ...]]) -> dict[str, set[str]]:
    return {lender: {one.consent_id for one in active} for lender, active in found.items()}


def test_the_newest_grant_of_a_lender_and_purpose_counts() -> None:
    assert ids(live([entry("old", 0), entry("new", 1)])) == {"lender_a": {"new"}}


def test_purposes_and_lenders_are_chains_of_their_own() -> None:
    found = live([entry("one", 0), entry("two", 1, purpose="card"), entry("three", 2, lenders=("lender_b",))])
    assert ids(found) == {"lender_a": {"one", "two"}, "lender_b": {"three"}}


def test_revoking_any_grant_of_a_chain_ends_it() -> None:
    assert ids(live([entry("old", 0, revoked=2), entry("new", 1)])) == {"lender_a": set()}


def test_a_grant_after_the_revocation_begins_anew() -> None:
    assert ids(live([entry("old", 0, revoked=1), entry("new", 2)])) == {"lender_a": {"new"}}


def test_a_revocation_ends_the_chain_of_its_own_lenders_only() -> None:
    found = live([entry("both", 0, lenders=("lender_a", "lender_b")), entry("a", 1, revoked=2)])
    assert ids(found) == {"lender_a": set(), "lender_b": {"both"}}


def test_a_grant_without_lenders_is_the_platforms() -> None:
    assert ids(live([entry("m", 0, lenders=(), purpose="model_development")])) == {PLATFORM: {"m"}}


_STEPS = st.lists(
    st.tuples(st.sampled_from(["grant", "revoke"]), st.sampled_from(["loan", "card"]), st.integers(0, 9)), max_size=12
)


@given(_STEPS)
def test_the_ledger_says_what_keeping_up_step_by_step_says(steps: list[tuple[str, str, int]]) -> None:
    entries: list[Entry] = []
    active: tuple[Active, ...] = ()
    for hour, (what, purpose, which) in enumerate(steps):
        if what == "grant":
            entries.append(entry(f"c{hour}", hour, purpose=purpose))
            active = with_grant(
                active, Active(purpose=purpose, consent_id=f"c{hour}", expires_at=entries[-1].expires_at)
            )
            continue
        open_ = [i for i, one in enumerate(entries) if one.revoked_at is None]
        if open_:
            index = open_[which % len(open_)]
            old = entries[index]
            entries[index] = Entry(**{**{f: getattr(old, f) for f in old.__struct_fields__}, "revoked_at": at(hour)})
            active = without(active, old.purpose)
    assert ids(live(entries)).get("lender_a", set()) == {one.consent_id for one in active}
