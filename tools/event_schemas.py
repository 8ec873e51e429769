"""
Print spec/events.json from the declared facts: ``python -m tools.event_schemas > spec/events.json``.

One JSON Schema a type of event, of the CloudEvent 1.0 in its JSON form, whose attributes a Kafka message carries as
``ce_…`` headers.
"""

import json
import sys
from typing import Any

import msgspec

# Loading a capability declares its facts; tests/contracts/test_events.py knows if one is missing here.
from altcredit.engine import compliance, consent, grievances, ingestion, registry, retailers, scoring
from altcredit.runtime.outbox import Fact

CAPABILITIES = (compliance, consent, grievances, ingestion, registry, retailers, scoring)

_ATTRIBUTES: dict[str, Any] = {
    "specversion": {"const": "1.0"},
    "id": {"type": "string", "pattern": "^evt_[0-9a-f]{16}$", "description": "What tells events that come twice."},
    "source": {"type": "string", "format": "uri-reference", "description": "The installation: `ALTCREDIT_ISSUER`."},
    "time": {"type": "string", "format": "date-time", "description": "When it happened."},
    "datacontenttype": {"const": "application/json"},
}


def facts(kind: type[Fact] = Fact) -> list[type[Fact]]:
    """Return the product's declared facts, in order of their types."""
    found: list[type[Fact]] = []
    for one in kind.__subclasses__():
        found += [*([one] if hasattr(one, "TYPE") and one.__module__.startswith("altcredit.") else []), *facts(one)]
    return sorted(found, key=lambda one: one.TYPE)


def schema(fact: type[Fact]) -> dict[str, Any]:
    """Return the JSON Schema of one type of event."""
    made = msgspec.json.schema(fact)
    (data,) = made["$defs"].values()  # facts are flat: nothing else is defined
    description = data.pop("description")
    del data["title"]
    properties = {
        **_ATTRIBUTES,
        "type": {"const": fact.TYPE},
        "partitionkey": {
            "type": "string",
            "description": "The message's key: the field of the data that `x-key` names.",
        },
        "data": data,
    }
    return {
        "title": fact.TYPE,
        "description": description,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "x-key": fact.KEY,
    }


def document() -> bytes:
    """Return the whole of spec/events.json."""
    kinds = {one.TYPE: schema(one) for one in facts()}
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of AltCredit",
        "description": "CloudEvents 1.0, at least once, in order for each key. New types and new fields may come.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
        "$defs": kinds,
    }
    return json.dumps(made, indent=2, ensure_ascii=False).encode() + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(document())
