"""
Generated requests against the Admin API of a running server: no unhandled error, no answer that the document denies.

As ``test_schemathesis`` does for AltScore. Each operation is asked by somebody who has every role, with and without a
session; some of what is generated names what exists, and is signed by the caller's key where that is asked for.
"""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from tests.conftest import new_database
from tests.contracts.test_schemathesis import CHECKS, sized
from tests.served import Served, serving
from tests.staffing import Member, b64, staff_member

from altcredit.api.admin.surface import ROUTES
from altcredit.engine import compliance, grievances, identity, scoring
from altcredit.runtime.platform import Platform

# Fields of a body that say again what its path says.
REPEATED = {"retailer_id": "retailers", "staff_id": "staff"}
OPERATIONS = sorted(route.operation for route in ROUTES)
SIGNED = {
    route.operation: route.permissions[0]
    for route in ROUTES
    if any(header.name == "X-Key-Assertion" for header in route.headers)
}
EMPTY = {route.operation for route in ROUTES if route.method == "GET" and route.asks.__name__ == "Nothing"}


class World:
    """The running server, the person who asks for an operation, and one of everything that operations are about."""

    def __init__(self, served: Served, platform: Platform, authority_pem: str, known: dict[str, str]) -> None:
        self.served, self.platform, self.known = served, platform, known
        self.people: dict[str, Member] = {}
        authority = served.home / "ca.pem"
        authority.write_text(authority_pem)
        self.session = requests.Session()
        self.session.trust_env = False  # or REQUESTS_CA_BUNDLE would replace our authority
        self.session.verify = str(authority)
        document = self.session.get(f"{served.admin_url}/v1/admin/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        self.operations = {one.ok().definition.raw["operationId"]: one.ok() for one in schema.get_all_operations()}
        self.answers: Counter[tuple[str, int]] = Counter()

    def ask(self, case: Case, *, proven: bool) -> None:
        """Send a case and hold the answer against the document."""
        operation = case.operation.definition.raw["operationId"]

        def prove(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers.pop("Authorization", None)
            if proven:
                request.headers.update(self.people[operation].headers)
                if operation in SIGNED and "X-Key-Assertion" in request.headers:
                    request.headers["X-Key-Assertion"] = self.signature(operation, request.body or b"")
            return request

        answer = case.call(
            base_url=self.served.admin_url, session=self.session, verify=self.session.verify, auth=prove, timeout=30
        )
        self.answers[operation, answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    def signature(self, operation: str, body: bytes | str) -> str:
        """Return the person's key's assertion over a body."""
        raw, who = body.encode() if isinstance(body, str) else body, self.people[operation]
        asked = {"action": SIGNED[operation], "request_sha256": hashlib.sha256(raw).hexdigest()}
        options = self.session.post(f"{self.served.admin_url}/v1/staff/assertions", json=asked, headers=who.headers)
        return b64(json.dumps(who.key.sign(options.json())).encode())

    def inform(self, case: Case) -> None:
        """Name what exists in the path, and give a reason."""
        kind = case.operation.path.split("/")[3]
        if isinstance(case.path_parameters, dict) and "id" in case.path_parameters and kind in self.known:
            case.path_parameters["id"] = self.known[kind]
        if isinstance(case.body, dict):
            case.body["reason"] = "as generated"
            case.body |= {name: self.known[kind] for name, kind in REPEATED.items() if name in case.body}
            if "purpose" in case.body and isinstance(case.path_parameters, dict):
                case.path_parameters["purpose"] = case.body["purpose"]


@pytest.fixture(scope="module")
async def world(server: str) -> AsyncIterator[World]:
    async with new_database(server) as dsn, serving(database_url=dsn, log_level="warning") as (served, altscore):
        platform, now = altscore.platform, datetime.now(UTC)
        colleague = await staff_member(platform.database, platform.keyring, "ops", settings=served.settings)
        shop, lender = await altscore.shop(), await altscore.lender()
        given = await altscore.consent(shop, lender.client_id)
        await altscore.score(shop)
        async with altscore.distributor() as feed, platform.database.transaction() as db:
            score = await scoring.latest(db, retailer_id=shop.retailer_id)
            case = await grievances.file(
                db, keyring=platform.keyring, filer=grievances.Party(kind="lender", id=lender.client_id),
                retailer_id=shop.retailer_id, score_id=score["score_id"], grievance_type="other", description="d",
                language="en", now=now,
            )  # fmt: skip
            breach = await compliance.add_breach(
                db, nature="n", severity="low", affected=1, occurred_at=now, aware_at=now, reported_by="test", now=now
            )
        known = {
            "distributors": feed.distributor_id,
            "lenders": lender.client_id,
            "services": (await altscore.service("consent:check")).client_id,
            "partners": (await altscore.partner()).partner_id,
            "consents": given.consent.consent_id,
            "grievances": case.grievance_id,
            "retailers": shop.retailer_id,
            "breaches": breach.breach_id,
            "staff": colleague.staff_id,
        }
        made = World(served, platform, altscore.authority.pem, known)
        yield made
        made.session.close()
        assert served.lines('"event":"bug"') == []


def run(world: World, operation: str, mode: GenerationMode, *, proven: bool, examples: int) -> None:
    strategy = world.operations[operation].as_strategy(generation_mode=mode)

    @sized(examples)
    @given(case=strategy, informed=st.booleans())
    def one(case: Case, informed: bool) -> None:
        if informed and mode is GenerationMode.POSITIVE:
            world.inform(case)
        world.ask(case, proven=proven)

    one()


@pytest.fixture
async def signed_in(world: World, operation: str) -> None:
    """Sign the operation's person in for this test alone: a session lives a quarter of an hour."""
    database, keyring = world.platform.database, world.platform.keyring
    world.people[operation] = await staff_member(database, keyring, *identity.ROLES, settings=world.served.settings)


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_generated_requests_are_answered_as_the_document_says(world: World, operation: str) -> None:
    run(world, operation, GenerationMode.POSITIVE, proven=True, examples=12)
    if operation not in EMPTY:  # they ask for nothing that could be wrong
        run(world, operation, GenerationMode.NEGATIVE, proven=True, examples=12)
    run(world, operation, GenerationMode.POSITIVE, proven=False, examples=3)


@pytest.mark.long
@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_ten_times_as_many(world: World, operation: str) -> None:
    run(world, operation, GenerationMode.POSITIVE, proven=True, examples=200)
    if operation not in EMPTY:
        run(world, operation, GenerationMode.NEGATIVE, proven=True, examples=200)


def test_none_failed_and_every_operation_was_denied_without_a_session(world: World) -> None:
    print(dict(sorted(world.answers.items())))  # noqa: T201 - shown with -rP
    assert not [key for key in world.answers if key[1] >= 500]
    assert {operation for operation, status in world.answers if status == 401} == {*OPERATIONS} - {"readOpenapi"}
    done = {operation for operation, status in world.answers if status < 300}
    assert SIGNED.keys() - {"promoteModel"} <= done  # there is no model to promote
