"""A circuit breaker: a source that keeps failing is left alone for a while, then tried with one question."""

from typing import Literal

State = Literal["closed", "open", "half_open"]

FAILURES = 5  # in a row, until it opens
PAUSE_SECONDS = 10.0  # until one trial is let through


class Breaker:
    """
    Closed, then open after ``failures`` failures in a row, then half open after ``pause`` seconds: one trial decides.

    Times are seconds of any clock that never goes back. What :meth:`admits` let through is reported by exactly one of
    :meth:`succeeded`, :meth:`failed` and :meth:`abandoned`.
    """

    def __init__(self, *, failures: int = FAILURES, pause: float = PAUSE_SECONDS) -> None:
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._opened: float | None = None
        self._on_trial = False

    def state(self, at: float) -> State:
        """Return what the breaker is at a time."""
        if self._opened is None:
            return "closed"
        return "half_open" if at >= self._opened + self._pause else "open"

    def admits(self, at: float) -> bool:
        """Tell whether a question may be asked now; while half open that is the case once until it is reported."""
        state = self.state(at)
        if state == "half_open" and not self._on_trial:
            self._on_trial = True
            return True
        return state == "closed"

    def succeeded(self) -> None:
        """Close: the source works. Late news of a question from before the opening counts as well."""
        self._failures, self._opened, self._on_trial = 0, None, False

    def failed(self, at: float) -> None:
        """Count a failure; open at the limit, and again after a failed trial."""
        self._failures += 1
        if self._on_trial or (self._opened is None and self._failures >= self._limit):
            self._opened = at
        self._on_trial = False

    def abandoned(self) -> None:
        """Give up a question that proved nothing (cancelled, or the source only asked for patience)."""
        self._on_trial = False
