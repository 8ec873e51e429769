"""The ASGI application of one listener, made from the declared routes of its surfaces."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.routing import Route as PathRoute
from starlette.routing import Router

from altcredit.api.contract import Route
from altcredit.api.endpoint import Endpoint
from altcredit.api.refusals import Errors
from altcredit.runtime.platform import Platform

UNKNOWN_PATH = "*"


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """One product's routes and its table of errors, which also answers unknown paths ``under`` its own."""

    errors: Errors
    routes: Sequence[Route]
    under: str = ""


def application(platform: Platform, *surfaces: Surface) -> Any:
    """Return an ASGI application that serves the surfaces; the first answers whatever is under none of the others."""
    endpoints: dict[str, Endpoint] = {}
    for surface in surfaces:
        served = _endpoints(platform, surface.errors, surface.routes)
        assert not endpoints.keys() & served.keys(), f"two surfaces serve {endpoints.keys() & served.keys()}"
        endpoints |= served
    unknown = {surface.under: Endpoint(platform, surface.errors, UNKNOWN_PATH, {}) for surface in surfaces}
    default: Any = _HttpOnly(unknown.pop(surfaces[0].under), unknown)
    patterns = [PathRoute(path, endpoint) for path, endpoint in endpoints.items() if "{" in path]
    return _Paths(endpoints, Router(patterns, redirect_slashes=False, default=default))


def _endpoints(platform: Platform, errors: Errors, routes: Iterable[Route]) -> dict[str, Endpoint]:
    paths: dict[str, dict[str, Route]] = {}
    for route in routes:
        methods = paths.setdefault(route.path, {})
        assert route.method not in methods, f"{route.method} {route.path} is declared twice"
        methods[route.method] = route
        if route.method == "GET":
            methods["HEAD"] = route
    return {path: Endpoint(platform, errors, path, methods) for path, methods in paths.items()}


class _Paths:
    """Finds plain paths by name; only those with parameters are matched one after the other."""

    def __init__(self, endpoints: Mapping[str, Endpoint], otherwise: Router) -> None:
        self.endpoints = endpoints
        self.otherwise = otherwise

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        endpoint = self.endpoints.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or self.otherwise)(scope, receive, send)


class _HttpOnly:
    """Answers unknown paths, each in its surface's way, and closes what is not HTTP."""

    def __init__(self, otherwise: Endpoint, under: Mapping[str, Endpoint]) -> None:
        self.otherwise = otherwise
        self.under = under

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            place = f"{scope['path']}/"
            found = (endpoint for root, endpoint in self.under.items() if place.startswith(f"{root}/"))
            await next(found, self.otherwise)(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
