"""
Thousands of generated requests against the running server: no unhandled error, no answer that the document denies.

The document is the one that the server serves. Every operation is asked with valid credentials (a batch is signed over
the very bytes that are sent), with data that fit the document and data that do not, and without credentials; then the
document's links are followed, each answer's ids being asked for next.
"""

import hashlib
import hmac
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.api.conftest import PURPOSE, Feed, a_standing
from tests.conftest import new_database
from tests.journeys.books import bills, period
from tests.served import Served, serving

from altcredit.api.altscore.surface import document
from altcredit.engine import identity, messaging
from altcredit.runtime.tokens import Claims

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATIONS = sorted(
    operation.ok().definition.raw["operationId"]
    for operation in schemathesis.openapi.from_dict(json.loads(document())).get_all_operations()
)
LENDERS = {"readScore", "readHistory", "lookUpRetailer", "readReceipt", "fileGrievance", "readGrievance"}
SERVICES = {"grantConsent", "revokeConsent", "checkConsent", "showConsent", "inviteToConsent"}
LEAVING = {"eraseOwnData", "signOutRetailer"}  # by a retailer of whom nothing else is asked
OWN = {one for one in OPERATIONS if "Own" in one} | LEAVING
# Codes reach a phone only, and a notice goes to a phone that a distributor knows: journeys show these two.
NEEDS_A_PHONE = {"signInRetailer", "inviteToConsent"}
LINKS = 7  # of 8: the five grievances that may be filed a day are used up before links are followed
TODAY = datetime.now(UTC).date()
FEWEST = 5_000


