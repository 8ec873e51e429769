"""A measured figure with its goals, and how figures are printed and kept."""

from collections.abc import Sequence
from pathlib import Path

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """A value with what is promised of it and what is aimed at, either as least or as most."""

    name: str
    value: float
    unit: str = ""
    at_least: tuple[float, float] | None = None
    at_most: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """Tell which of the two goals the value meets."""
        if self.at_least is not None:
            met = [self.value >= goal for goal in self.at_least]
        elif self.at_most is not None:
            met = [self.value <= goal for goal in self.at_most]
        else:
            return ""
        return "moonshot" if all(met) else "met" if met[0] else "NOT MET"

    def line(self) -> str:
        goals, sign = (self.at_least, "≥") if self.at_least is not None else (self.at_most, "≤")
        shown = [f"{sign} {goal:g} {self.unit}".rstrip() for goal in goals or ()] or ["", ""]
        value = f"{self.value:,.{_decimals(self.value)}f} {self.unit}".rstrip()
        return f"{self.name:44}{value:>12}{shown[0]:>12}{shown[1]:>12}  {self.verdict}"


def _decimals(value: float) -> int:
    return 2 if abs(value) < 20 else 0


HEADING = f"{'':44}{'measured':>12}{'goal':>12}{'moonshot':>12}"


def show(figures: Sequence[Figure]) -> None:
    """Print figures as a table."""
    print(HEADING)
    for figure in figures:
        print(figure.line())


def finish(figures: Sequence[Figure], path: Path | None) -> None:
    """Print figures, and write them where the caller asked for."""
    print()
    show(figures)
    if path is not None:
        path.write_bytes(msgspec.json.encode(figures))


def read(path: Path) -> list[Figure]:
    """Read the figures that a benchmark wrote."""
    return msgspec.json.decode(path.read_bytes(), type=list[Figure])
