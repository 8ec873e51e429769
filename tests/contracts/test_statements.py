"""Every SQL statement of the product is prepared against the migrated schema, and the hot ones are explained."""

import ast
import importlib
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.conftest import new_database

import altcredit
from altcredit.engine.identity import store as identity
from altcredit.engine.scoring import store as scoring
from altcredit.runtime.db import Database

_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
_HOLDERS = ("store", "ledgers", "sealed", "outbox", "jobs", "quotas", "idempotency", "signing")


def _statements() -> Iterator[tuple[str, str]]:
    for module in pkgutil.walk_packages(altcredit.__path__, "altcredit."):
        if module.name.rsplit(".", 1)[-1] in _HOLDERS:
            loaded = importlib.import_module(module.name)
            for name, value in vars(loaded).items():
                if name.isupper() and not name.startswith("_") and isinstance(value, str) and _SQL.match(value):
                    yield f"{module.name}.{name}", value


STATEMENTS = dict(_statements())


@pytest.fixture(scope="module")
async def schema(server: str) -> AsyncIterator[Database]:
    """One database for all statements: preparing one changes nothing."""
    async with new_database(server) as dsn:
        pools = await Database.connect(dsn, connections=4)
        yield pools
        await pools.close()


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_fits_the_schema(name: str, schema: Database) -> None:
    async with schema.transaction() as db:
        await db.prepare(STATEMENTS[name])


def test_no_statement_hides_outside_the_modules_that_hold_sql() -> None:
    strays = []
    for module in pkgutil.walk_packages(altcredit.__path__, "altcredit."):
        last = module.name.rsplit(".", 1)[-1]
        spec = module.module_finder.find_spec(module.name, None)  # type: ignore[call-arg]
        if (
            last in (*_HOLDERS, "schema", "doctor", "backup")
            or any(f".{room}." in module.name for room in ("migrations", "pipeline"))
            or spec is None
            or not spec.origin
        ):
            continue
        with open(spec.origin, encoding="utf-8") as source:
            tree = ast.parse(source.read())
        strays += [
            f"{module.name}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.match(r"\s*(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b", node.value)
        ]
    assert strays == []


HOT = {
    "READ": (scoring.READ, "'l','j',now(),now(),'\\x00',now(),'r','ret_0','p','2026-01-01'"),
    "READ_HISTORY": (scoring.READ_HISTORY, "'l','j',now(),now(),'\\x00',now(),'r','ret_0',6"),
    "LOOK_UP": (scoring.LOOK_UP, "'l','j',now(),now(),'\\x00',now(),'r','x'"),
    "PARTNER_BY_TOKEN": (identity.PARTNER_BY_TOKEN, "'\\x00','192.0.2.1',now()"),
}


@pytest.mark.parametrize("name", HOT)
async def test_a_read_scans_no_table(name: str, database: Database) -> None:
    statement, arguments = HOT[name]
    async with database.transaction() as db:
        await db.execute("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan")
        await db.execute(f"PREPARE hot AS {statement}")
        plan = "\n".join(row[0] for row in await db.fetch(f"EXPLAIN EXECUTE hot({arguments})"))
    assert "Seq Scan" not in plan, plan
