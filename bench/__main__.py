"""
Run every benchmark, one after the other, and print one table of what is promised and what was measured.

    python -m bench [score ingest refresh rebuild accept underwriting timing footprint]
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, read, show

_RATIO = re.compile(r"ratio, median of \d+: ([0-9.]+)")


def _measured(module: str, *options: str) -> list[Figure]:
    """Run a benchmark that writes its figures; what it prints is shown as it comes."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        subprocess.run([sys.executable, "-m", module, "--json", figures, *options], check=True)
        return read(figures)


def _ingest() -> list[Figure]:
    done = subprocess.run([sys.executable, "-m", "bench.ingest"], check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    alone, many = (float(ratio) for ratio in _RATIO.findall(done.stdout))
    return [
        Figure("ingest: share of a bare COPY, 8 at once", many, "", at_least=(0.35, 0.6)),
        Figure("ingest: share of a bare COPY, one at a time", alone),
    ]


BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "score": lambda: _measured("bench.score"),
    "ingest": _ingest,
    "refresh": lambda: _measured("bench.refresh"),
    "rebuild": lambda: _measured("bench.rebuild", "--rounds", "1"),
    "accept": lambda: _measured("bench.accept"),
    "underwriting": lambda: _measured("bench.underwriting"),
    "timing": lambda: _measured("bench.timing", "--calls", "10000"),
    "footprint": lambda: _measured("bench.footprint"),
}


def main(wanted: list[str]) -> None:
    if unknown := set(wanted) - BENCHMARKS.keys():
        raise SystemExit(f"There is no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(BENCHMARKS)}.")
    if shutil.which("wrk") is None:
        raise SystemExit("The load generator wrk is missing: apt-get install wrk (macOS: brew install wrk).")
    figures: list[Figure] = []
    failed: list[str] = []
    for name in wanted or BENCHMARKS:
        print(f"\n== {name} ==", flush=True)
        start = time.perf_counter()
        try:
            figures += BENCHMARKS[name]()
        except subprocess.CalledProcessError:
            failed.append(name)  # it has said why; the others are still worth their figures
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)
    print("\n== all ==")
    show(figures)
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
