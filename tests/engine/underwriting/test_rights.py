"""What is kept of an applicant: shown, erased, let go of in time, and learnt from."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import new_database
from tests.engine.underwriting.applicants import REPORTED, decided, read

from altcredit.engine import delivery, identity, sources, underwriting
from altcredit.engine.sources import Client, Clients, Reply, Terms
from altcredit.engine.underwriting import POLICY, RETENTION
from altcredit.runtime.db import Database
from altcredit.runtime.keys import KeyProvider, Keyring

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
CPF = "39549600017"
SECRETS = (b"Ana Beatriz", b"+5511987654321", CPF.encode(), b"meu salario", b"customer-7")
KEYRING = Keyring(KeyProvider(root=bytes(32), keks=(bytes(range(32)),)))


@pytest.fixture(scope="module")
async def database(server: str) -> AsyncIterator[Database]:
    async with new_database(server) as dsn:
        pools = await Database.connect(dsn, connections=8)
        yield pools
        await pools.close()


class Guard:
    """One partner's applications, decided without a worker."""

    def __init__(self, database: Database, partner_id: str, clients: Clients) -> None:
        self.database, self.partner_id, self.clients = database, partner_id, clients

    async def accepted(self, *, cpf: str = CPF, now: datetime = NOW) -> str:
        application = underwriting.Application(
            customer_uuid="customer-7",
            cpf=cpf,
            srd=REPORTED,
            contact=underwriting.Contact(phone="+5511987654321"),
        )
        async with self.database.transaction() as db:
            return await underwriting.accept(
                db, keyring=KEYRING, partner_id=self.partner_id, application=application,
                environment="development", sandbox_delay=timedelta(), now=now,
            )  # fmt: skip

    async def decided(self, request_id: str, *, pd: float | None = 0.02, now: datetime = NOW) -> underwriting.Case:
        cases = await underwriting.begin(self.database, keyring=KEYRING, request_ids=[request_id], now=now)
        case = cases[request_id]
        findings = await sources.ask(
            self.database, keyring=KEYRING, clients=self.clients, request_id=request_id, partner_id=self.partner_id,
            subject=underwriting.subject_of(case.application), names=["cpf_status", "negative_bureau"],
            clock=lambda: now,
        )  # fmt: skip
        states: Mapping[str, str] = {name: one.state for name, one in findings.items()}
        conclusion = underwriting.Conclusion(
            case=case, decision=decided(read(), pd, sources=states), cost_centavos=5, features=read()
        )
        async with self.database.transaction() as db:
            assert await underwriting.conclude(db, keyring=KEYRING, conclusions=[conclusion], now=now) == {request_id}
        return case

    async def standing(self, request_id: str) -> underwriting.Standing:
        async with self.database.transaction() as db:
            return await underwriting.find(db, request_id=request_id, partner_id=self.partner_id)

    async def reviewed(self, request_id: str, verdict: underwriting.Verdict, *, now: datetime = NOW) -> None:
        async with self.database.transaction() as db:
            review = await underwriting.ask_review(
                db, keyring=KEYRING, partner_id=self.partner_id, request_id=request_id,
                reason="meu salario subiu, Ana Beatriz", policy=POLICY, now=now,
            )  # fmt: skip
            await underwriting.decide_review(
                db, keyring=KEYRING, review_id=review.review_id, verdict=verdict, note="Ana Beatriz rang",
                policy=POLICY, actor="person:rui", now=now,
            )  # fmt: skip


