"""Reading Tally's XML as a stream: vouchers and masters one by one, whatever their encoding and however ill-formed.

Real exports hold control characters, references to them (``&#4;``) and bare ampersands, and come as UTF-8, UTF-16 with
or without a byte order mark, or the ANSI code page. A file of any size needs the memory of its largest voucher.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

OBJECTS = ("VOUCHER", "LEDGER", "VOUCHERTYPE", "COMPANY")
CHUNK = 1 << 16
MAX_DEPTH = 200
MAX_NODES = 200_000
"""Elements in one voucher; a bill with more than this is no bill."""

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_REFERENCE = re.compile(r"&(?:#(?P<dec>\d{1,7});|#[xX](?P<hex>[0-9a-fA-F]{1,6});|(?P<name>amp|lt|gt|quot|apos);)?")
_LONGEST_REFERENCE = 12


class TallyXmlError(Exception):
    """The answer or file is no XML that Tally writes."""


@dataclass(slots=True)
class Node:
    """An element: attributes, text and children, by name in capitals as Tally writes them."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    def get(self, name: str) -> str:
        """Return the text of the first child of that name, or an empty string."""
        return next((child.text.strip() for child in self.children if child.name == name), "")

    def all(self, name: str) -> list["Node"]:
        """Return the children of that name that are not empty."""
        return [child for child in self.children if child.name == name and child.children]

    def yes(self, name: str) -> bool:
        """Tell whether a Yes/No field says Yes."""
        return self.get(name).lower() == "yes"


def _code_page(error: UnicodeError) -> tuple[str, int]:
    """Read bytes that are not UTF-8 as the ANSI code page of a Windows computer."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("altcredit-code-page", _code_page)


def _encoding(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if start[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if start[:1] == b"\0" else "utf-8"


def _repair(text: str) -> str:
    """Make well-formed what Tally does not: drop what XML cannot say, escape ampersands that refer to nothing."""

    def mend(found: re.Match[str]) -> str:
        number = int(found["dec"]) if found["dec"] else int(found["hex"], 16) if found["hex"] else None
        if number is not None:
            legal = number in (9, 10, 13) or 32 <= number < 0xD800 or 0xE000 <= number < 0xFFFE
            return found[0] if legal or 0x10000 <= number < 0x110000 else ""
        return found[0] if found["name"] else "&amp;"

    return _REFERENCE.sub(mend, _ILLEGAL.sub("", text))


def _text(chunks: Iterable[bytes]) -> Iterator[str]:
    """Decode and repair piece by piece; a reference cut in two by a border waits for its other half."""
    decoder, held = None, ""
    for chunk in chunks:
        if decoder is None:
            decoder = codecs.getincrementaldecoder(_encoding(chunk))("altcredit-code-page")
        text = held + decoder.decode(chunk)
        cut = text.rfind("&", max(0, len(text) - _LONGEST_REFERENCE))
        whole = cut < 0 or ";" in text[cut:]
        text, held = (text, "") if whole else (text[:cut], text[cut:])
        yield _repair(text)
    yield _repair(held)


class _Collector:
    """Builds a node for each object of the kinds asked for, and nothing of the rest."""

    def __init__(self, wanted: tuple[str, ...]) -> None:
        self._wanted = wanted
        self._stack: list[Node] = []
        self._depth = self._count = 0
        self._line: list[str] | None = None
        self.done: list[Node] = []
        self.complaint = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TallyXmlError(f"elements are nested more than {MAX_DEPTH} deep")
        name = name.upper()
        if name in ("LINEERROR", "RESPONSE"):
            self._line = []
        if self._stack or name in self._wanted:
            self._count += 1
            if self._count > MAX_NODES:
                raise TallyXmlError(f"one {self._stack[0].name.lower()} holds more than {MAX_NODES} elements")
            node = Node(name, attributes)
            if self._stack:
                self._stack[-1].children.append(node)
            self._stack.append(node)

    def end(self, name: str) -> None:
        self._depth -= 1
        if self._line is not None and name.upper() in ("LINEERROR", "RESPONSE"):
            self.complaint = self.complaint or "".join(self._line).strip()
            self._line = None
        if self._stack:
            node = self._stack.pop()
            if not self._stack:
                self.done.append(node)
                self._count = 0

    def characters(self, text: str) -> None:
        if self._line is not None:
            self._line.append(text)
        if self._stack:
            self._stack[-1].text += text


def _no_doctype(*_: object) -> None:
    raise TallyXmlError("a document type declaration: Tally writes none, and entities could be used to attack")


def read(chunks: Iterable[bytes], *, wanted: tuple[str, ...] = OBJECTS) -> Iterator[Node]:
    """Yield each object of the kinds ``wanted`` as soon as it is complete.

    Raises ``TallyXmlError`` for what is no XML, for document types and entities, and when Tally itself reports an
    error and gives nothing.
    """
    collector, parser = _Collector(wanted), expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.characters
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.EntityDeclHandler = _no_doctype
    count = 0
    try:
        for text in _text(chunks):
            parser.Parse(text.encode("utf-8"), False)
            yield from collector.done
            count += len(collector.done)
            collector.done.clear()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise TallyXmlError(f"not XML: {error}") from error
    if collector.complaint and not count:
        raise TallyXmlError(f"Tally says: {collector.complaint}")
