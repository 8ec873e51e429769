"""A world as files in a folder: what a distributor's ERP would export, or what its connector would send."""

from pathlib import Path
from typing import Literal

import msgspec

from altcredit.simulator.batches import batches
from altcredit.simulator.bronze import write_bronze
from altcredit.simulator.csv_export import csv_export
from altcredit.simulator.sap import sap_collections
from altcredit.simulator.shops import Distributor
from altcredit.simulator.tally import tally_ledgers, tally_vouchers
from altcredit.simulator.world import World

ExportKind = Literal["erp", "batches", "bronze"]


def write_world(world: World, folder: Path, *, kinds: tuple[ExportKind, ...] = ("erp",)) -> list[Path]:
    """
    Write a world and return the files, in order.

    ``erp``: ``<distributor_id>/`` with the export of its own ERP (Tally: ``vouchers.xml`` in UTF-16 and
    ``ledgers.xml``; SAP Business One: ``service_layer.json``; CSV: ``export.csv``). ``batches``:
    ``<distributor_id>/batches/00001.json`` …, the bodies of a first load. ``bronze``: a lake (see write_bronze).
    """
    written: list[Path] = []
    for firm in world.distributors:
        if "erp" in kinds:
            written += _write_erp(world, firm, folder / firm.distributor_id)
        if "batches" in kinds:
            for n, batch in enumerate(batches(world, firm.number), start=1):
                written.append(_write(folder / firm.distributor_id / "batches" / f"{n:05d}.json", batch.encode()))
    if "bronze" in kinds:
        written += [folder / file.path for file in write_bronze(world, folder)]
    return written


def _write_erp(world: World, firm: Distributor, folder: Path) -> list[Path]:
    if firm.erp == "tally_prime":
        vouchers = tally_vouchers(world, firm.number, encoding="utf-16")
        ledgers = tally_ledgers(world, firm.number, encoding="utf-16")
        return [_write(folder / "vouchers.xml", vouchers), _write(folder / "ledgers.xml", ledgers)]
    if firm.erp == "sap_b1":
        return [_write(folder / "service_layer.json", msgspec.json.encode(sap_collections(world, firm.number)))]
    return [_write(folder / "export.csv", csv_export(world, firm.number).encode())]


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
