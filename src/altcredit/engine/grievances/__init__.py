"""Grievances: cases with their clocks, notes, review and resolution."""
