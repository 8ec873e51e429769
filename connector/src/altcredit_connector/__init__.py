"""Sends a distributor's ledger from Tally Prime, SAP Business One or CSV to AltScore."""

__version__ = "0.1.0"
