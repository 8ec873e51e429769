"""Reading failures of the network."""

import ssl


def untrusted(error: BaseException) -> str | None:
    """Return why the other side's certificate was not accepted, if that is what made a request fail."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message
        cause = cause.__cause__ or cause.__context__
    return None


def describe(error: Exception) -> str:
    """Return the kind of a failure and what it says, in one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
