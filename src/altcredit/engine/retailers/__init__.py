"""Shops: identifiers in, opaque ids out; merges and their undoing."""

from altcredit.engine.retailers.gstin import is_gstin
from altcredit.engine.retailers.identity import gst_hash, phone_hash
from altcredit.engine.retailers.matching import ShopKey
from altcredit.engine.retailers.operations import (
    GstinInvalid,
    MergeImpossible,
    MergeUnknown,
    Profile,
    RetailerUnknown,
    by_gst,
    by_phone,
    by_ref,
    canonical,
    distributors_of_phone,
    merge,
    profile,
    require_gstin,
    resolve,
    undo_merge,
)

__all__ = [
    "GstinInvalid",
    "MergeImpossible",
    "MergeUnknown",
    "Profile",
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
    "profile",
    "require_gstin",
    "resolve",
    "undo_merge",
]