class World:
    """The running server, clients with high quotas, and a shop about which there is something to say."""

    def __init__(self, served: Served, schema: Any, known: dict[str, Any]) -> None:
        self.served, self.schema, self.known = served, schema, known
        self.operations = {one.ok().definition.raw["operationId"]: one.ok() for one in schema.get_all_operations()}
        self.session = requests.Session()
        self.session.trust_env = False  # or REQUESTS_CA_BUNDLE would replace our authority
        self.session.verify = str(served.home / "ca.pem")
        self.session.cert = (str(served.home / "client.pem"), str(served.home / "client.pem"))
        self.tokens: dict[str, dict[str, str]] = {}
        self.secret, self.api_key = "", ""
        self.account = messaging.Account.of(served.settings)
        self.answers: Counter[tuple[str, int]] = Counter()

    def sign_in(self, kind: str, issued: identity.IssuedClient) -> None:
        body = {"client_id": issued.client_id, "client_secret": issued.client_secret}
        answer = self.session.post(f"{self.served.base_url}/v1/auth/token", json=body)
        token = answer.json()["access_token"]
        self.tokens[kind] = {"Authorization": f"Bearer {token}", "X-Client-ID": issued.client_id}

    def proof(self, operation: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
        """Return what puts an operation's valid credentials on a request that is otherwise ready to be sent."""
        callers = {"lender": LENDERS, "service": SERVICES, "leaving": LEAVING, "retailer": OWN - LEAVING}

        def prove(request: requests.PreparedRequest) -> requests.PreparedRequest:
            raw = request.body or b""
            raw = raw.encode() if isinstance(raw, str) else raw
            for caller, operations in callers.items():
                if operation in operations:
                    request.headers.update(self.tokens[caller])
            if operation in ("submitBatch", "readBatch"):
                request.headers["X-API-Key"] = self.api_key
            if operation == "submitBatch":
                self.sign_batch(request, raw)
            elif operation == "receiveWhatsappWebhook":
                signature = hmac.new(self.account.app_secret.encode(), raw, hashlib.sha256).hexdigest()
                request.headers["X-Hub-Signature-256"] = f"sha256={signature}"
            return request

        return prove

    def sign_batch(self, request: requests.PreparedRequest, raw: bytes) -> None:
        request.headers["X-Payload-Signature"] = self.signed(raw)
        if "X-Payload-Signature-V2" in request.headers:
            sent = int(datetime.now(UTC).timestamp())
            batch_id = str(request.headers.get("X-Batch-ID", ""))
            v2 = self.signed(f"{sent}.{batch_id}.".encode() + raw)
            request.headers["X-Payload-Signature-V2"] = f"t={sent},v2={v2}"

    def signed(self, message: bytes) -> str:
        return hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()

    def filed(self, shop: Any) -> str:
        """File a grievance as the lender; return its id."""
        body = {
            "retailer_id": shop.retailer_id, "score_id": self.known["score_id"], "grievance_type": "other",
            "description": "x", "contact_phone_hash": shop.phone_hash,
        }  # fmt: skip
        answer = self.session.post(f"{self.served.base_url}/v1/grievances", json=body, headers=self.tokens["lender"])
        assert answer.status_code == 200, answer.text
        grievance_id: str = answer.json()["grievance_id"]
        return grievance_id

    def ask(self, case: Case, *, proven: bool) -> None:
        """Send a case and hold the answer against the document."""
        operation = case.operation.definition.raw["operationId"]
        answer = case.call(**self.means(self.proof(operation) if proven else no_proof))
        self.hold(case, answer)

    def hold(self, case: Case, answer: Any) -> None:
        """Hold an answer against the document, and count it."""
        self.answers[case.operation.definition.raw["operationId"], answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    def means(self, auth: Any) -> dict[str, Any]:
        """Return what a case is sent with; schemathesis would otherwise replace the session's authority."""
        return {
            "base_url": self.served.base_url,
            "session": self.session,
            "verify": self.session.verify,
            "auth": auth,
            "timeout": 30,
        }

    def inform(self, case: Case, *names: str) -> None:
        """Put what is known in place of what was generated, in all that a case has or in some fields."""
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                for name in part.keys() & (set(names) or self.known.keys()):
                    part[name] = self.known[name]


def own_token(altscore: Any, retailer_id: str) -> dict[str, str]:
    """Return the header of a retailer who has signed in."""
    now, signing = datetime.now(UTC), altscore.platform.signing
    claims = Claims(
        sub=retailer_id, iss=signing.issuer, iat=int(now.timestamp()), exp=int(now.timestamp()) + 900,
        jti=uuid.uuid4().hex, kind=messaging.TOKEN_KIND,
    )  # fmt: skip
    return {"Authorization": f"Bearer {signing.issue_token(claims)}"}


def no_proof(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


@pytest.fixture(scope="module")
async def world(server: str) -> AsyncIterator[World]:
    async with new_database(server) as dsn, serving(database_url=dsn, log_level="warning") as (served, altscore):
        async with altscore.distributor(batches_per_hour=10_000_000) as feed:
            shop = await _shop(altscore, feed)
            lender = await altscore.lender(minute=10_000_000, day=100_000_000)
            service = await altscore.service("consent:grant", "consent:check", "consent:revoke")
            await altscore.consent(shop, lender.client_id)
            leaving = await altscore.shop()
            ended = await altscore.consent(shop, lender.client_id, purpose="other_purpose")
            await altscore.score(shop)
            current = "SELECT score_id FROM current_score WHERE retailer_id = $1"
            score_id = await altscore.platform.database.reads.fetchval(current, shop.retailer_id)
        (served.home / "ca.pem").write_text(altscore.authority.pem)
        certificate = feed.issued.certificate
        (served.home / "client.pem").write_text(certificate.pem + (certificate.key_pem or ""))
        known = {
            "retailer_id": shop.retailer_id,
            "score_id": score_id,
            "purpose": PURPOSE,
            "gst": shop.gstin,
            "months": 6,
            "retailer_phone_hash": shop.phone_hash,
            "distributor_id": feed.distributor_id,
            "lender_scope": [lender.client_id],
            "lender_id": lender.client_id,
            "consent_id": ended.consent.consent_id,
            "batch_id": "bat_unknown",
            "client_id": lender.client_id,
            "client_secret": lender.client_secret,
            "retailer_ref": None,
            **period(TODAY - timedelta(days=30), TODAY),
        }
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{served.base_url}/v1/openapi.json", verify=str(served.home / "ca.pem"))
        made = World(served, schemathesis.openapi.from_dict(answer.json()), known)
        made.secret, made.api_key = feed.issued.signing_secret, feed.issued.api_key
        made.sign_in("lender", lender)
        made.sign_in("service", service)
        made.tokens["retailer"] = own_token(altscore, shop.retailer_id)
        made.tokens["leaving"] = own_token(altscore, leaving.retailer_id)
        made.known |= {
            "hub.mode": "subscribe",
            "hub.verify_token": made.account.verify_token,
            "contact_phone_hash": shop.phone_hash,
            "grievance_id": made.filed(shop),
        }
        yield made
        made.session.close()
        assert served.lines('"event":"bug"') == []


async def _shop(altscore: Any, feed: Feed) -> Any:
    """Make a shop known by a batch, as all shops are."""
    shop = await altscore.shop()
    ref = {"retailer_gst": shop.gstin}
    sent = await feed.send(
        invoices=bills(ref, first=TODAY - timedelta(days=90), weeks=12),
        retailers=[{**ref, "retailer_phone_hash": shop.phone_hash}],
    )
    assert sent.json()["quarantined"] == 0
    assert a_standing(shop).retailer_id == shop.retailer_id
    return shop


def sized(examples: int, *, steps: int = 50) -> hypothesis.settings:
    """The same cases in every run; nothing is minimised, a failure shows the request as it was."""
    return hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )


def run(world: World, operation: str, mode: GenerationMode, *, proven: bool, examples: int) -> None:
    """Ask an operation with generated data; where they fit the document, half of them name what exists."""
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
    run(world, operation, GenerationMode.NEGATIVE, proven=True, examples=100)
    run(world, operation, GenerationMode.POSITIVE, proven=False, examples=50)


@pytest.mark.long
@pytest.mark.parametrize("operation", OPERATIONS)
def test_ten_times_as_many(world: World, operation: str) -> None:
    run(world, operation, GenerationMode.POSITIVE, proven=True, examples=1_600)
    run(world, operation, GenerationMode.NEGATIVE, proven=True, examples=1_600)
    run(world, operation, GenerationMode.POSITIVE, proven=False, examples=800)


def prepared(world: World, case: Case) -> None:
    """Let a link's first step succeed where it can, and no step be the repetition of another."""
    operation = case.operation.definition.raw["operationId"]
    if operation in ("grantConsent", "readScore", "lookUpRetailer", "submitBatch", "revokeConsent", "fileGrievance"):
        world.inform(case)
    elif operation == "checkConsent":
        world.inform(case, "lender_id")
    case.headers.update({name: str(uuid.uuid4()) for name in ("X-Request-ID", "X-Batch-ID") if name in case.headers})


def machine(world: World, followed: Counter[str]) -> Any:
    """Return the state machine of the document's links, which counts the links that led to an answer."""
    # Its quota makes equal requests end differently, which a machine that replays steps takes for its own fault.
    linked = world.schema.exclude(operation_id="issueToken")

    class Machine(linked.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Case) -> None:
            prepared(world, case)

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return world.means(world.proof(case.operation.definition.raw["operationId"]))

        def validate_response(self, response: Any, case: Case, **_: Any) -> None:
            world.hold(case, response)

        def step(self, input: StepInput) -> StepOutput:  # noqa: A002 - schemathesis' own signature
            output = super().step(input)
            if input.transition is not None and output.response.status_code == 200:
                followed[input.transition.id] += 1
            return output

    return Machine


def test_answers_lead_on_as_the_documents_links_say(world: World) -> None:
    followed: Counter[str] = Counter()
    machine(world, followed).run(settings=sized(40, steps=10))
    print(dict(followed))  # noqa: T201 - shown with -rP
    assert len(followed) == LINKS


def test_the_cases_were_enough_and_reached_every_operation(world: World) -> None:
    asked = sum(world.answers.values())
    print(f"{asked} cases: {dict(sorted(world.answers.items()))}")  # noqa: T201 - shown with -rP
    assert asked >= FEWEST
    reached = {operation for operation, status in world.answers if status in (200, 202)}
    assert reached | NEEDS_A_PHONE == set(OPERATIONS)
    assert not [key for key in world.answers if key[1] >= 500]
