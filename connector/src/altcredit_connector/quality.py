"""What is good and what is missing in the data that was read: counted as it is read, shown as a report."""

from collections import Counter
from typing import Any

EXAMPLES = 5
NOUNS = {"bill": "bills", "receipt": "receipts", "return": "returns"}
Thing = str


class Quality:
    """Counts per thing (bill, receipt, return): seen, unusable by reason, and remarks on usable ones."""

    def __init__(self) -> None:
        self.seen: Counter[Thing] = Counter()
        self.unusable: Counter[tuple[Thing, str]] = Counter()
        self.remarks: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def found(self, thing: Thing) -> None:
        """Count one more bill, receipt or return, usable or not."""
        self.seen[thing] += 1

    def refuse(self, thing: Thing, reason: str, where: str) -> None:
        """Count a thing that cannot be sent; ``reason`` completes the sentence "2 bills …"."""
        self.unusable[thing, reason] += 1
        self._example(f"{thing}:{reason}", where)

    def remark(self, what: str, where: str) -> None:
        """Count something worth knowing that does not prevent sending."""
        self.remarks[what] += 1
        self._example(what, where)

    def skip(self, what: str) -> None:
        """Count something left out on purpose (total lines, cancelled vouchers)."""
        self.skipped[what] += 1

    def _example(self, key: str, where: str) -> None:
        examples = self.examples.setdefault(key, [])
        if len(examples) < EXAMPLES:
            examples.append(where)

    def usable(self, thing: Thing) -> int:
        """How many of ``thing`` can be sent."""
        return self.seen[thing] - sum(n for (other, _), n in self.unusable.items() if other == thing)

    def summary(self) -> list[str]:
        """One sentence per kind of document, e.g. ``248 of 250 bills usable; 2 lack dates``."""
        lines = []
        for thing, nouns in NOUNS.items():
            if not self.seen[thing]:
                continue
            reasons = [f"{n:,} {why}" for (other, why), n in self.unusable.most_common() if other == thing]
            noun = thing if self.seen[thing] == 1 else nouns
            lines.append("; ".join([f"{self.usable(thing):,} of {self.seen[thing]:,} {noun} usable", *reasons]))
        return lines or ["no bills, receipts or returns found"]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "summary": self.summary(),
            "documents": {
                nouns: {
                    "found": self.seen[thing],
                    "usable": self.usable(thing),
                    "unusable": [
                        {"reason": why, "count": n, "examples": self.examples[f"{thing}:{why}"]}
                        for (other, why), n in self.unusable.most_common()
                        if other == thing
                    ],
                }
                for thing, nouns in NOUNS.items()
            },
            "remarks": [{"what": w, "count": n, "examples": self.examples[w]} for w, n in self.remarks.most_common()],
            "skipped": dict(self.skipped),
        }
