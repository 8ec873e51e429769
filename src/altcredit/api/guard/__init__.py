"""GUARD: card underwriting for partners, one module a part of the specification."""
