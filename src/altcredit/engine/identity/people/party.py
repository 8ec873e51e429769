from typing import Self
from urllib.parse import urlsplit

import msgspec

from altcredit.runtime.settings import Settings


class RelyingParty(msgspec.Struct, frozen=True, kw_only=True):
    """Who staff's keys are enrolled with: the host name of the admin address, and its whole origin."""

    rp_id: str
    origin: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the relying party of an installation: that of its admin address as browsers see it."""
        return cls(rp_id=urlsplit(settings.staff_origin).hostname or "localhost", origin=settings.staff_origin)
