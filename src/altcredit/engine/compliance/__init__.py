"""Rights and reports: export, erasure, the compliance report, breaches, the regulations as data."""
