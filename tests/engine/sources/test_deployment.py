"""The file of sources: what it may say, and how it is refused."""

from pathlib import Path
from typing import Any

import pytest

from altcredit.engine.sources import SOURCES, Clients, DeploymentInvalid
from altcredit.engine.sources.deployment import endpoint, load
from altcredit.runtime.settings import Settings

GOOD = '[scr]\nbase_url = "https://provider.example/api"\npath = "/scr"\n'


def _loaded(folder: Path, text: str, *, production: bool = False) -> Any:
    file = folder / "sources.toml"
    file.write_text(text)
    return load(file, SOURCES, production=production)


def test_what_is_left_out_is_as_the_source_declares_it(tmp_path: Path) -> None:
    terms = _loaded(tmp_path, GOOD)["scr"]
    assert (terms.price_centavos, terms.timeout_seconds, terms.valid_for_hours) == (90, 8.0, 168)
    terms = _loaded(tmp_path, GOOD + "price_centavos = 0\ntimeout_seconds = 2.5\nvalid_for_hours = 0")["scr"]
    assert (terms.price_centavos, terms.timeout_seconds, terms.valid_for_hours) == (0, 2.5, 0)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[scr", "not TOML"),
        ("[serasa]\nbase_url = 'https://x.example'", "serasa"),
        ("[scr]\npath = '/x'", "scr.base_url"),
        ("scr = 3", "scr"),
        (GOOD + "price = 3", "scr.price"),
        (GOOD + "price_centavos = -1", "scr.price_centavos"),
        (GOOD + "price_centavos = '90'", "scr.price_centavos"),
        (GOOD + "timeout_seconds = 0", "scr.timeout_seconds"),
        (GOOD + "at_once = 0", "scr.at_once"),
        (GOOD + "cert_file = 'c.pem'", "scr.key_file"),
        (GOOD + "[scr.credentials]\nAuthorization = 'Bearer abcdef'", "scr.credentials.Authorization"),
        (GOOD + "[scr.credentials]\n'X Y' = 'env:A'", "scr.credentials.X Y"),
        (GOOD + "[scr.credentials]\nHost = 'env:A'", "scr.credentials.Host"),
        (GOOD + "[scr.request]\nname = 'nome'", "scr.request.name"),
        (GOOD + "[scr.mapping]\nscore = 'a.b'", "scr.mapping.score"),
        (GOOD + "[scr.mapping]\nlimits_brl = {scale = 2}", "scr.mapping.limits_brl"),
        (GOOD + "[scr.mapping]\nlimits_brl = 'a'", "scr.mapping.institutions"),
        ("[scr]\nbase_url = 'ftp://x.example'", "scr.base_url"),
        ("[scr]\nbase_url = 'https://u:p@x.example'", "scr.base_url"),
        ("[scr]\nbase_url = 'https://x.example:99999'", "scr.base_url"),
        ("[scr]\nbase_url = 'https://açaí.example'", "scr.base_url"),
        ("[scr]\nbase_url = 'https://x y.example'", "scr.base_url"),
        ("[scr]\nbase_url = 'https://x.example?k=v'", "scr.base_url"),
        ("[scr]\nbase_url = 'https://x.example'\npath = 'scr'", "scr.path"),
        ("[scr]\nbase_url = 'https://x.example'\npath = \"/scr\\r\\nX: y\"", "scr.path"),
        ("[scr]\nbase_url = 'http://x.example'\nca_file = 'ca.pem'", "scr.base_url"),
    ],
)
def test_a_mistake_is_refused_by_file_table_and_field(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(DeploymentInvalid) as refused:
        _loaded(tmp_path, text)
    told = str(refused.value) + " ".join(detail.path for detail in refused.value.details)
    assert "sources.toml" in told
    assert names in told


def test_plain_http_is_not_for_production(tmp_path: Path) -> None:
    text = GOOD.replace("https", "http")
    assert _loaded(tmp_path, text)
    with pytest.raises(DeploymentInvalid, match=r"scr\.base_url"):
        _loaded(tmp_path, text, production=True)


def test_secrets_come_from_files_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    text = GOOD + "[scr.credentials]\nAuthorization = 'Bearer env:SCR'\nX-Key = 'file:token'"
    terms = _loaded(tmp_path, text)["scr"]
    file = tmp_path / "sources.toml"
    found = endpoint(terms, name="scr", file=file, environ={"SCR": "from-env"})
    assert found.headers == (("Authorization", "Bearer from-env"), ("X-Key", "from-file"))
    assert (found.host, found.port, found.target) == ("provider.example", 443, "/api/scr")
    for environ in ({}, {"SCR": ""}, {"SCR": "a\r\nb: c"}, {"SCR": "açaí"}):
        with pytest.raises(DeploymentInvalid, match=r"scr\.credentials\.Authorization") as refused:
            endpoint(terms, name="scr", file=file, environ=environ)
        assert "a\r\nb" not in str(refused.value)
    (tmp_path / "token").unlink()
    with pytest.raises(DeploymentInvalid, match=r"scr\.credentials\.X-Key"):
        endpoint(terms, name="scr", file=file, environ={"SCR": "x"})


async def test_a_certificate_that_is_none_is_refused_by_its_field(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    for field in ("ca_file", "cert_file"):
        text = GOOD + "ca_file = 'none.pem'" if field == "ca_file" else GOOD + "cert_file='c.pem'\nkey_file='k.pem'"
        file.write_text(text)
        with pytest.raises(DeploymentInvalid, match=rf"scr\.{field}"):
            await Clients.open(Settings(sources=str(file)))


async def test_no_file_means_no_sources(tmp_path: Path) -> None:
    assert (await Clients.open(Settings())).configured == ()
    with pytest.raises(DeploymentInvalid, match="cannot be read"):
        await Clients.open(Settings(sources=str(tmp_path / "none.toml")))
