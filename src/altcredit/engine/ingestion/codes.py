"""Why a record was set aside, or is worth a second look: the published codes, in English and Hindi."""

from typing import Final

import msgspec


class Meaning(msgspec.Struct, frozen=True):
    en: str
    hi: str


# A record with any of these is quarantined; the rest of the batch goes on (contract I6).
QUARANTINE: Final[dict[str, Meaning]] = {
    "MISSING_FIELD": Meaning("A required field is missing or empty.", "कोई आवश्यक फ़ील्ड नहीं है या खाली है।"),
    "INVALID_TYPE": Meaning(
        "The value has the wrong type; numbers are sent as numbers, not as text.",
        "मान का प्रकार गलत है; संख्याएँ टेक्स्ट के रूप में नहीं, संख्या के रूप में भेजें।",
    ),
    "INVALID_ENUM": Meaning("The value is not one of the allowed ones.", "मान अनुमत मानों में से नहीं है।"),
    "INVALID_DATE": Meaning("Not a date of the form YYYY-MM-DD.", "तारीख YYYY-MM-DD रूप में नहीं है।"),
    "FUTURE_DATE": Meaning("The date lies in the future.", "तारीख भविष्य की है।"),
    "DATE_TOO_OLD": Meaning("The date lies before the year 2000.", "तारीख वर्ष 2000 से पहले की है।"),
    "DUE_BEFORE_INVOICE": Meaning("The due date lies before the invoice date.", "देय तारीख बिल की तारीख से पहले है।"),
    "DUE_TOO_FAR": Meaning(
        "The due date lies more than a year after the invoice date.", "देय तारीख बिल की तारीख से एक वर्ष से अधिक बाद है।"
    ),
    "AMOUNT_OUT_OF_RANGE": Meaning(
        "The amount must be above 0 and at most 10 crore rupees.", "राशि 0 से अधिक और 10 करोड़ रुपये तक होनी चाहिए।"
    ),
    "AMOUNT_PRECISION": Meaning("The amount has more than two decimals.", "राशि में दो से अधिक दशमलव अंक हैं।"),
    "ALLOCATION_EXCEEDS_PAYMENT": Meaning(
        "The allocations add up to more than the payment.", "आवंटन का योग भुगतान से अधिक है।"
    ),
    "INVALID_GSTIN": Meaning("Not a GSTIN (form or check character).", "GSTIN मान्य नहीं है (रूप या जाँच अक्षर)।"),
    "INVALID_PHONE_HASH": Meaning(
        "Not a SHA-256 in lower-case hex (64 digits).", "यह छोटे अक्षरों वाला SHA-256 (64 अंक) नहीं है।"
    ),
    "MISSING_RETAILER": Meaning(
        "The record names no shop: neither retailer_gst nor retailer_ref, nor an invoice that could tell.",
        "रिकॉर्ड में दुकान नहीं है: न retailer_gst, न retailer_ref, न कोई बिल जिससे पता चले।",
    ),
    "ID_TOO_LONG": Meaning("The identifier is longer than 100 characters.", "पहचान 100 अक्षरों से लंबी है।"),
    "NAME_TOO_LONG": Meaning("The name is longer than 200 characters.", "नाम 200 अक्षरों से लंबा है।"),
    "DUPLICATE_IN_BATCH": Meaning(
        "Another record of this batch has the same identifier and other content.",
        "इस बैच के किसी अन्य रिकॉर्ड की पहचान यही है, पर विवरण अलग है।",
    ),
}

# The record was taken; the distributor may want to look.
WARNING: Final[dict[str, Meaning]] = {
    "PAYMENT_BEFORE_INVOICE": Meaning(
        "The payment is dated before its invoice.", "भुगतान की तारीख उसके बिल की तारीख से पहले है।"
    ),
    "UNKNOWN_INVOICE": Meaning(
        "No invoice of this identifier has been received yet.", "इस पहचान का कोई बिल अभी तक नहीं मिला है।"
    ),
}


def message(code: str, language: str = "en") -> str:
    """Return what a code means, in ``en`` or ``hi`` (any other language: English)."""
    meaning = QUARANTINE.get(code) or WARNING[code]
    return meaning.hi if language == "hi" else meaning.en
