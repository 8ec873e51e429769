"""A fake AltScore over real TLS, a distributor's credentials for it, and a site to push from."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from connector.tests.authority import Authority
from connector.tests.fake_altscore import FakeAltScore
from connector.tests.harness import Site


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def client_certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("dist_c4f9")


@pytest.fixture(scope="session")
def server_certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("localhost", server=True)


@pytest.fixture
def altscore(authority: Authority, server_certificate: tuple[Path, Path]) -> Iterator[FakeAltScore]:
    server = FakeAltScore(*server_certificate, authority.ca)
    yield server
    server.stop()


@pytest.fixture
def site(tmp_path: Path, altscore: FakeAltScore, authority: Authority, client_certificate: tuple[Path, Path]) -> Site:
    return Site(tmp_path, altscore, authority.ca, *client_certificate)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    """Return what was printed on stdout since last asked, read as JSON."""

    def read() -> dict[str, Any]:
        text = capsys.readouterr().out
        return json.loads(text[text.index("{") :])  # type: ignore[no-any-return]

    return read
