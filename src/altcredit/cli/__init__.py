"""The operator's commands: ``altcredit …``."""
