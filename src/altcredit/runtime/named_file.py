"""A file that a setting names, read once a process."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from altcredit.runtime.refusal import Refusal

Value = TypeVar("Value")


def read_as(name: str, parse: Callable[[str], Value], *, invalid: type[Refusal]) -> Value:
    """
    Return what a text file (UTF-8) holds; a change to it counts from the next start on.

    :param parse: reads the text, and raises ``invalid`` where it cannot.
    :raises Refusal: as ``invalid``, naming the file: it cannot be read, is not UTF-8, or cannot be parsed.
    """
    return cast(Value, _read(name, parse, invalid))  # type: ignore[arg-type]  # mypy sees the hash of instances


@lru_cache
def _read(name: str, parse: Callable[[str], object], invalid: type[Refusal]) -> object:
    path = Path(name).expanduser()
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise invalid(f"{path}: cannot be read ({error.strerror})") from error
    except (invalid, UnicodeDecodeError) as error:
        raise invalid(f"{path}: {error}") from error
