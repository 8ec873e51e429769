import secrets
import string
import uuid

_LETTERS_AND_DIGITS = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """Return an opaque identifier, ``prefix_`` and 16 hex digits (64 random bits)."""
    return f"{prefix}_{secrets.token_hex(8)}"


def new_uuid() -> str:
    """Return a random UUID in its canonical text form."""
    return str(uuid.uuid4())


def new_secret() -> str:
    """Return 256 random bits as 64 hex digits, for secrets that are given to a client once."""
    return secrets.token_hex(32)


def new_code() -> str:
    """Return six random digits, for a code that is typed in once within minutes."""
    return f"{secrets.randbelow(1_000_000):06d}"


def new_token() -> str:
    """Return 64 random letters and digits (381 bits), the form of a partner's token (contract U9)."""
    return "".join(secrets.choice(_LETTERS_AND_DIGITS) for _ in range(64))
