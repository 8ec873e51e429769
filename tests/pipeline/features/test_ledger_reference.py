"""The ledger in SQL equals the ledger in plain Python, on random ledgers with all that goes wrong in real ones."""

from pathlib import Path

import pytest

from altcredit.pipeline.features import gold, labels
from altcredit.pipeline.lake import Lake
from tests.pipeline import reference
from tests.pipeline.books import day, shop
from tests.pipeline.random_books import books

SHOPS = 12


def same(found: float | None, expected: float | None) -> bool:
    return found is expected if found is None or expected is None else found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_features_equal_the_reference_on_random_ledgers(tmp_path: Path, seed: int) -> None:
    written, sent = books(tmp_path, seed, shops=SHOPS, days=300)
    lake = Lake(tmp_path, threads=1)
    for t in (day(120), day(260)):
        rows = {row["retailer_id"]: row for row in gold(lake, written.snapshot(), as_of=t, scope=None).to_pylist()}
        assert rows
        then = reference.known(sent, t)
        for number in range(SHOPS + 1):
            row = rows.get(shop(number))
            if row is None:
                assert not reference.accounts(then, shop(number), t)
                continue
            expected = reference.features(then, shop(number), t)
            wrong = {name: (row[name], value) for name, value in expected.items() if not same(row[name], value)}
            assert not wrong, (number, t)
    lake.close()


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_labels_equal_the_reference_on_random_ledgers(tmp_path: Path, seed: int) -> None:
    written, sent = books(tmp_path, seed, shops=SHOPS, days=300)
    lake = Lake(tmp_path, threads=1)
    moments = [day(70), day(130), day(190)]
    found = labels(lake, written.snapshot(), as_of_dates=moments, horizon_days=90).to_pylist()
    now = reference.known(sent, day(10_000))
    outcomes = set()
    for row in found:
        through = max(moments) + (day(90) - day(0))
        expected = reference.label(now, row["retailer_id"], row["as_of"], through)
        assert (row["eligible"], row["default"]) == expected, row
        outcomes.add(expected)
    assert outcomes == {(False, None), (True, False), (True, True)}
    lake.close()
