"""The published events: every type that the code can say, current, and never broken for those who consume them."""

import copy
import importlib
import json
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from tests.happening import DOCUMENT, KINDS, problems
from tools import event_schemas
from tools.breaking import breaks

from altcredit import engine
from altcredit.runtime.outbox import Fact
from altcredit.subscriptions import SUBSCRIPTIONS

ROOT = Path(__file__).parents[2]


def test_the_committed_document_is_what_the_code_declares() -> None:
    assert (ROOT / "spec" / "events.json").read_bytes() == event_schemas.document(), "run `make spec`"


def test_every_declared_fact_is_published() -> None:
    for module in pkgutil.walk_packages(engine.__path__, "altcredit.engine."):
        importlib.import_module(module.name)
    assert [fact.TYPE for fact in event_schemas.facts()] == list(KINDS), "tools/event_schemas.py misses a capability"


def test_every_schema_is_one() -> None:
    for validator in KINDS.values():
        Draft202012Validator.check_schema(validator.schema)


@pytest.mark.parametrize("fact", event_schemas.facts(), ids=lambda fact: fact.TYPE)
def test_facts_are_flat_and_have_the_key_they_are_ordered_by(fact: type[Fact]) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(fact)}
    assert fields[fact.KEY].type is str
    assert all("$ref" not in json.dumps(shown) for shown in _data(DOCUMENT, fact.TYPE)["properties"].values())
    assert fact.__doc__


def test_only_published_types_are_reacted_to() -> None:
    assert SUBSCRIPTIONS.keys() <= KINDS.keys()


def test_the_page_lists_every_type_with_its_key() -> None:
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| `([a-z_]+)` \|", page, re.MULTILINE))
    assert rows == {fact.TYPE: fact.KEY for fact in event_schemas.facts()}


def test_what_is_undeclared_or_malformed_is_found() -> None:
    event = {
        "specversion": "1.0",
        "id": "evt_0123456789abcdef",
        "source": "altscore.in",
        "type": "retailer.linked",
        "time": "2026-11-22T09:30:00+00:00",
        "datacontenttype": "application/json",
        "partitionkey": "ret_1",
        "data": {"retailer_id": "ret_1"},
    }
    assert problems(event) == []
    for change in ({"data": {}}, {"data": {"retailer_id": "ret_1", "gstin": "x"}}, {"id": "1"}, {"time": "today"}):
        assert problems(event | change), change


def _data(document: Any, name: str) -> Any:
    return document["$defs"][name]["properties"]["data"]


def _drop(document: Any) -> None:
    del document["$defs"]["score.updated"]


def _drop_field(document: Any) -> None:
    del _data(document, "consent.granted")["properties"]["lenders"]


def _retype_field(document: Any) -> None:
    _data(document, "batch.accepted")["properties"]["accepted"]["type"] = "string"


def _loosen_field(document: Any) -> None:
    _data(document, "breach.overdue")["required"].remove("notify_by")


def _rekey(document: Any) -> None:
    document["$defs"]["consent.revoked"]["x-key"] = "consent_id"


@pytest.mark.parametrize("change", [_drop, _drop_field, _retype_field, _loosen_field, _rekey])
def test_what_breaks_consumers_is_found(change: Callable[[Any], None]) -> None:
    changed = copy.deepcopy(DOCUMENT)
    change(changed)
    assert len(breaks(DOCUMENT, changed)) == 1


def test_an_addition_breaks_nobody() -> None:
    changed = copy.deepcopy(DOCUMENT)
    changed["$defs"]["thing.happened"] = copy.deepcopy(changed["$defs"]["score.updated"])
    _data(changed, "score.updated")["properties"]["note"] = {"type": "string"}
    assert breaks(DOCUMENT, changed) == []
