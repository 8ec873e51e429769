"""
Nobody does alone what takes two: no sequence of calls by one person promotes a model, erases or unmasks a retailer, or
replaces somebody's keys.

A machine plays one person, who is one staff id with every role and as many keys and sessions as they like, against the
real API over a real database. They sign, replay and swap signatures, change bodies, invite and re-role and suspend
others, try to enrol keys with tickets that are not theirs. The same machine played by two people does all four: what it
looks for is there to be found.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from tests.api.admin.test_two_people import candidate, champion, erased
from tests.api.conftest import Installation
from tests.conftest import new_database
from tests.staffing import Member, SoftKey, b64, staff_member

from altcredit.api.app import application
from altcredit.api.process import ADMIN, Addresses
from altcredit.api.staff.headers import SIGN_IN_COOKIE
from altcredit.engine import identity, retailers
from altcredit.engine.identity.people import sessions, store
from altcredit.runtime import ids
from altcredit.runtime.certificates import Authority
from altcredit.runtime.platform import opened
from altcredit.runtime.settings import Settings

T = TypeVar("T")
TAKES_TWO = {"promotion", "erasure", "unmasking", "recovery"}
STEPS = 40


class Signature(msgspec.Struct, frozen=True):
    """An assertion of somebody's key over a body, for an action."""

    action: str
    raw: bytes
    header: str


class Target(msgspec.Struct, frozen=True):
    """What is to be done, and how it is asked for."""

    does: str
    action: str
    method: str
    path: str
    body: dict[str, Any]


