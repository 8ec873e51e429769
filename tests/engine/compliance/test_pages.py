"""The pages as people meet them: in a browser on desk and phone, in print, and with a certificate that openssl verifies."""

import html
import re
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright
from tests.engine.compliance.conftest import DAY, NOW, Engine

from altcredit.engine import compliance


async def _pages(engine: Engine, folder: Path) -> dict[str, Path]:
    shop, gone, lender = await engine.shop(), await engine.shop(), await engine.lender()
    for one in (shop, gone):
        await engine.consent(one, lender)
        await engine.score(one)
        await engine.read(one, lender)
    erasure = await engine.erase(gone)
    while erasure.next is not None:
        erasure = await engine.step(erasure, erasure.next.step, at=erasure.next.due_at)
    async with engine.database.transaction() as db:
        asked = await compliance.export(
            db, keyring=engine.keyring, retailer_id=shop.retailer_id, requested_by="t", now=NOW
        )
        made = await compliance.produce(
            db, keyring=engine.keyring, signing=engine.signing, export_id=asked.export_id, ledger=[], now=NOW
        )
        report = await compliance.report(
            db, keyring=engine.keyring, since=NOW - 30 * DAY, until=NOW + 30 * DAY, residency="IN",
            fiduciary="AltCredit", environment="development", actor="t", now=NOW,
        )  # fmt: skip
        signed = await compliance.certificate(db, erasure_id=erasure.erasure_id)
    assert made.document is not None
    public_pem = engine.signing.public_pem(signed.key_id)
    written = {
        "report": compliance.report_page(report),
        "export": compliance.export_page(made.document, language="en"),
        "export-hi": compliance.export_page(made.document, language="hi"),
        "certificate": compliance.certificate_page(signed.record, signature=signed.signature, public_pem=public_pem),
    }
    for name, text in written.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in written}


async def _overflow(browser: Browser, page: Path, width: int) -> int:
    """Return by how many pixels a page is wider than its window; fail where it asks for anything or logs an error."""
    context = await browser.new_page(viewport={"width": width, "height": 900})
    asked, said = [], []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: said.append(message.text))
    await context.goto(page.as_uri())
    wide: int = await context.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert (asked, said) == ([page.as_uri()], [])
    await context.close()
    return wide


async def test_each_page_fits_desk_and_phone_and_prints(engine: Engine, tmp_path: Path) -> None:
    pages = await _pages(engine, tmp_path)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            for name, page in pages.items():
                assert {width: await _overflow(browser, page, width) for width in (1280, 390)} == {1280: 0, 390: 0}, (
                    name
                )
                shown = await browser.new_page()
                await shown.goto(page.as_uri())
                assert (await shown.pdf(prefer_css_page_size=True)).startswith(b"%PDF")
                await shown.close()
        finally:
            await browser.close()


def _openssl(folder: Path) -> int:
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "record.sig", "record.json"]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode


async def test_a_certificates_page_holds_all_that_openssl_needs(engine: Engine, tmp_path: Path) -> None:
    page = (await _pages(engine, tmp_path))["certificate"].read_text("utf-8")
    found = {
        name: html.unescape(re.findall(rf'<pre id="{name}">(.*?)</pre>', page, re.DOTALL)[0])
        for name in ("record", "signature", "key")
    }
    (tmp_path / "record.json").write_text(found["record"])
    (tmp_path / "record.sig").write_bytes(bytes.fromhex(found["signature"]))
    (tmp_path / "key.pem").write_text(found["key"])
    assert _openssl(tmp_path) == 0
    (tmp_path / "record.json").write_text(found["record"].replace("true", "false", 1))
    assert _openssl(tmp_path) == 1


async def test_there_is_no_certificate_before_the_end(engine: Engine) -> None:
    erasure = await engine.erase(await engine.shop())
    async with engine.database.transaction() as db:
        with pytest.raises(compliance.ErasureUnderWay, match="scores"):
            await compliance.certificate(db, erasure_id=erasure.erasure_id)
