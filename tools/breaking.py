"""
What a new document of an API or of events breaks for those who use the old one (API-ALTSCORE-001, section 10).

Breaking: an endpoint, method or answer field removed; a field's type changed; a request field or parameter newly
required; an authentication scheme changed; a published limit reduced; a callback, a header of one, or a field of its
body removed, or its type changed; a type of event or a field of one removed, its type or its key changed. Additions are
not. Run it as
``python -m tools.breaking OLD NEW``: it prints one line a break and exits with 1 if there is any.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def breaks(old: Json, new: Json) -> list[str]:
    """Return one sentence for each break, none when ``new`` may replace ``old`` in place."""
    found = list(_events(old.get("$defs", {}), new.get("$defs", {})))
    for path, methods in old.get("paths", {}).items():
        for method, before in methods.items():
            where = f"{method.upper()} {path}"
            after = new["paths"].get(path, {}).get(method)
            if after is None:
                found.append(f"{where}: removed")
            else:
                found += (f"{where}: {problem}" for problem in _operation(before, after, old, new))
    return found


def _operation(before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    if _alternatives(before, old) - _alternatives(after, new):
        yield "authentication changed"
    for name, limit in before.get("x-rate-limits", {}).items():
        if after.get("x-rate-limits", {}).get(name, 0) < limit:
            yield f"limit {name} reduced"
    yield from _parameters(before, after)
    yield from _request(before, after, old, new)
    yield from _callbacks(before, after, old, new)
    for status, response in before["responses"].items():
        if status.startswith("2"):
            if status not in after["responses"]:
                yield f"answer {status} removed"
                continue
            yield from _answer(_schema(response), _schema(after["responses"][status]), old, new, f"answer {status}", ())


def _events(old: Json, new: Json) -> Iterator[str]:
    """Who consumes events relies on what they say as a client relies on an answer."""
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            yield f"event {name} removed"
            continue
        if before["x-key"] != after["x-key"]:
            yield f"event {name} changed its key"
        yield from _answer(before, after, old, new, f"event {name}", ())


def _alternatives(operation: Json, document: Json) -> set[str]:
    schemes = document["components"].get("securitySchemes", {})
    return {
        json.dumps(
            {name: {k: v for k, v in schemes[name].items() if k != "description"} for name in one}, sort_keys=True
        )
        for one in operation.get("security", [])
    }


def _parameters(before: Json, after: Json) -> Iterator[str]:
    known = {(one["in"], one["name"]): one for one in before.get("parameters", [])}
    kept = {(one["in"], one["name"]): one for one in after.get("parameters", [])}
    for key, parameter in kept.items():
        was = known.get(key)
        if parameter.get("required") and not (was or {}).get("required"):
            yield f"parameter {key[1]} is newly required"
        if was is not None and was["schema"].get("type") != parameter["schema"].get("type"):
            yield f"parameter {key[1]} changed its type"
    for key in known.keys() - kept.keys():
        yield f"parameter {key[1]} removed"


def _schema(holder: Json) -> Json:
    return next(iter(holder.get("content", {}).values()), {}).get("schema", {})


def _resolve(schema: Json, document: Json) -> Json:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _request(before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    was, now = (_resolve(_schema(one.get("requestBody", {})), doc) for one, doc in ((before, old), (after, new)))
    for name in set(now.get("required", [])) - set(was.get("required", [])):
        yield f"request field {name} is newly required"
    for name, schema in was.get("properties", {}).items():
        other = now.get("properties", {}).get(name)
        if other is not None and not _types(schema, old) <= _types(other, new):
            yield f"request field {name} changed its type"


def _callbacks(before: Json, after: Json, old: Json, new: Json) -> Iterator[str]:
    """Who receives a callback stands where a client stands with an answer: what it relies on must stay."""
    was, now = (dict(_sent(one.get("callbacks", {}))) for one in (before, after))
    for name, callback in was.items():
        other = now.get(name)
        if other is None:
            yield f"callback {name} removed"
            continue
        headers = [{one["name"] for one in each.get("parameters", [])} for each in (callback, other)]
        yield from (f"callback {name}: header {lost} removed" for lost in sorted(headers[0] - headers[1]))
        bodies = (_schema(callback["requestBody"]), _schema(other["requestBody"]))
        yield from _answer(*bodies, old, new, f"callback {name}", ())


def _sent(callbacks: Json) -> Iterator[tuple[str, Json]]:
    for name, by_url in callbacks.items():
        for methods in by_url.values():
            yield name, methods["post"]


def _answer(was: Json, now: Json, old: Json, new: Json, where: str, seen: tuple[str, ...]) -> Iterator[str]:
    if was.get("$ref") in seen:
        return
    seen = (*seen, was.get("$ref", ""))
    was, now = _resolve(was, old), _resolve(now, new)
    if not _types(now, new) <= _types(was, old):
        yield f"{where} changed its type"
    for name, schema in was.get("properties", {}).items():
        other = now.get("properties", {}).get(name)
        if other is None:
            yield f"{where}.{name} removed"
            continue
        if name in was.get("required", []) and name not in now.get("required", []):
            yield f"{where}.{name} may now be missing"
        yield from _answer(schema, other, old, new, f"{where}.{name}", seen)
    if "items" in was and "items" in now:
        yield from _answer(was["items"], now["items"], old, new, f"{where}[]", seen)


def _types(schema: Json, document: Json) -> set[str]:
    schema = _resolve(schema, document)
    if "anyOf" in schema:
        return set().union(*(_types(one, document) for one in schema["anyOf"]))
    kind = schema.get("type", "any")
    return set(kind) if isinstance(kind, list) else {kind}


def main() -> int:
    old, new = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    found = breaks(old, new)
    print("\n".join(found) if found else "nothing breaks")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
