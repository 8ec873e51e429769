"""Signals of the phone line and the device that an application came from."""

from datetime import timedelta
from typing import Annotated

import msgspec

from altcredit.engine.sources.source import Source


class DevicePhone(msgspec.Struct, frozen=True, kw_only=True):
    """Line and device of the applicant; None: not known."""

    line_months: Annotated[int, msgspec.Meta(ge=0, le=1200)] | None = None
    prepaid: bool | None = None
    linked_to_cpf: bool | None = None
    sim_swapped_days: Annotated[int, msgspec.Meta(ge=0, le=36500)] | None = None
    device_risk: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


SOURCE = Source(
    name="device_phone",
    tier="screen",
    price_centavos=20,
    timeout_seconds=3.0,
    valid_for=timedelta(days=7),
    answer=DevicePhone,
    asks=("phone", "device_id"),
    unknown=DevicePhone(),
)
