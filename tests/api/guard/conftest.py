"""GUARD over real HTTPS: the installation of the tests around it, with partners of each test's own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from tests.api.conftest import Installation, installed

from altcredit.engine import delivery, identity

BASE = "/api/partner/credit/cards"
PATH = f"{BASE}/underwritings"
CPF = "39549600017"


def an_application(**changes: Any) -> dict[str, Any]:
    """A complete application, as published; a change to None leaves a field out."""
    srd = {
        "grossIncome": 5200,
        "housingSpends": 1200.5,
        "cardSpends": 600,
        "loanSpends": 0,
        "address": {"street": "Rua A", "number": "10", "complement": "", "city": "São Paulo", "state": "SP"},
        "occupation": "Company Employee",
        "desiredCreditLimit": 2000,
    }
    body = {"customerUuid": "cust-1", "cpf": CPF, "costSavingEnabled": False, "srd": srd, **changes}
    return {name: value for name, value in body.items() if value is not None}


class Partner:
    """A partner's end of the line: its id, its token, and an open connection."""

    def __init__(self, guard: Installation, issued: identity.IssuedPartner, client: httpx2.AsyncClient) -> None:
        self.guard, self.client = guard, client
        self.partner_id, self.token = issued.partner_id, issued.token

    async def ask(self, *, headers: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
        """Request the underwriting of a good applicant, with ``changes`` to the body."""
        return await self.client.post(PATH, json=an_application(**changes), headers=headers)

    async def accepted(self, **changes: Any) -> str:
        """Return the id of a new underwriting."""
        answer = await self.ask(**changes)
        assert answer.status_code == 202, answer.text
        request_id: str = answer.json()["requestId"]
        return request_id

    async def read(self, request_id: str, *, language: str = "en") -> httpx2.Response:
        return await self.client.get(f"{PATH}/{request_id}", headers={"accept-language": language})

    async def concluded(
        self, outcome: str, *, pd: float | None = None, band: int | None = None, limit: int | None = None, reasons: tuple[str, ...] = ()
    ) -> str:  # fmt: skip
        """Return the id of an underwriting that has come to an outcome, as the worker writes it."""
        request_id = await self.accepted()
        async with self.guard.platform.database.transaction() as db:
            await db.execute(
                "UPDATE underwriting SET status = 'finished', started_at = $2, finished_at = $3, outcome = $4, pd = $5,"
                " risk_band = $6, limit_brl = $7, decision = $8::text::jsonb WHERE request_id = $1",
                request_id,
                datetime(2026, 11, 22, 12, 0, 0, 5000, UTC),
                datetime(2026, 11, 22, 12, 0, 9, 999_999, UTC),
                outcome, pd, band, limit,
                json.dumps({"reasons": [{"code": code} for code in reasons]}),
            )  # fmt: skip
        return request_id

    async def called_back(self, request_id: str = "uw_00000000000000aa", *, at: datetime | None = None) -> str:
        """Return the id of a callback that waits to be sent."""
        async with self.guard.platform.database.transaction() as db:
            return await delivery.submit(
                db, keyring=self.guard.platform.keyring, partner_id=self.partner_id, request_id=request_id,
                kind="result", body=b"{}", now=at or datetime.now(UTC),
            )  # fmt: skip


@asynccontextmanager
async def joined(guard: Installation, *addresses: str, **options: Any) -> AsyncIterator[Partner]:
    """Lend a new partner."""
    issued = await guard.partner(*addresses, **options)
    async with guard.client(**{"x-partner-auth": issued.token}) as client:
        yield Partner(guard, issued, client)


@pytest.fixture
async def guard(altscore: Installation) -> Installation:
    """The installation, as GUARD's partners see it."""
    return altscore


@pytest.fixture
async def partner(guard: Installation) -> AsyncIterator[Partner]:
    """Lend a partner."""
    async with joined(guard) as lent:
        yield lent


@pytest.fixture
async def stranger(guard: Installation) -> AsyncIterator[Partner]:
    """Lend another partner."""
    async with joined(guard) as lent:
        yield lent


@pytest.fixture(scope="session")
async def sandbox(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """A sandbox with the delay that it has unless an operator says otherwise."""
    async with installed(server, tmp_path_factory.mktemp("sandbox"), environment="sandbox") as installation:
        yield installation


@pytest.fixture(scope="session")
async def proxied(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """An installation behind a proxy on loopback."""
    home = tmp_path_factory.mktemp("proxied")
    async with installed(server, home, trusted_proxies="127.0.0.0/8, 10.0.0.0/8") as installation:
        yield installation
