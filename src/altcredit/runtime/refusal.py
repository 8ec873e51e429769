"""
How the product says an anticipated "no".

A capability raises a subclass of :class:`Refusal` where a rule forbids what was asked. It says nothing of HTTP: each
surface maps refusals to its own answers in one table. Every other exception is a bug.
"""

import msgspec


class Detail(msgspec.Struct, frozen=True):
    """One offending field: its JSON path (``$.invoices[3].amount_inr``) and what is wrong with it."""

    path: str
    problem: str


class Refusal(Exception):
    """An anticipated "no": the caller asked for something that the rules do not allow."""

    def __init__(self, message: str = "", *, details: tuple[Detail, ...] = ()) -> None:
        super().__init__(message)
        self.details = details
