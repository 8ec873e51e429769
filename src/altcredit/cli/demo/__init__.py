"""
``altcredit demo``: the main jobs on one machine, on simulated people, through the real doors.

Every step is what an operator, a distributor, a lender or a card partner would do: the operator's own functions, the
connector as a program of its own over mutual TLS, consents, scores and applications over HTTPS, callbacks to a
receiver. Nothing is put into the database by hand.
"""

from altcredit.cli.demo.command import register

__all__ = ["register"]
