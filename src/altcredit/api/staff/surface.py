"""The staff sign-in on the admin listener: pages, ceremonies, and the session's own API."""

from altcredit.api.staff import ceremonies, pages, session
from altcredit.api.staff.errors import ERROR_TABLE, ERRORS

PAGES = (*pages.ROUTES, *ceremonies.ROUTES)
API = session.ROUTES
ROUTES = (*PAGES, *API)

__all__ = ["API", "ERRORS", "ERROR_TABLE", "PAGES", "ROUTES"]
