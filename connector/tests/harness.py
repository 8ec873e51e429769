"""A distributor's machine to push from."""

from datetime import date, timedelta
from pathlib import Path

from connector.tests.fake_altscore import FakeAltScore

from altcredit_connector import main

CSV = """Bill No,Bill Date,Party Name,Party GSTIN,Mobile,Bill Amt,Due Date,Receipt No,Receipt Date,Receipt Amt,Return Amt,Mode
INV-2026-001,03-05-2026,Gupta Kirana & Sons,27AAPFU0939F1ZV,98XXXXXX12,"42,000.00",17/05/2026,RCP-77,15-May-26,"40,000.00","2,000.00",UPI
INV-2026-002,03-05-2026,Ramesh General Store,,97XXXXXX01,6500,,,,,,
"""


class Site:
    """A distributor's machine: a folder with the configuration, the secrets and the exports."""

    def __init__(self, folder: Path, server: FakeAltScore, ca: Path, certificate: Path, key: Path) -> None:
        self.folder, self.server = folder, server
        self.config = folder / "connector.toml"
        self.export = folder / "export.csv"
        self.export.write_text(CSV, "utf-8")
        (folder / "api_key").write_text(server.api_key + "\n", "utf-8")
        (folder / "signing_secret").write_text(server.signing_secret + "\n", "utf-8")
        self.credentials = [
            "--base-url", server.url, "--distributor-id", server.distributor_id,
            "--cert", str(certificate), "--key", str(key), "--ca", str(ca),
            "--api-key-file", str(folder / "api_key"), "--signing-secret-file", str(folder / "signing_secret"),
        ]  # fmt: skip

    def init(self, *arguments: str) -> int:
        return main.code(["init", "--config", str(self.config), *self.credentials, *arguments])

    def init_csv(self, preset: str = "generic") -> "Site":
        assert self.init("--erp", "csv", "--file", str(self.export), "--preset", preset) == 0
        return self

    def run(self, *arguments: str) -> int:
        return main.code([arguments[0], "--config", str(self.config), *arguments[1:]])


def many_bills(count: int, *, per_day: int = 60) -> str:
    """Return an export of ``count`` bills of forty shops, ``per_day`` a day from 1 January 2026."""
    lines = [CSV.splitlines()[0]]
    for n in range(count):
        day = date(2026, 1, 1) + timedelta(days=n // per_day)
        lines.append(f"B{n:05d},{day:%d-%m-%Y},Shop {n % 40},,,{100 + n}.50,,,,,,")
    return "\n".join(lines) + "\n"
