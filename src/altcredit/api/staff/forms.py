"""Forms and queries of pages: fields that must be there, once."""

from urllib.parse import parse_qsl

from altcredit.api.contract import Call
from altcredit.runtime.refusal import Refusal


class FormMalformed(Refusal):
    """A field is missing, or there twice."""


def form(call: Call, *names: str) -> list[str]:
    """Return the named fields of a posted form. Raises FormMalformed."""
    return _fields(call.body, names)


def query(call: Call, *names: str) -> list[str]:
    """Return the named parameters of the query. Raises FormMalformed."""
    return _fields(call.query, names)


def _fields(content: bytes, names: tuple[str, ...]) -> list[str]:
    try:
        pairs = parse_qsl(content.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=10)
    except ValueError as error:
        raise FormMalformed from error
    values = {name: [value for key, value in pairs if key == name] for name in names}
    if any(len(found) != 1 for found in values.values()):
        raise FormMalformed
    return [values[name][0] for name in names]
