"""AltScore, API-ALTSCORE-001: one module a section of the specification."""
