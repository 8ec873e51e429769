"""What the pages of staff tell browsers: what may run, and what may be kept."""

SIGN_IN_COOKIE = "__Host-altcredit-sign-in"

# Nothing inline, nothing from elsewhere, in no frame. `form-action` stays open to no one but ourselves.
HTML = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self';"
        b" base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"publickey-credentials-get=(self), publickey-credentials-create=(self)"),
)


def set_cookie(name: str, value: str, *, seconds: int, cross_site: bool = False) -> tuple[bytes, bytes]:
    """
    Return the header that sets a cookie for this host alone, unreadable for scripts; no ``seconds`` deletes it.

    ``cross_site``: sent with requests from other sites too, as the identity provider's POST is one.
    """
    same_site = "None" if cross_site else "Strict"
    text = f"{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={seconds}"
    return (b"set-cookie", text.encode())
