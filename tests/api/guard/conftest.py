"""GUARD over real HTTPS: the installation of the tests around it, with partners of each test's own."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.api.conftest import Installation

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


@pytest.fixture
async def guard(altscore: Installation) -> Installation:
    """The installation, as GUARD's partners see it."""
    return altscore


@pytest.fixture
async def partner(guard: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    """Lend a partner's client."""
    issued = await guard.partner()
    async with guard.client(**{"x-partner-auth": issued.token}) as client:
        yield client
