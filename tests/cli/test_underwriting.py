"""The commands around what GUARD keeps, as an operator types them."""

import asyncio
import io
import json
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from tests.engine.underwriting.applicants import decided

from altcredit.cli import app
from altcredit.engine import identity, underwriting
from altcredit.runtime.platform import opened
from altcredit.runtime.settings import load
from altcredit.simulator.applicants import Applicant, applicant, cpfs

NOW = datetime.now(UTC).replace(hour=12)
PEOPLE = [applicant(cpf, seed=0) for cpf in islice(cpfs(0), 40)]
CPF = PEOPLE[0].cpf


@pytest.fixture
def granted(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grant cards over the last years; return the applications' ids, in the order of ``PEOPLE``."""
    monkeypatch.setenv("ALTCREDIT_HOME", str(tmp_path))
    monkeypatch.setenv("ALTCREDIT_DATABASE_URL", database_url)

    async def grant() -> list[str]:
        async with opened(load({"ALTCREDIT_HOME": str(tmp_path)}), database_url) as platform:
            keyring = platform.keyring
            async with platform.database.transaction() as db:
                partner = await identity.add_partner(
                    db, keyring=keyring, name="P", addresses=["127.0.0.0/8"], minute_limit=10, actor="test", now=NOW
                )
                found = []
                for number, person in enumerate(PEOPLE):
                    found.append(
                        await underwriting.accept(
                            db,
                            keyring=keyring,
                            partner_id=partner.partner_id,
                            application=person.application(customer_uuid=f"c-{number}"),
                            environment="development",
                            sandbox_delay=timedelta(),
                            now=booked(number) - timedelta(days=5),
                        )
                    )
            cases = await underwriting.begin(platform.database, keyring=keyring, request_ids=found, now=NOW)
            conclusions = [
                underwriting.Conclusion(
                    case=cases[one], decision=decided(read(person), 0.02), cost_centavos=5, features=read(person)
                )
                for one, person in zip(found, PEOPLE, strict=True)
            ]
            async with platform.database.transaction() as db:
                await underwriting.conclude(db, keyring=keyring, conclusions=conclusions, now=NOW)
            return found

    return asyncio.run(grant())


def booked(number: int) -> datetime:
    return NOW - timedelta(days=200 + 30 * number)


def read(person: Applicant) -> dict[str, float | None]:
    application = person.application(customer_uuid="c")
    features = underwriting.features(application, person.answers(person.subject()), today=NOW.date())
    return features | {"supported_income_brl": 4000.0, "debt_service_brl": 0.0, "desired_limit_brl": 1000.0}


def altcredit(*arguments: object) -> int:
    return app.main([str(one) for one in arguments], {}, lambda _: b"")


def test_outcomes_are_imported_shown_where_they_are_not_and_learnt_from(
    granted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f"{one},{booked(number).date()},{NOW.date()},{120 if number % 4 == 0 else 3}"
        for number, one in enumerate(granted)
    ]
    file = tmp_path / "outcomes.csv"
    file.write_text("\n".join(["request_id,booked_on,observed_on,max_dpd_12m", *lines, "uw_0,2025-01-01,2025-02-01,0"]))
    assert altcredit("underwriting", "outcomes", file, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    mature = sum(booked(number).date() + timedelta(days=365) <= NOW.date() for number in range(len(granted)))
    assert (found["recorded"], found["mature"]) == (40, mature)
    assert found["quarantined"] == [{"line": 42, "request_id": "uw_0", "problem": "there is no such application"}]

    assert altcredit("train", "--product", "guard", "--json") == 0
    learnt = json.loads(capsys.readouterr().out)
    # Too few bad cards for trees to prove anything: the scorecard is registered, read against this portfolio.
    assert [(one["product"], one["kind"], one["rows"]) for one in learnt] == [
        ("guard", "expert", mature),
        ("guard_screen", "expert", mature),
    ]


@pytest.mark.parametrize("content", [None, b"\xff", b"a,b\n1,2\n"])
def test_a_file_that_holds_no_outcomes_is_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    if content is not None:
        file.write_bytes(content)
    assert altcredit("underwriting", "outcomes", file) == app.REFUSED


def test_a_persons_file_is_shown_and_erased_by_a_cpf_that_is_on_no_command_line(
    granted: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{CPF[:3]}.{CPF[3:6]}.{CPF[6:9]}-{CPF[9:]}\n"))
    assert altcredit("underwriting", "export", "--cpf-from-stdin") == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["request_id"], shown["request"]["cpf"]) == (granted[0], CPF)
    assert altcredit("underwriting", "export", granted[1]) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(CPF))
    assert altcredit("underwriting", "erase", "--cpf-from-stdin", "--person", "rui", "--note", "asked for it") == 0
    assert granted[0] in capsys.readouterr().err
    assert altcredit("underwriting", "export", granted[0]) == app.REFUSED
    monkeypatch.setattr(sys, "stdin", io.StringIO(CPF))
    assert altcredit("underwriting", "erase", "--cpf-from-stdin", "--person", "rui", "--note", "again") == app.REFUSED


@pytest.mark.parametrize("arguments", [(), ("uw_1", "--cpf-from-stdin"), ("--cpf-from-stdin",)])
def test_it_must_be_clear_whose_file_is_meant(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("12345678901\n"))
    assert altcredit("underwriting", "export", *arguments) == app.REFUSED