class Source:
    """Sources in this process: every one answers, but those that are down."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    def client(self, name: str) -> Client:
        clean = {"negative_records": 0, "negative_amount_brl": 0, "protests": 0, "inquiries_90d": 0}
        answers = {"cpf_status": b'{"situation":"regular"}', "negative_bureau": msgspec.json.encode(clean)}

        async def exchange(request: bytes) -> Reply:
            head = request.partition(b"\r\n\r\n")[0].decode().splitlines()
            self.asked.append((name, next(line for line in head if line.startswith("idempotency-key"))))
            return Reply(503, b"") if name in self.down else Reply(200, answers[name])

        terms = Terms(base_url="", timeout_seconds=5.0, price_centavos=5, valid_for_hours=0, retries=0)
        return Client(sources.SOURCES[name], terms, head=b"", exchange=exchange, random=lambda: 0.5)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def guard(database: Database, source: Source) -> Guard:
    async with database.transaction() as db:
        await db.execute(
            "TRUNCATE underwriting, underwriting_outcome, underwriting_review, source_query, delivery CASCADE"
        )
        partner = await identity.add_partner(
            db, keyring=KEYRING, name="P", addresses=["127.0.0.0/8"], minute_limit=10, actor="test", now=NOW
        )
    clients = Clients({name: source.client(name) for name in ("cpf_status", "negative_bureau")})
    return Guard(database, partner.partner_id, clients)


async def exported(database: Database, request_id: str) -> dict[str, Any]:
    async with database.transaction() as db:
        found = await underwriting.export(db, keyring=KEYRING, request_id=request_id, actor="test", now=NOW)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return plain


async def everything(database: Database, request_id: str) -> bytes:
    """Return all that tables hold of an application, unsealed where it is sealed."""
    rows: list[str] = []
    async with database.transaction() as db:
        for table, owner in (("underwriting", "request"), ("underwriting_review", "request"), ("delivery", "partner"),
                             ("source_query", "request"), ("underwriting_outcome", "request")):  # fmt: skip
            for row in await db.fetch(f"SELECT * FROM {table} WHERE request_id = $1", request_id):
                rows.append(str(dict(row)))
                for name, value in row.items():
                    if name.startswith("sealed") and value is not None:
                        rows.append(str(_opened(value, row[f"{owner}_id"])))
    return "\n".join(rows).encode()


def _opened(value: bytes, owner: str) -> bytes:
    for purpose in ("application", "features", "review_reason", "source_answer", "callback"):
        try:
            return KEYRING.unseal(value, owner=owner, purpose=purpose)
        except Exception as error:
            if type(error).__name__ != "SealBroken":
                raise
    raise AssertionError("sealed for something unknown")


async def test_an_applicant_sees_all_that_is_kept(guard: Guard, database: Database) -> None:
    request_id = await guard.accepted()
    await guard.decided(request_id, pd=0.3)
    await guard.reviewed(request_id, "upheld")
    found = await exported(database, request_id)
    assert found["request"]["cpf"] == CPF
    assert found["decision"]["outcome"] == found["outcome"] == "rejected"
    assert found["decision"]["policy_sha256"] == POLICY.sha256 != ""
    assert found["features"] == read()
    answers = {one["source"]: one["answer"] for one in found["sources"]}
    assert answers["cpf_status"]["situation"] == "regular"
    assert [one["reason"] for one in found["reviews"]] == ["meu salario subiu, Ana Beatriz"]
    assert len(found["callbacks"]) == 1
    async with database.transaction() as db:
        assert await underwriting.applications_of(db, keyring=KEYRING, cpf=CPF) == [request_id]
        looks = "SELECT count(*) FROM audit_event WHERE action = 'underwriting.exported' AND subject = $1"
        assert await db.fetchval(looks, request_id) == 1


async def test_what_is_erased_is_nowhere_and_the_decision_stays_unlinked(guard: Guard, database: Database) -> None:
    request_id, other = await guard.accepted(), await guard.accepted()
    for one in (request_id, other):
        await guard.decided(one, pd=0.3)
        await guard.reviewed(one, "upheld")
    before = await everything(database, request_id)
    assert all(secret in before for secret in SECRETS), "else nothing is proven below"
    async with database.transaction() as db:
        await underwriting.erase(db, request_id=request_id, reason="asked for it", actor="person:rui", now=NOW)
    after = await everything(database, request_id)
    assert not any(secret in after for secret in SECRETS)
    assert repr(KEYRING.hmac("cpf", CPF)).encode() in before
    assert repr(KEYRING.hmac("cpf", CPF)).encode() not in after
    async with database.transaction() as db:
        assert await underwriting.applications_of(db, keyring=KEYRING, cpf=CPF) == [other]
        standing = await underwriting.find(db, request_id=request_id)
        assert (standing.outcome, standing.customer_uuid) == ("rejected", "")
        for refused in (
            underwriting.find(db, request_id=request_id, partner_id=guard.partner_id),
            underwriting.export(db, keyring=KEYRING, request_id=request_id, actor="test", now=NOW),
        ):
            with pytest.raises(underwriting.RequestUnknown):
                await refused
        with pytest.raises(underwriting.ErasureImpossible):
            await underwriting.erase(db, request_id=request_id, reason="again", actor="person:rui", now=NOW)
    kept = await everything(database, other)
    assert all(secret in kept for secret in SECRETS), "it alone was erased"


async def test_what_is_being_worked_on_cannot_be_erased(guard: Guard, database: Database) -> None:
    request_id = await guard.accepted()
    async with database.transaction() as db:
        with pytest.raises(underwriting.ErasureImpossible):
            await underwriting.erase(db, request_id=request_id, reason="now", actor="person:rui", now=NOW)


async def test_everything_is_let_go_of_when_its_time_is_over_and_not_before(guard: Guard, database: Database) -> None:
    request_id = await guard.accepted()
    waiting = await guard.accepted()
    await guard.decided(request_id, pd=0.3)
    await guard.reviewed(request_id, "upheld")
    async with database.transaction() as db:
        await db.execute("UPDATE delivery SET state = 'delivered', next_attempt_at = NULL")
        last = NOW + timedelta(days=RETENTION.answers.days)
        assert set((await underwriting.purge(db, now=last)).values()) == {0}
        gone = await underwriting.purge(db, now=last + timedelta(seconds=1))
        assert gone == {"requests": 0, "features": 0, "reviews": 0, "answers": 2, "callbacks": 1}
        gone = await underwriting.purge(db, now=NOW + timedelta(days=RETENTION.requests.days, seconds=1))
        assert gone == {"requests": 1, "features": 1, "reviews": 1, "answers": 0, "callbacks": 0}
        assert await db.fetchval("SELECT sealed IS NOT NULL FROM underwriting WHERE request_id = $1", waiting)
    left = await everything(database, request_id)
    assert not any(secret in left for secret in (b"Ana Beatriz", b"+5511987654321", CPF.encode(), b"meu salario"))
    assert (await guard.standing(request_id)).outcome == "rejected"
    async with database.transaction() as db:
        with pytest.raises(underwriting.RequestUnknown):
            await underwriting.ask_review(
                db, keyring=KEYRING, partner_id=guard.partner_id, request_id=request_id, reason="late", policy=POLICY,
                now=NOW,
            )  # fmt: skip


async def test_a_reassessment_asks_a_failed_source_anew_and_an_answered_one_never(guard: Guard, source: Source) -> None:
    source.down.add("negative_bureau")
    request_id = await guard.accepted()
    await guard.decided(request_id, pd=None)
    assert (await guard.standing(request_id)).outcome == "not_calculable"
    source.down.clear()
    await guard.reviewed(request_id, "reassessed")
    await guard.decided(request_id)
    assert (await guard.standing(request_id)).outcome == "approved"
    asked = [name for name, _ in source.asked]
    assert sorted(asked) == ["cpf_status", "negative_bureau", "negative_bureau"]
    assert len({key for _, key in source.asked}) == 3


async def test_outcomes_are_recorded_once_they_are_believed_and_learnt_from(guard: Guard, database: Database) -> None:
    then = NOW - timedelta(days=500)
    granted, young, declined = [await guard.accepted(now=then) for _ in range(3)]
    for request_id, pd in ((granted, 0.02), (young, 0.02), (declined, 0.3)):
        await guard.decided(request_id, pd=pd, now=then)
    booked = then.date() + timedelta(days=3)
    head = "request_id,booked_on,observed_on,max_dpd_12m\n"
    rows = f"{granted},{booked},{NOW.date()},95\n{young},{booked},{booked},0\n{declined},{booked},{NOW.date()},0\n"

    async def imported(text: str) -> underwriting.Imported:
        async with database.transaction() as db:
            return await underwriting.import_outcomes(
                db, underwriting.read_outcomes(text.encode()), today=NOW.date(), sha256="0" * 64, actor="test", now=NOW
            )

    found = await imported(head + rows)
    assert (found.recorded, found.mature, found.bad) == (2, 1, 1)
    assert [(one.line, one.request_id) for one in found.quarantined] == [(4, declined)]
    again = await imported(head + f"{granted},{booked},{date(2026, 1, 1)},95\n")
    assert (again.recorded, len(again.quarantined)) == (0, 1), "what is known later counts"
    async with database.transaction() as db:
        lessons = {one.outcome.is_bad: one for one in await underwriting.lessons(db, keyring=KEYRING)}
    assert lessons[True].features == read()
    assert lessons[True].subject == lessons[False].subject == KEYRING.hmac("cpf", CPF).hex()
    async with database.transaction() as db:
        await underwriting.erase(db, request_id=granted, reason="asked for it", actor="person:rui", now=NOW)
        assert [one.outcome.is_bad for one in await underwriting.lessons(db, keyring=KEYRING)] == [False]


async def test_one_conclusion_that_cannot_be_made_stops_no_other(guard: Guard, database: Database) -> None:
    """Two are concluded together; the first conclusion of each counts."""
    first, second = await guard.accepted(), await guard.accepted()
    cases = await underwriting.begin(database, keyring=KEYRING, request_ids=[first, second], now=NOW)
    conclusions = [
        underwriting.Conclusion(case=cases[one], decision=decided(read(), 0.02), cost_centavos=5)
        for one in (first, second)
    ]
    async with database.transaction() as db:
        one = await underwriting.conclude(db, keyring=KEYRING, conclusions=conclusions[:1], now=NOW)
        both = await underwriting.conclude(db, keyring=KEYRING, conclusions=conclusions, now=NOW)
        assert (one, both) == ({first}, {second})
        pages = [
            await delivery.list_deliveries(db, partner_id=guard.partner_id, request_id=one) for one in (first, second)
        ]
        events = "SELECT count(*) FROM audit_event WHERE action = 'underwriting.decided' AND subject = ANY($1::text[])"
        assert await db.fetchval(events, [first, second]) == 2
    assert [len(page.deliveries) for page in pages] == [1, 1]
