"""The demo's conversation: a shopkeeper is asked for consent by WhatsApp, agrees, is scored, and writes STOP."""

import asyncio
import time
from typing import Any

import httpx2
import msgspec

from altcredit.cli.demo.cast import PURPOSE, Cast, signed_in
from altcredit.cli.demo.stage import DemoRefused, Note, Steps
from altcredit.runtime.settings import Settings

_SECONDS = 90.0
_AGREE, _READ, _YES = "सहमत हूँ", "सूचना पढ़ें", "Yes / हाँ"


class Keeper(msgspec.Struct, frozen=True, kw_only=True):
    """The shopkeeper who agreed: the phone, and the id of the shop."""

    phone: str
    retailer_id: str


async def ask(chosen: Settings, client: httpx2.AsyncClient, steps: Steps, cast: Cast) -> Keeper:
    """Invite a shopkeeper as a service does; have the phone open the notice, read it in Hindi, and agree."""
    shop = cast.shopkeeper
    account = shop.accounts[0]
    async with httpx2.AsyncClient(base_url=chosen.whatsapp_base_url, timeout=10) as network:
        phone = _Phone(network, shop.phone)
        with steps("Ask one shopkeeper for consent by WhatsApp, in Hindi: a button opens the notice") as note:
            headers = await signed_in(client, cast.service)
            body = {
                "phone": shop.phone,
                "distributor_id": cast.world.distributors[account.distributor].distributor_id,
                "lender_scope": [cast.lender.client_id],
                "purpose": PURPOSE,
                "retailer_ref": account.retailer_ref,
                "language": "hi",
            }
            asked = await client.post("/v1/consent/invitations", json=body, headers=headers)
            if asked.status_code != 202:
                raise DemoRefused(f"The invitation was refused: {asked.text}")
            (await phone.hears(_READ, button=True)).say(note)
            await phone.press(_READ)
            (await phone.hears(_AGREE, button=True)).say(note)
        with steps("The shopkeeper presses “सहमत हूँ”; the record is signed") as note:
            await phone.press(_AGREE)
            (await phone.hears("cns_")).say(note)
            (await phone.hears(_YES, button=True)).say(note)
            await phone.press(_YES)
            (await phone.hears("भी दर्ज")).say(note)
    return Keeper(phone=shop.phone, retailer_id=asked.json()["retailer_id"])


async def withdraw(
    chosen: Settings, client: httpx2.AsyncClient, steps: Steps, keeper: Keeper, *, headers: dict[str, str]
) -> None:
    """Read the shopkeeper's score as the lender; after STOP the next read is refused."""
    body = {"retailer_id": keeper.retailer_id, "purpose": PURPOSE}
    with steps("Read the shopkeeper's score; STOP by WhatsApp; read again") as note:
        deadline = time.monotonic() + _SECONDS
        while (read := await client.post("/v1/score", json=body, headers=headers)).status_code == 404:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.5)
        if read.status_code != 200:
            raise DemoRefused(f"The shopkeeper who agreed has no score: {read.text}")
        note(f"before: score {read.json()['altscore']}, band {read.json()['risk_band']}")
        async with httpx2.AsyncClient(base_url=chosen.whatsapp_base_url, timeout=10) as network:
            phone = _Phone(network, keeper.phone)
            await phone.write("STOP")
            refused = await client.post("/v1/score", json=body, headers=headers)
            if refused.status_code != 403:
                raise DemoRefused(f"A score was read after STOP: {refused.status_code} {refused.text}")
            note(f"after: {refused.status_code} {refused.json()['error']['code']}")
            (await phone.hears("वापस ले ली गई हैं")).say(note)


class _Heard(msgspec.Struct, frozen=True):
    text: str
    buttons: tuple[str, ...]

    def say(self, note: Note) -> None:
        for line in self.text.splitlines():
            note(f"│ {line}")
        if self.buttons:
            note("│ " + " ".join(f"[{title}]" for title in self.buttons))


class _Phone:
    """A phone behind the stand-in for WhatsApp, which is served beside the API and the worker."""

    def __init__(self, network: httpx2.AsyncClient, number: str) -> None:
        self._network, self._path = network, f"/phones/{number}"

    async def hears(self, words: str, *, button: bool = False) -> _Heard:
        """Wait for a message with these words, or with a button of this title. Raises DemoRefused."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            for one in reversed(await self._inbox()):
                if (words in one["buttons"]) if button else (words in one["text"]):
                    return _Heard(one["text"], tuple(one["buttons"]))
            await asyncio.sleep(0.1)
        raise DemoRefused(f"No message with “{words}” came; see serve.log under the home folder.")

    async def _inbox(self) -> list[dict[str, Any]]:
        try:
            messages: list[dict[str, Any]] = (await self._network.get(self._path)).json()["messages"]
        except httpx2.TransportError:  # the stand-in is still starting
            return []
        return messages

    async def write(self, words: str) -> None:
        await self._act("say", {"text": words})

    async def press(self, title: str) -> None:
        await self._act("press", {"button": title})

    async def _act(self, what: str, asked: dict[str, str]) -> None:
        answer = await self._network.post(f"{self._path}/{what}", json=asked)
        if answer.status_code != 200 or answer.json()["webhook_status"] != 200:
            raise DemoRefused(f"The phone could not {what}: {answer.text}")
