"""A session with the SAP Business One Service Layer: login cookies, a new login when they expire, and paging."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from altcredit_connector import network
from altcredit_connector.config import Sap
from altcredit_connector.staging import SourceError

PAGE = 500
TIMEOUT = httpx2.Timeout(120, connect=10)
RETRIES = (1.0, 5.0, 20.0)
"""Seconds before each repetition of a request that the network or an overloaded Service Layer dropped."""

Entity = dict[str, Any]


class SapError(SourceError):
    """The Service Layer cannot be reached or refuses; ``status`` is its HTTP status, 0 if there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Session:
    """Logged in when first needed; the cookies B1SESSION and ROUTEID are kept by the client."""

    def __init__(self, config: Sap, password: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._config, self._password, self._sleep = config, password, sleep
        context = ssl.create_default_context(cafile=str(config.ca) if config.ca else None)
        self._http = httpx2.Client(verify=context, timeout=TIMEOUT, trust_env=False)
        self._logged_in = False

    def close(self) -> None:
        """Log out, because the licence allows few sessions, and close the connection."""
        try:
            if self._logged_in:
                self._http.post(f"{self._config.url}/Logout")
        except httpx2.TransportError:
            return  # the session ends by itself after thirty minutes
        finally:
            self._http.close()

    def login(self) -> None:
        """Log in; raises ``SapError`` with what SAP says."""
        self._http.cookies.clear()
        body = {"CompanyDB": self._config.company_db, "UserName": self._config.user, "Password": self._password}
        answer = self._once(lambda: self._http.post(f"{self._config.url}/Login", json=body))
        if answer.status_code != HTTPStatus.OK:
            raise SapError(f"SAP refuses the login of {self._config.user}: {_reason(answer)}", answer.status_code)
        self._logged_in = True

    def get(self, path: str, params: dict[str, str]) -> Entity:
        """Return one answer; an expired session (401) is renewed once."""
        if not self._logged_in:
            self.login()
        answer = self._request(path, params)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self.login()
            answer = self._request(path, params)
        if answer.status_code != HTTPStatus.OK:
            raise SapError(f"SAP: {path}: {_reason(answer)}", answer.status_code)
        content = json.loads(answer.content, parse_float=Decimal)
        if not isinstance(content, dict):
            raise SapError(f"SAP: {path}: the answer is no JSON object")
        return content

    def each(self, entity: str, params: dict[str, str]) -> Iterator[Entity]:
        """Yield all members of a collection, page by page.

        A next link may leave out our filter and order, so only what it adds (``$skip``) is taken from it.
        """
        asked = dict(params)
        while True:
            page = self.get(entity, asked)
            yield from page.get("value", ())
            link = page.get("odata.nextLink") or page.get("@odata.nextLink")
            if not link:
                return
            following = params | dict(parse_qsl(urlsplit(str(link)).query))
            if following == asked:
                raise SapError(f"SAP: {entity}: the next page is the same as this one")
            asked = following

    def _request(self, path: str, params: dict[str, str]) -> httpx2.Response:
        headers = {"Prefer": f"odata.maxpagesize={PAGE}"}
        return self._once(lambda: self._http.get(f"{self._config.url}/{path}", params=params, headers=headers))

    def _once(self, call: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Make a request until it is answered; reading twice does no harm."""
        for pause in (*RETRIES, None):
            try:
                answer = call()
                if answer.status_code not in (502, 503, 504) or pause is None:
                    return answer
            except httpx2.TransportError as error:
                reason = network.untrusted(error)
                if pause is None or reason:
                    raise SapError(f"SAP at {self._config.url}: {reason or network.describe(error)}") from error
            self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def _reason(answer: httpx2.Response) -> str:
    """Return SAP's own message, e.g. ``{"error": {"code": -304, "message": {"value": …}}}``."""
    try:
        error = answer.json()["error"]
        message = error["message"]
        text = message["value"] if isinstance(message, dict) else message
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
    return f"HTTP {answer.status_code}: {text}"
