"""Which reactions follow which event: one literal table."""
