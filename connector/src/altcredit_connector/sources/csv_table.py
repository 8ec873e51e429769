"""A file of comma separated values as a table: encoding, separator and header line are found, not asked for."""

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from altcredit_connector.sources.presets import Preset, match
from altcredit_connector.staging import SourceError
from altcredit_connector.text import clean

SEPARATORS = ",;\t|"
HEADER_WITHIN = 30
"""Lines at the top of a file (title, address, period) among which the header line is looked for."""


class CsvError(SourceError):
    """The file cannot be read as a table of this preset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``columns``: field to place; ``rows``: line number in the file and its cells, blank lines left out."""

    path: Path
    encoding: str
    separator: str
    columns: dict[str, int]
    rows: list[tuple[int, list[str]]]

    def cell(self, row: list[str], name: str) -> str:
        """Return the cleaned cell of a field, empty if the file has no such column."""
        place = self.columns.get(name)
        return clean(row[place]) if place is not None and place < len(row) else ""

    def column(self, name: str) -> list[str]:
        """Return a whole column."""
        return [self.cell(row, name) for _, row in self.rows]


def decode(content: bytes) -> tuple[str, str]:
    """Return the text and its encoding: by byte order mark, by the zeros of UTF-16, UTF-8 if valid, else cp1252."""
    marks = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
    for mark, encoding in marks:
        if content.startswith(mark):
            return content.decode(encoding, "replace"), encoding
    sample = content[:4096]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(sample) > 3 and sample[offset::2].count(0) > len(sample) // 4:
            return content.decode(encoding, "replace"), encoding
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace"), "cp1252"


def parse(path: Path, content: bytes, preset: Preset, overrides: dict[str, str]) -> Table:
    """Find the separator and the header line under which most fields of the preset are named, and read the rows."""
    text, encoding = decode(content)
    best: tuple[int, int, str, dict[str, int]] | None = None
    for separator in SEPARATORS:
        head = "".join(text.splitlines(keepends=True)[: 2 * HEADER_WITHIN])
        for place, cells in enumerate(_lines(head, separator)[:HEADER_WITHIN]):
            columns = match(preset, cells[1], overrides)
            if best is None or len(columns) > best[0]:
                best = len(columns), place, separator, columns
    if best is None or best[0] < 2:
        raise CsvError(f"{path}: no line with the headers of this preset was found in the first {HEADER_WITHIN} lines")
    _, place, separator, columns = best
    lines = _lines(text, separator)
    header = lines[place][1]
    rows = [(number, cells) for number, cells in lines[place + 1 :] if cells != header]
    return Table(path=path, encoding=encoding, separator=separator, columns=columns, rows=rows)


def _lines(text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Return the lines that are not blank, with their numbers."""
    csv.field_size_limit(1 << 20)
    reader = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=separator, skipinitialspace=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(clean(cell) for cell in cells)]
    except csv.Error as error:
        raise CsvError(f"line {reader.line_num}: {error}") from error
