"""Random draws for one simulated person: fast, and the same for the same seed on every machine."""

import math
import random

_MOST = 60


class Draws:
    """A stream of draws; every use takes the next ones, so the order of uses is part of the world."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - simulated data, not a secret

    def normal(self) -> float:
        return self._rng.gauss(0.0, 1.0)

    def uniform(self) -> float:
        return self._rng.random()

    def chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return low + int(self._rng.random() * (high - low + 1))

    def factor(self, sd: float) -> float:
        """Return a log-normal factor around 1."""
        return math.exp(sd * self._rng.gauss(0.0, 1.0))

    def count(self, mean: float) -> int:
        """Return a Poisson count (Knuth's method; means here are small), at most 60."""
        limit, product, count = math.exp(-min(mean, 30.0)), self._rng.random(), 0
        while product > limit and count < _MOST:
            product *= self._rng.random()
            count += 1
        return count
