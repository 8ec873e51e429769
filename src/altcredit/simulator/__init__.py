"""Synthetic ledgers with known truth, for the demo, tests and benchmarks (pipeline.md, "Simulator")."""

from altcredit.simulator.batches import Batch, batches
from altcredit.simulator.bronze import SCHEMA, BronzeFile, truth_table, write_bronze
from altcredit.simulator.bulk import bulk
from altcredit.simulator.csv_export import csv_export
from altcredit.simulator.exports import ExportKind, write_world
from altcredit.simulator.feed import CLEAN, Quality
from altcredit.simulator.sap import sap_collections
from altcredit.simulator.shops import Account, Distributor, Shop
from altcredit.simulator.tally import tally_ledgers, tally_vouchers
from altcredit.simulator.truth import Truth
from altcredit.simulator.world import World, build, demo_world, tiny_world, training_world

__all__ = [
    "CLEAN",
    "SCHEMA",
    "Account",
    "Batch",
    "BronzeFile",
    "Distributor",
    "ExportKind",
    "Quality",
    "Shop",
    "Truth",
    "World",
    "batches",
    "build",
    "bulk",
    "csv_export",
    "demo_world",
    "sap_collections",
    "tally_ledgers",
    "tally_vouchers",
    "tiny_world",
    "training_world",
    "truth_table",
    "write_bronze",
    "write_world",
]
