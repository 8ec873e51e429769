"""When a statement about somebody is true: conditions on features, as the files of reason codes state them."""

import operator
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
    ">": operator.gt,
}


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"operator": "is"}):
    """``feature operator value``, for example ``avg_days_late_180d <= 3``."""

    feature: str
    operator: Literal["<", "<=", ">=", ">"]
    value: float

    def holds(self, features: Mapping[str, float | None]) -> bool:
        """Tell whether the condition is known to hold: of what is not known, nothing is said."""
        known = features.get(self.feature)
        return known is not None and _HOLDS[self.operator](known, self.value)
