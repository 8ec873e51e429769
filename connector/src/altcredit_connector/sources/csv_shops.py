"""Which shop a line means, where the export has no code for shops and two of them may share a name."""

import hashlib
import json
import re

from altcredit_connector.journal import Journal
from altcredit_connector.quality import Quality
from altcredit_connector.records import Retailer
from altcredit_connector.sources.csv_table import Table
from altcredit_connector.text import MAX_NAME, gstin, identifier, phone_hash

CASH = re.compile(r"^(cash|cash (sales?|a/?c|in hand|party|customer)|counter sales?|walk ?in.*)$", re.I)


class Shops:
    """The shops of one file. A code is taken as it is; a name is split where GSTINs or mobiles prove several shops.

    Of several shops with one name, the one that had the name first (in an earlier push, else in this file) keeps it
    as its reference; the others get a suffix made from their GSTIN or mobile, so it is the same in every export.
    """

    def __init__(self, table: Table, journal: Journal, quality: Quality, *, names: bool) -> None:
        self._table, self._journal, self._names = table, journal, names
        self._links: dict[tuple[str, str], str] = {}
        self._keys: dict[str, dict[str, None]] = {}
        self._owners: dict[str, str] = {}
        self._retailers: dict[str, Retailer] = {}
        lines = [self._read(number, row, quality) for number, row in table.rows]
        for _, name, gst, hashed in lines:
            if gst and hashed:
                self._links[name, hashed] = gst
        for code, name, gst, hashed in lines:
            if not code and (key := self._key(name, gst, hashed)):
                self._keys.setdefault(name, {})[key] = None
        for code, name, gst, hashed in lines:
            ref = self._reference(code, name, gst, hashed)
            if ref and not CASH.match(ref):
                self._learn(ref, name, gst, hashed)

    def reference(self, row: list[str]) -> str:
        """Return the reference of the line's shop; empty if it names none, "Cash" and the like as they are."""
        return self._reference(*self._cells(row))

    def retailer(self, ref: str) -> Retailer:
        """Return all that the file says of a shop."""
        return self._retailers[ref]

    def _cells(self, row: list[str]) -> tuple[str, str, str | None, str | None]:
        cell = self._table.cell
        gst = gstin(cell(row, "gstin"))
        return cell(row, "party_ref"), cell(row, "party_name") or gst or "", gst, phone_hash(cell(row, "phone"))

    def _read(self, number: int, row: list[str], quality: Quality) -> tuple[str, str, str | None, str | None]:
        code, name, gst, hashed = self._cells(row)
        where = f"{self._table.path.name} line {number}"
        if (written := self._table.cell(row, "gstin")) and not gst:
            quality.remark("GSTINs are not valid and are left out", f"{where}: {written}")
        if self._table.cell(row, "phone") and not hashed:
            quality.remark("mobiles are masked or incomplete and are left out", where)
        return code, name, gst, hashed

    def _key(self, name: str, gst: str | None, hashed: str | None) -> str:
        return gst or self._links.get((name, hashed or "")) or hashed or ""

    def _reference(self, code: str, name: str, gst: str | None, hashed: str | None) -> str:
        if code or not name:
            return identifier(code)
        owner = self._owner(name)
        key = self._key(name, gst, hashed) or owner
        name = identifier(name)
        return name if key == owner else f"{name}~{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    def _owner(self, name: str) -> str:
        """Return the key of the shop whose reference is the bare name."""
        if name not in self._owners:
            last = json.loads(self._journal.last("retailer", identifier(name)) or "{}")
            known, keys = (last.get("retailer_gst"), last.get("retailer_phone_hash")), list(self._keys.get(name, {}))
            earlier = [key for key in keys if key in known]
            if not earlier and known[0] and keys and all(len(key) == len(known[0]) for key in keys):
                earlier = [known[0]]  # every shop of this name here has another GSTIN than the one that has the name
            self._owners[name] = next(iter(earlier or keys), "")
        return self._owners[name]

    def _learn(self, ref: str, name: str, gst: str | None, hashed: str | None) -> None:
        old = self._retailers.get(ref) or Retailer(retailer_ref=ref)
        self._retailers[ref] = Retailer(
            retailer_ref=ref,
            retailer_gst=old.retailer_gst or gst,
            retailer_phone_hash=old.retailer_phone_hash or hashed,
            name=old.name or (name[:MAX_NAME] or None if self._names else None),
        )
