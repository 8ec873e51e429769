"""The numbers of advisory locks, in one place: two uses of one number would wait for each other."""

from enum import IntEnum, unique


@unique
class Lock(IntEnum):
    """Who holds what, a number each; nothing else in this database may take them."""

    MIGRATING = 7_242_001
    REACTING = 7_242_002
    RELAYING = 7_242_003  # held for as long as a relay lives
    SIGNING_KEYS = 7_242_004
    MODELS = 7_242_005
    RETAILERS = 7_242_006
    SEALING = 7_242_007
