"""docs/admin.md, done as it says: its shell lines by a shell, what the page is for in a real Chromium."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Browser
from tests.api.conftest import Installation
from tests.staff.test_in_a_browser import desk, invited

from altcredit.api.admin.surface import ROUTES
from altcredit.engine import registry
from altcredit.runtime import ids

PAGE = (Path(__file__).parents[2] / "docs" / "admin.md").read_text(encoding="utf-8")


async def shell(lines: str, folder: Path, **values: str) -> str:
    """Run the page's shell lines with ``values`` in place of its examples; return what they print."""
    for name, value in values.items():
        lines = re.sub(rf"^{name}=.*$", f"{name}={value}", lines, flags=re.MULTILINE)
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", lines, cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_the_walk_through_works_as_it_is_written(
    chromium: Browser, staffed: Installation, tmp_path: Path
) -> None:
    version, now = "altscore-xgb-v2", datetime.now(UTC)
    async with staffed.platform.database.transaction() as db:
        for one in ("altscore-xgb-v1", version):
            await registry.register(
                db, card={"version": one, "product": "altscore", "kind": "xgboost", "data_origin": "ledgers"}, path=one,
                sha256=ids.new_secret(), key_id="k", signature=b"s", environment="development", actor="test", now=now,
            )  # fmt: skip
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    # The rollback comes last; without an earlier champion there is nothing to go back to.
    *setting_up, promoting, _ = [block for block in blocks if "printf" not in block]
    (writing,) = [block for block in blocks if "printf" in block]
    (body,) = re.findall(r"^printf '%s' '(.*)' > promote.json$", writing, flags=re.MULTILINE)
    (tmp_path / "ca.pem").write_text(staffed.authority.pem)
    for person in ("first@example.in", "second@example.in"):
        ticket = await invited(staffed, person, "admin", "auditor")
        async with desk(chromium, staffed) as at:
            await at.plug_in()
            await at.sign_on(person)
            await at.enrol(ticket.ticket)
            await at.use_key()
            token = await at.page.get_by_label(re.compile("API token")).input_value()
            known = {"ADMIN": staffed.admin_url, "CA": "ca.pem", "TOKEN": token}
            if person.startswith("first"):
                said = await shell("\n".join(setting_up), tmp_path, **known)
                assert '"action":"admin.changeDistributor"' in said
            assertion = await at.sign("models.promote", body)
            assert at.complaints == []
            said = await shell("\n".join([setting_up[0], writing, promoting]), tmp_path, **known, ASSERTION=assertion)
        assert ("pending_second_person" in said) == person.startswith("first"), said
    async with staffed.platform.database.transaction() as db:
        assert (await registry.holder(db, product="altscore", alias="champion")).version == version


def test_every_path_that_the_page_names_exists() -> None:
    known = {re.sub(r"\{\w+\}", "*", route.path) for route in ROUTES}
    named = {path.split("?")[0] for path in re.findall(r"/v1/(?:admin|staff)/[a-z_./0-9…-]+", PAGE)}
    asked = {re.sub(r"/(dist_gupta|access_token|consent|[a-z]+_…)(?=/|$)", "/*", path).rstrip("/.…") for path in named}
    assert len(asked) > 15
    assert asked <= known, asked - known
