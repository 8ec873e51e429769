"""Callbacks to partners: signed, sent, retried, replayed."""
