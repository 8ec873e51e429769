"""The Admin API: what staff do, on the admin listener alone (API-ALTSCORE-001, section 07)."""
