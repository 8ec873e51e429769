"""Print docs/sandbox.md from the sandbox's own table: ``python -m tools.sandbox_table > docs/sandbox.md``."""

import sys

from altcredit.engine.underwriting import sandbox

_HEAD = """# GUARD's sandbox

An environment of its own (`ALTCREDIT_ENVIRONMENT=sandbox`) with the preparation of production: token, addresses,
callback. No source is asked and no model is used: a CPF alone decides. Answers take `ALTCREDIT_SANDBOX_DELAY` seconds
(10 by default). This page is generated from the code (`make docs`).

## Published CPFs

| CPF | Outcome |
|---|---|
| 41955366004 | with `costSavingEnabled: true`: filtered, −1, −1, −1; without: an ordinary run, approved in band 3 |
| 14779111030 | rejected: a real score and band, limit 0 |
| 39549600017 | approved: score 0.015, band 3, limit R$500 (less where `desiredCreditLimit` is less) |

The development environment answers these three alike, at once; any other CPF is underwritten there in earnest.

## Every other valid CPF

The first byte of the SHA-256 of its eleven digits, modulo {rows}, is its row. So each outcome can be provoked at will.

| Row | Outcome | score | riskBand | limit | CPFs |
|---|---|---|---|---|---|
"""

_TAIL = """
- **filtered** needs `costSavingEnabled: true`; without it the CPF is an ordinary run.
- **slow source** takes six times the delay.
- **failing callback**: the first attempt counts as failed without being sent; the second comes by the usual schedule,
  and the list of deliveries shows both.
- **failing pipeline**: the status becomes `failed`, and partners who opted in get a failure callback.
- An approved limit is never more than `desiredCreditLimit`, if that is R$200 or more.
"""


def page() -> str:
    lines = []
    for row, (one, cpfs) in enumerate(sandbox.examples()):
        figures = [one.pd, one.risk_band, one.limit_brl]
        shown = ["–"] * 3 if one.fails else ["-1" if figure is None else f"{figure}" for figure in figures]
        lines.append(f"| {row} | {one.name} | {' | '.join(shown)} | {', '.join(f'`{cpf}`' for cpf in cpfs)} |")
    return _HEAD.format(rows=len(sandbox.ROWS)) + "\n".join(lines) + "\n" + _TAIL


if __name__ == "__main__":
    sys.stdout.write(page())
