"""Names, phone numbers and GSTINs of simulated shops."""

import hashlib

import numpy as np

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTERS = ALPHABET[10:]

OWNERS = (
    *("Gupta", "Sharma", "Ramesh", "Lakshmi", "Patel", "Iyer", "Khan", "Singh", "Joshi", "Deshmukh", "Reddy", "Nair"),
    *("Mehta", "Yadav", "Bose", "Chauhan", "Pillai", "Shinde", "Agarwal", "Verma", "Kulkarni", "Das", "Naidu", "Jain"),
    *("Thakur", "Shaikh", "Mishra", "Rathod", "Pawar", "Bhat", "Sethi", "Kaur", "Menon", "Pandey", "Saxena", "Tiwari"),
    *("Ansari", "D'Souza", "Gowda", "Barua"),
)
TRADES = (
    "Kirana & Sons",
    "General Store",
    "Provision Stores",
    "Super Bazaar",
    "Medical & General",
    "Traders",
    "Kirana",
    "Departmental Store",
    "Stores",
    "Mart",
)
PLACES = (
    ("Pune", "MH", "27"),
    ("Nashik", "MH", "27"),
    ("Nagpur", "MH", "27"),
    ("Bengaluru", "KA", "29"),
    ("Mysuru", "KA", "29"),
    ("Ahmedabad", "GJ", "24"),
    ("Surat", "GJ", "24"),
    ("Lucknow", "UP", "09"),
    ("Kanpur", "UP", "09"),
    ("Chennai", "TN", "33"),
    ("Madurai", "TN", "33"),
    ("Jaipur", "RJ", "08"),
)
"""City, state, and the state's GST code."""

QUARTERS = ("", "Station Road", "Main Bazaar", "Gandhi Nagar", "Market Yard", "Shivaji Chowk", "M G Road", "Camp")


def check_digit(first14: str) -> str:
    """Return the 15th character of a GSTIN: weights 1, 2, 1, 2, … in base 36 (Luhn's scheme, as the GSTN uses it)."""
    total = 0
    for position, character in enumerate(first14):
        product = ALPHABET.index(character) * (1 + position % 2)
        total += product // 36 + product % 36
    return ALPHABET[-total % 36]


def gstin(number: int, owner: str, state_code: str, rng: np.random.Generator) -> str:
    """Return a well-formed GSTIN, different for every ``number`` below 6.7 million."""
    prefix = "".join(LETTERS[i] for i in rng.integers(0, 26, 2)) + LETTERS[number // 9_999 % 26]
    pan = f"{prefix}P{owner[0].upper()}{1 + number * 7919 % 9_999:04d}{LETTERS[number // 259_974 % 26]}"
    first14 = f"{state_code}{pan}1Z"
    return first14 + check_digit(first14)


def phone(number: int, seed: int) -> str:
    """Return the digits of an Indian mobile number in E.164 without the plus, different for every ``number``."""
    subscriber = (number * 1_618_033_989 + seed * 7_919) % 2_999_999_929  # a prime: the map is one to one
    return f"91{7_000_000_000 + subscriber}"


def phone_hash(digits: str) -> str:
    """Return the hash by which a phone is named: SHA-256 of the E.164 digits, lower-case hex (contract C1)."""
    return hashlib.sha256(digits.encode()).hexdigest()


def retailer_id(number: int, seed: int) -> str:
    """Return an opaque id for files that are written as if they had been ingested: ``ret_`` and 16 hex digits."""
    return f"ret_{hashlib.blake2b(f'{seed}:{number}'.encode(), digest_size=8).hexdigest()}"
