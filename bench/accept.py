"""
What POST of an application costs, against what it cannot do without, in one run.

    python -m bench.accept [--rounds 5] [--seconds 3] [--connections 16] [--json FILE]

The anchors are those of ``bench.score``: an empty handler on the same TLS server stack, and the product's statements in
their transaction by as many connections (token, quota, application, job, audit row; committed and durable).
"""

import argparse
import contextlib
from itertools import islice
from pathlib import Path

import uvloop

from altcredit.engine import identity
from altcredit.runtime import clock
from altcredit.runtime.platform import opened
from altcredit.simulator.applicants import cpfs
from bench.figures import Figure, finish
from bench.score import PRODUCT, Bench, show_rounds
from bench.serving.home import Home, home

PARTNERS, PEOPLE = 40, 2_000
LOAD = Path(__file__).parent / "guard" / "accept.lua"


async def prepared(installation: Home) -> tuple[Path, Path, Path]:
    """Add partners; write their tokens, CPFs, and the driver loop's file."""
    tokens, people, packed = (installation.folder / name for name in ("tokens", "cpfs", "partners"))
    lines = []
    async with opened(installation.settings, installation.dsn) as platform:
        for _ in range(PARTNERS):
            async with platform.database.transaction() as db:
                issued = await identity.add_partner(
                    db, keyring=platform.keyring, name="Bench", addresses=["127.0.0.0/8"], minute_limit=10_000_000,
                    actor="bench", now=clock.now(),
                )  # fmt: skip
            hashed = platform.keyring.hmac("partner_token", issued.token).hex()
            lines.append((issued.token, f"{hashed} {issued.partner_id}"))
    tokens.write_text("\n".join(token for token, _ in lines) + "\n")
    packed.write_text("\n".join(line for _, line in lines) + "\n")
    people.write_text("\n".join(islice(cpfs(0), PEOPLE)) + "\n")
    return tokens, people, packed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    with home() as installation, contextlib.ExitStack() as stack:
        tokens, people, packed = uvloop.run(prepared(installation))
        bench = Bench(
            installation, stack, given.connections,
            script=LOAD, files=[tokens, people], driver="bench.guard.driver", packed=packed,
        )  # fmt: skip
        print(
            f"POST of an application: {PARTNERS} partners, {given.connections} connections, medians of {given.rounds}"
            f" rounds of {given.seconds:g} s"
        )
        found = bench.compare(given.rounds, given.seconds)
        share = found[PRODUCT]["rate"] / show_rounds(found)
        finish([Figure("GUARD: POST, share of the additive bound", share, "", at_least=(0.5, 0.7))], given.json)


if __name__ == "__main__":
    main()
