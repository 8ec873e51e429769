"""The two parties of single sign-on, as the settings name them."""

from datetime import datetime
from pathlib import Path

from altcredit.engine.identity.people import development
from altcredit.engine.identity.people.saml import IdentityProvider, ServiceProvider
from altcredit.engine.identity.people.saml_request import read_metadata
from altcredit.engine.identity.people.staff import MetadataInvalid, SignInNotSetUp
from altcredit.runtime.settings import Settings


def service_provider(settings: Settings) -> ServiceProvider:
    """Return ourselves."""
    origin = settings.staff_origin
    return ServiceProvider(
        entity_id=settings.saml_entity_id or f"{origin}/staff/metadata", acs_url=f"{origin}/staff/acs"
    )


def identity_provider(settings: Settings, *, now: datetime) -> IdentityProvider:
    """
    Return the identity provider of the settings: that of the metadata file, or the built-in one of development.

    :raises SignInNotSetUp: no file is named, and this is not a development environment.
    :raises MetadataInvalid: the file cannot be used.
    """
    if settings.has_builtin_idp:
        return development.provider(settings, now=now).described
    if not settings.saml_idp:
        raise SignInNotSetUp
    try:
        content = Path(settings.saml_idp).expanduser().read_bytes()
    except OSError as error:
        raise MetadataInvalid(f"{settings.saml_idp}: cannot be read ({error.strerror})") from error
    return read_metadata(content)
