"""
Generated requests against GUARD's surface of a running server: no unhandled error, no answer that the document denies.

As ``test_schemathesis`` does for AltScore, with GUARD's document as the server serves it.
"""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from tests.api.guard.conftest import Partner, joined
from tests.conftest import new_database
from tests.contracts.test_schemathesis import CHECKS, sized
from tests.served import Served, serving

from altcredit.api.guard.surface import ROUTES

OPERATIONS = sorted(route.operation for route in ROUTES)


class World:
    """The running server, a partner with a high quota, and an underwriting and a callback of its own."""

    def __init__(self, served: Served, partner: Partner, known: dict[str, Any]) -> None:
        self.served, self.token, self.known = served, partner.token, known
        authority = served.home / "ca.pem"
        authority.write_text(partner.guard.authority.pem)
        self.session = requests.Session()
        self.session.trust_env = False  # or REQUESTS_CA_BUNDLE would replace our authority
        self.session.verify = str(authority)
        document = self.session.get(f"{served.base_url}/api/partner/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        self.operations = {one.ok().definition.raw["operationId"]: one.ok() for one in schema.get_all_operations()}
        self.answers: Counter[tuple[str, int]] = Counter()

    def ask(self, case: Case, *, proven: bool) -> None:
        """Send a case and hold the answer against the document."""

        def prove(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers.pop("X-Partner-Auth", None)
            if proven:
                request.headers["X-Partner-Auth"] = self.token
            return request

        answer = case.call(
            base_url=self.served.base_url, session=self.session, verify=self.session.verify, auth=prove, timeout=30
        )
        self.answers[case.operation.definition.raw["operationId"], answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    def inform(self, case: Case) -> None:
        """Put what is known in place of what was generated."""
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                part.update({name: self.known[name] for name in part.keys() & self.known.keys()})


@pytest.fixture(scope="module")
async def world(server: str) -> AsyncIterator[World]:
    async with (
        new_database(server) as dsn,
        serving(database_url=dsn, log_level="warning") as (served, guard),
        joined(guard, minute_limit=10_000_000) as partner,
    ):
        request_id = await partner.concluded("filtered")
        known = {
            "requestId": request_id,
            "id": await partner.called_back(request_id),
            "cpf": "39549600017",
            "since": datetime.now(UTC).isoformat(),
            "customerUuid": "cust-1",
        }
        made = World(served, partner, known)
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


@pytest.mark.parametrize("operation", OPERATIONS)
def test_generated_requests_are_answered_as_the_document_says(world: World, operation: str) -> None:
    run(world, operation, GenerationMode.POSITIVE, proven=True, examples=100)
    if operation != "readOpenapi":  # it asks for nothing that could be wrong
        run(world, operation, GenerationMode.NEGATIVE, proven=True, examples=100)
    run(world, operation, GenerationMode.POSITIVE, proven=False, examples=30)


@pytest.mark.long
@pytest.mark.parametrize("operation", OPERATIONS)
def test_ten_times_as_many(world: World, operation: str) -> None:
    run(world, operation, GenerationMode.POSITIVE, proven=True, examples=1_000)
    if operation != "readOpenapi":
        run(world, operation, GenerationMode.NEGATIVE, proven=True, examples=1_000)


def test_every_operation_was_reached_and_none_failed(world: World) -> None:
    print(dict(sorted(world.answers.items())))  # noqa: T201 - shown with -rP
    assert {operation for operation, status in world.answers if status in (200, 202)} == set(OPERATIONS)
    assert not [key for key in world.answers if key[1] >= 500]
    assert {operation for operation, status in world.answers if status == 401} == {*OPERATIONS} - {"readOpenapi"}
