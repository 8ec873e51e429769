"""Events in tests: facts that only tests know, and whether what was published is what spec/events.json publishes."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
from jsonschema import Draft202012Validator, FormatChecker

from altcredit.runtime.outbox import Fact

DOCUMENT = json.loads((Path(__file__).parents[1] / "spec" / "events.json").read_bytes())
FORMATS = FormatChecker(())
KINDS = {name: Draft202012Validator(schema, format_checker=FORMATS) for name, schema in DOCUMENT["$defs"].items()}
_LEFT = "SELECT event_id, type, key, data::text AS data, created_at FROM outbox WHERE type = ANY($1) ORDER BY id"


class Happened(Fact, frozen=True, kw_only=True):
    """Something that the product never says."""

    TYPE: ClassVar = "thing.happened"
    KEY: ClassVar = "what"

    what: str
    n: int = 0


@FORMATS.checks("date-time", raises=ValueError)
def _has_zone(value: Any) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def problems(event: dict[str, Any]) -> list[str]:
    """Return in which ways a CloudEvent in its JSON form differs from the schema of its type, undeclared fields too."""
    validator = KINDS[event["type"]]
    found = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(event)]
    declared = validator.schema["properties"]["data"]["properties"]
    return found + [f"$.data.{name}: undeclared" for name in event["data"] if name not in declared]


async def require_conforming(dsn: str) -> None:
    """Fail on the first event in the outbox that is not as published. What only tests say is left aside."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(_LEFT, list(KINDS))
    finally:
        await connection.close()
    for row in rows:
        event = {
            "specversion": "1.0",
            "id": row["event_id"],
            "type": row["type"],
            "source": "altscore.in",
            "time": row["created_at"].astimezone(UTC).isoformat(),
            "datacontenttype": "application/json",
            "partitionkey": row["key"],
            "data": json.loads(row["data"]),
        }
        assert problems(event) == [], event
        assert event["data"][KINDS[row["type"]].schema["x-key"]] == row["key"], event
