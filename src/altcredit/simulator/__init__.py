"""Synthetic ledgers with known truth, for the demo, tests and benchmarks (pipeline.md, "Simulator")."""

from altcredit.simulator.batches import Batch, batches
from altcredit.simulator.csv_export import csv_export
from altcredit.simulator.feed import CLEAN, Quality
from altcredit.simulator.world import World, build, tiny_world

__all__ = ["CLEAN", "Batch", "Quality", "World", "batches", "build", "csv_export", "tiny_world"]