class Office:
    """The admin listener's application in this process, and a loop to call it on."""

    def __init__(self, altscore: Installation, client: httpx2.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self.altscore, self.client, self.loop = altscore, client, loop
        self.platform = altscore.platform

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def member(self, *roles: identity.Role) -> Member:
        platform = self.platform
        return await staff_member(platform.database, platform.keyring, *roles, settings=platform.settings)

    async def aliased(self, retailer_id: str) -> str:
        """Merge a newer shop into this one; return its id, which answers for the same shop."""
        alias = (await self.altscore.shop(gst=False)).retailer_id
        async with self.platform.database.transaction() as db:
            await retailers.merge(db, first=retailer_id, second=alias, evidence="test", now=datetime.now(UTC))
        return alias


@asynccontextmanager
async def _open(server: str, home: Path, loop: asyncio.AbstractEventLoop) -> AsyncIterator[Office]:
    async with new_database(server) as dsn:
        chosen = Settings(home=str(home), port=0, admin_port=0, database_url=dsn, log_level="error")
        async with opened(chosen, dsn) as platform:
            here = Addresses(public="https://localhost", admin="https://localhost")
            authority = Authority.open(chosen, keyring=platform.keyring, now=datetime.now(UTC))
            transport = httpx2.ASGITransport(app=application(platform, *ADMIN))
            async with httpx2.AsyncClient(transport=transport, base_url=here.admin) as client:
                yield Office(Installation(platform, here, authority), client, loop)


@pytest.fixture(scope="module")
def office(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    loop = asyncio.new_event_loop()
    lent = _open(server, tmp_path_factory.mktemp("one"), loop)
    try:
        yield loop.run_until_complete(lent.__aenter__())
        loop.run_until_complete(lent.__aexit__(None, None, None))
    finally:
        loop.close()


class Hands(RuleBasedStateMachine):
    """
    Somebody at work with every role. ``people``: how many they are; each step is one of them's.

    Others are there, and do nothing: an administrator, who may be acted upon but for whom there would be none left, and
    a colleague.
    """

    office: ClassVar[Office]
    people: ClassVar[int]
    done: ClassVar[set[str]]
    steps: ClassVar[int]

    signatures = Bundle("signatures")
    tickets = Bundle("tickets")
    others = Bundle("others")

    who = st.integers(0, 1)
    targets = st.sampled_from(sorted(TAKES_TWO))
    reasons = st.sampled_from(["as asked", "really"])
    spacing = st.sampled_from([None, 1])

    @initialize(target=others)
    def begin(self) -> Any:
        run = self.office.run
        self.hands = [run(self.office.member(*identity.ROLES)) for _ in range(self.people)]
        self.keys = [[one.key] for one in self.hands]
        self.shop = run(self.office.altscore.shop())
        self.alias = run(self.office.aliased(self.shop.retailer_id))
        self.version = run(candidate(self.office.altscore))
        self.request_id: str | None = None
        self.seen: set[str] = set()
        return multiple(*(run(self.office.member(*identity.ROLES)).staff_id for _ in range(2)))

    # How they call

    def hand(self, who: int) -> Member:
        return self.hands[who % self.people]

    def target(self, does: str, other: str, alias: bool) -> Target:
        shop = self.alias if alias else self.shop.retailer_id
        return {
            "promotion": Target(does, "models.promote", "POST", "/models/promote", {"version": self.version}),
            "erasure": Target(does, "retailers.erase", "PUT", f"/retailers/{shop}/erasure", {"retailer_id": shop}),
            "unmasking": Target(does, "retailers.unmask", "POST", f"/retailers/{shop}/unmask", {"retailer_id": shop}),
            "recovery": Target(does, "staff.manage", "POST", f"/staff/{other}/recover", {"staff_id": other}),
        }[does]

    def call(
        self, who: int, method: str, path: str, raw: bytes = b"", header: str | None = None, root: str = "/v1/admin"
    ) -> httpx2.Response:
        headers = {**self.hand(who).headers, "content-type": "application/json"}
        if header is not None:
            headers["x-key-assertion"] = header
        if self.request_id is not None:
            headers["x-request-id"] = self.request_id
        answer = self.office.run(self.office.client.request(method, f"{root}{path}", content=raw, headers=headers))
        assert answer.status_code < 500, answer.text
        type(self).steps += 1
        return answer

    def sign(self, who: int, action: str, raw: bytes, key: int = 0) -> Signature | None:
        """Ask for a challenge as anybody may, and let one of the person's keys sign it; None: they are signed out."""
        asked = json.dumps({"action": action, "request_sha256": hashlib.sha256(raw).hexdigest()}).encode()
        options = self.call(who, "POST", "/assertions", asked, root="/v1/staff")
        if options.status_code != 200:
            return None
        keys = self.keys[who % self.people]
        signed = keys[key % len(keys)].sign(options.json())
        return Signature(action, raw, b64(json.dumps(signed).encode()))

    def send(self, who: int, target: Target, signature: Signature | None, raw: bytes) -> None:
        answer = self.call(who, target.method, target.path, raw, signature.header if signature else None)
        if target.does == "unmasking" and self.shop.gstin in answer.text:
            self.seen.add("unmasking")
        if target.does == "recovery" and answer.status_code == 200:
            self.seen.add("recovery")

    @staticmethod
    def raw(body: dict[str, Any], reason: str, indent: int | None) -> bytes:
        return json.dumps({**body, "reason": reason}, indent=indent).encode()

    # What they do

    @rule(target=signatures, who=who, does=targets, other=others, alias=st.booleans(), reason=reasons, indent=spacing,
          key=st.integers(0, 3))  # fmt: skip
    def sign_and_send(
        self, who: int, does: str, other: str, alias: bool, reason: str, indent: int | None, key: int
    ) -> Any:
        target = self.target(does, other, alias)
        raw = self.raw(target.body, reason, indent)
        signature = self.sign(who, target.action, raw, key)
        self.send(who, target, signature, raw)
        return multiple() if signature is None else signature

    @rule(target=signatures, who=who, does=targets, signed_as=targets, other=others, reason=reasons)
    def sign_only(self, who: int, does: str, signed_as: str, other: str, reason: str) -> Any:
        action = self.target(signed_as, other, False).action
        raw = self.raw(self.target(does, other, False).body, reason, None)
        signature = self.sign(who, action, raw)
        return multiple() if signature is None else signature

    @rule(who=who, does=targets, other=others, alias=st.booleans(), signature=signatures, reason=reasons)
    def send_with_a_signature_of_before(
        self, who: int, does: str, other: str, alias: bool, signature: Signature, reason: str
    ) -> None:
        target = self.target(does, other, alias)
        for raw in (signature.raw, self.raw(target.body, reason, None)):
            self.send(who, target, signature, raw)

    @rule(who=who, does=targets, other=others, reason=reasons)
    def send_without_a_signature(self, who: int, does: str, other: str, reason: str) -> None:
        target = self.target(does, other, False)
        self.send(who, target, None, self.raw(target.body, reason, None))

    @rule(who=who, other=others, roles=st.sets(st.sampled_from(identity.ROLES), min_size=1),
          status=st.sampled_from([None, "active", "suspended"]), myself=st.booleans())  # fmt: skip
    def change(self, who: int, other: str, roles: set[str], status: str | None, myself: bool) -> None:
        whose = self.hand(who).staff_id if myself else other
        changes = {"roles": sorted(roles), **({"status": status} if status else {})}
        raw = self.raw({"staff_id": whose, **changes}, "as asked", None)
        signature = self.sign(who, "staff.manage", raw)
        if signature is not None:
            answer = self.call(who, "PUT", f"/staff/{whose}", raw, signature.header)
            assert not (myself and answer.status_code == 200)

    @rule(target=tickets, who=who, name=st.sampled_from(["asha", "bela"]))
    def invite(self, who: int, name: str) -> Any:
        body = {"name_id": f"{name}{secrets.token_hex(4)}@example.in", "name": name, "roles": list(identity.ROLES)}
        raw = self.raw(body, "as asked", None)
        signature = self.sign(who, "staff.manage", raw)
        if signature is None:
            return multiple()
        answer = self.call(who, "POST", "/staff", raw, signature.header)
        return answer.json()["ticket"] if answer.status_code == 201 else multiple()

    @rule(who=who, ticket=tickets)
    def enrol_with_anothers_ticket(self, who: int, ticket: str) -> None:
        cookie = self.office.run(self._signed_on(self.hand(who).member.name_id))
        if cookie is None:
            return  # suspended meanwhile, by the other one
        origin = self.office.platform.settings.staff_origin
        headers = {"cookie": f"{SIGN_IN_COOKIE}={cookie}", "origin": origin}
        for_ = self.office.client.post("/staff/enrolment/options", json={"ticket": ticket}, headers=headers)
        answer = self.office.run(for_)
        assert answer.json()["error"]["code"] == "TICKET_INVALID"

    async def _signed_on(self, name_id: str) -> str | None:
        """Go through single sign-on at the built-in identity provider as oneself."""
        platform, now = self.office.platform, datetime.now(UTC)
        async with platform.database.transaction() as db:
            begun = await identity.begin_sign_in(db, keyring=platform.keyring, settings=platform.settings, now=now)
        asked = parse_qs(urlsplit(begun.url).query)
        request_id = identity.development_request(platform.settings, saml_request=asked["SAMLRequest"][0])
        response = identity.development_response(platform.settings, request_id=request_id, name_id=name_id, now=now)
        try:
            async with platform.database.transaction() as db:
                proven = await identity.accept_response(
                    db, keyring=platform.keyring, settings=platform.settings, cookie=begun.cookie, response=response,
                    relay_state=asked["RelayState"][0], now=now,
                )  # fmt: skip
        except identity.NotStaff:
            return None
        return proven.cookie

    @rule(who=who)
    def enrol_another_key(self, who: int) -> None:
        """With a ticket of their own, as after a recovery by two others."""
        person, key = self.hand(who), SoftKey(self.hand(who).key.party)
        enrolled = store.EnrolledKey(
            key_id=ids.new_id("sky"), credential_id=key.credential.credential_id, credential=bytes(key.credential),
            sign_count=0,
        )  # fmt: skip
        self.office.run(self._insert(person, enrolled))
        self.keys[who % self.people].append(key)

    async def _insert(self, person: Member, key: store.EnrolledKey) -> None:
        async with self.office.platform.database.transaction() as db:
            await store.insert_key(db, key, staff_id=person.staff_id, attested_by="test", now=datetime.now(UTC))

    @rule(who=who)
    def sign_in_again(self, who: int) -> None:
        """Another session of the same person, as after fifteen minutes."""
        self.office.run(self._open_session(self.hand(who)))

    async def _open_session(self, person: Member) -> None:
        platform = self.office.platform
        async with platform.database.transaction() as db:
            key_id = await db.fetchval("SELECT key_id FROM staff_key WHERE staff_id = $1 LIMIT 1", person.staff_id)
            issued = await sessions.open_session(
                db, keyring=platform.keyring, member=person.member, key_id=key_id, now=datetime.now(UTC)
            )
        person.session, person.token = issued.session, issued.token
        person.headers = {"authorization": f"Bearer {issued.token}"}

    @rule(who=who, other=others)
    def revoke_a_key(self, who: int, other: str) -> None:
        listed = self.call(who, "GET", "/staff")
        if listed.status_code == 200:
            keys = next(one["keys"] for one in listed.json()["staff"] if one["staff_id"] == other)
            raw = self.raw({"key_id": keys[0]["key_id"]}, "as asked", None)
            self.call(who, "POST", f"/staff/{other}/revoke-key", raw)

    @rule(who=who)
    def roll_back(self, who: int) -> None:
        self.call(who, "POST", "/models/rollback", self.raw({"product": "guard_screen"}, "as asked", None))

    @rule(kept=st.booleans())
    def choose_a_request_id(self, kept: bool) -> None:
        self.request_id = "kept" if kept else None

    # What comes of it

    @invariant()
    def nothing_was_done(self) -> None:
        if not hasattr(self, "version"):
            return
        run, altscore = self.office.run, self.office.altscore
        if run(champion(altscore)) == self.version:
            self.seen.add("promotion")
        if run(erased(altscore, self.shop.retailer_id)):
            self.seen.add("erasure")
        self.done.update(self.seen)
        if self.people == 1:
            assert not self.seen


def played(office: Office, *, people: int, examples: int) -> type[Hands]:
    """Play the machine: the same steps in every run, nothing is minimised."""
    machine = type("Played", (Hands,), {"office": office, "people": people, "done": set(), "steps": 0})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    run_state_machine_as_test(machine, settings=chosen)
    return machine


def test_no_sequence_of_calls_by_one_person_does_what_takes_two(office: Office) -> None:
    machine = played(office, people=1, examples=30)
    assert machine.done == set()
    assert machine.steps > 500


@pytest.mark.long
def test_nor_does_any_of_ten_times_as_many(office: Office) -> None:
    assert played(office, people=1, examples=300).done == set()


def test_two_people_do_all_of_it_by_the_same_calls(office: Office) -> None:
    assert played(office, people=2, examples=15).done == TAKES_TWO
