"""GUARD API, Sandbox (contract U8): when the answer comes. What it is: tests/journeys/test_guard_sandbox.py."""

import pytest
from tests.api.conftest import Installation
from tests.api.guard.conftest import joined

from altcredit.engine.underwriting import PUBLISHED, examples

SLOW = next(cpfs[0] for one, cpfs in examples(1) if one.name == "slow source")
DELAY = """
SELECT extract(epoch FROM execute_after - created)::float FROM pgqueuer
WHERE entrypoint = 'underwriting.run' AND convert_from(payload, 'UTF8') LIKE '%' || $1 || '%'
"""


@pytest.mark.parametrize(("cpf", "seconds"), [*((cpf, 10) for cpf in PUBLISHED), (SLOW, 60)])
async def test_an_answer_takes_about_ten_seconds_and_a_slow_one_a_minute(
    sandbox: Installation, cpf: str, seconds: int
) -> None:
    async with joined(sandbox) as partner:
        request_id = await partner.accepted(cpf=cpf, costSavingEnabled=True)
        delay = await sandbox.platform.database.reads.fetchval(DELAY, request_id)
    assert delay == pytest.approx(seconds, abs=0.5)


async def test_elsewhere_nobody_waits(guard: Installation) -> None:
    async with joined(guard) as partner:
        request_id = await partner.accepted()
        assert await guard.platform.database.reads.fetchval(DELAY, request_id) == pytest.approx(0, abs=0.5)
