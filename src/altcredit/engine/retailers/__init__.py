"""Shops: identifiers in, opaque ids out; merges and their undoing."""

from altcredit.engine.retailers.gstin import is_gstin
from altcredit.engine.retailers.identity import gst_hash, phone_hash
from altcredit.engine.retailers.matching import ShopKey
from altcredit.engine.retailers.operations import (
    MergeImpossible,
    MergeUnknown,
    RetailerUnknown,
    by_gst,
    by_phone,
    by_ref,
    canonical,
    distributors_of_phone,
    merge,
    resolve,
    undo_merge,
)

__all__ = [
    "MergeImpossible",
    "MergeUnknown",
    "RetailerUnknown",
    "ShopKey",
    "by_gst",
    "by_phone",
    "by_ref",
    "canonical",
    "distributors_of_phone",
    "gst_hash",
    "is_gstin",
    "merge",
    "phone_hash",
    "resolve",
    "undo_merge",
]
