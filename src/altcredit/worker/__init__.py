"""The worker: one process that runs jobs, schedules, reactions to events and the relay to Kafka."""

from altcredit.worker.handlers import HANDLERS, SCHEDULES
from altcredit.worker.process import run
from altcredit.worker.work import Handler, Schedule, Work

__all__ = ["HANDLERS", "SCHEDULES", "Handler", "Schedule", "Work", "run"]
