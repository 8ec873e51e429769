import secrets
import uuid


def new_id(prefix: str) -> str:
    """Return an opaque identifier, ``prefix_`` and 16 hex digits (64 random bits)."""
    return f"{prefix}_{secrets.token_hex(8)}"


def new_uuid() -> str:
    """Return a random UUID in its canonical text form."""
    return str(uuid.uuid4())


def new_secret() -> str:
    """Return 256 random bits as 64 hex digits, for secrets that are given to a client once."""
    return secrets.token_hex(32)
