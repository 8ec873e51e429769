"""The ASGI application of one listener, made from declared routes."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.routing import Route as PathRoute
from starlette.routing import Router

from altcredit.api.contract import Route
from altcredit.api.endpoint import Endpoint
from altcredit.api.refusals import Errors
from altcredit.runtime.platform import Platform

UNKNOWN_PATH = "*"


def application(platform: Platform, errors: Errors, routes: Iterable[Route]) -> Any:
    """Return an ASGI application that serves ``routes`` and answers everything else in the same error body."""
    paths: dict[str, dict[str, Route]] = {}
    for route in routes:
        methods = paths.setdefault(route.path, {})
        assert route.method not in methods, f"{route.method} {route.path} is declared twice"
        methods[route.method] = route
        if route.method == "GET":
            methods["HEAD"] = route
    endpoints = {path: Endpoint(platform, errors, path, methods) for path, methods in paths.items()}
    default: Any = _HttpOnly(Endpoint(platform, errors, UNKNOWN_PATH, {}))
    patterns = [PathRoute(path, endpoint) for path, endpoint in endpoints.items() if "{" in path]
    return _Paths(endpoints, Router(patterns, redirect_slashes=False, default=default))


class _Paths:
    """Finds plain paths by name; only those with parameters are matched one after the other."""

    def __init__(self, endpoints: Mapping[str, Endpoint], otherwise: Router) -> None:
        self.endpoints = endpoints
        self.otherwise = otherwise

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        endpoint = self.endpoints.get(scope["path"]) if scope["type"] == "http" else None
        await (endpoint or self.otherwise)(scope, receive, send)


class _HttpOnly:
    """Answers unknown paths, and closes what is not HTTP."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.endpoint(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
