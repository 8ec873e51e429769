"""Shops: identifiers in, opaque ids out; merges and their undoing."""

from altcredit.engine.retailers.erasure import (
    Dossier,
    Sighting,
    Unlinked,
    destroy,
    dossier,
    names_one_of,
    states,
    unlink,
)
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
    of_phone,
    profile,
    require_gstin,
    resolve,
    undo_merge,
)

__all__ = [
    "Dossier",
    "GstinInvalid",
    "MergeImpossible",
    "MergeUnknown",
    "Profile",
    "RetailerUnknown",
    "ShopKey",
    "Sighting",
    "Unlinked",
    "by_gst",
    "by_phone",
    "by_ref",
    "canonical",
    "destroy",
    "distributors_of_phone",
    "dossier",
    "gst_hash",
    "is_gstin",
    "merge",
    "names_one_of",
    "of_phone",
    "phone_hash",
    "profile",
    "require_gstin",
    "resolve",
    "states",
    "undo_merge",
    "unlink",
]
