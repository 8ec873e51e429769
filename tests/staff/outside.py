"""
Two identity providers that are not ours, answering our real AuthnRequests: npm's ``samlp`` and Debian's SimpleSAMLphp.

Both sign with a key that the test made, so that tests can also sign what neither of them would. They are installed once
a machine, into a folder of their own beside other temporary files: from npm's registry, and from Debian's archive.
"""

import base64
import fcntl
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.served import free_ports

from altcredit.engine.identity.people.saml import IdentityProvider, ServiceProvider
from altcredit.engine.identity.people.saml_request import request_url

SAMLP = "samlp@7.1.1"
CACHE = Path(tempfile.gettempdir()) / "altcredit-outside"
NAME_ID = "asha@example.in"


class Signer:
    """A key pair of an identity provider, with its certificate, as files too."""

    def __init__(self, folder: Path, *, days: tuple[int, int] = (-1, 30)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + timedelta(days=days[0])).not_valid_after(now + timedelta(days=days[1]))
        self.certificate = builder.sign(self.key, SHA256())
        self.key_pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()
        (folder / "idp.key").write_text(self.key_pem)
        (folder / "idp.crt").write_text(self.pem)
        self.folder = folder


@contextmanager
def once(name: str) -> Iterator[Path | None]:
    """Lend the folder ``name`` to be filled, to the first who comes; None to everybody after."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = CACHE / name
        if (folder / ".ready").exists():
            yield None
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
            (folder / ".ready").touch()


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, timeout=300)


RESPOND = """
const samlp = require("samlp");
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const sent = { set() {}, send(html) { process.stdout.write(String(html)); } };
samlp.auth({
  issuer: asked.issuer, cert: asked.cert, key: asked.key, audience: asked.audience, recipient: asked.acs,
  destination: asked.acs, lifetimeInSeconds: 120, signResponse: asked.signResponse,
  getPostURL: (audience, request, req, done) => done(null, asked.acs),
  getUserFromRequest: () => ({ id: asked.name_id, emails: [{ value: asked.name_id }], displayName: "Asha", name: { givenName: "Asha", familyName: "Rao" } }),
})({ method: "GET", query: asked.query }, sent, (error) => { throw error; });
"""


class Samlp:
    """npm's ``samlp``, Auth0's identity provider."""

    def __init__(self, signer: Signer, *, sign_response: bool = False) -> None:
        self.signer, self.sign_response = signer, sign_response
        self.idp = IdentityProvider(
            entity_id="urn:samlp:test", sso_url="https://idp.test/sso", certificates=(signer.certificate,)
        )

    @contextmanager
    def running(self, sp: ServiceProvider) -> Iterator[None]:
        with once("samlp") as folder:
            if folder is not None:
                _run("npm", "install", "--silent", "--no-audit", "--no-fund", SAMLP, cwd=folder)
        yield

    def respond(self, sp: ServiceProvider, url: str) -> str:
        """Return the SAMLResponse field that answers a request at ``url``."""
        asked = {
            "issuer": self.idp.entity_id,
            "cert": self.signer.pem,
            "key": self.signer.key_pem,
            "audience": sp.entity_id,
            "acs": sp.acs_url,
            "name_id": NAME_ID,
            "signResponse": self.sign_response,
            "query": {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()},
        }
        answer = subprocess.run(
            ["node", "--no-deprecation", "-e", RESPOND],
            cwd=CACHE / "samlp",
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stderr
        return field(answer.stdout)


class SimpleSamlPhp:
    """Debian's SimpleSAMLphp in PHP's own web server, its person signed in already."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        (self.port,) = free_ports(1)
        here = f"http://127.0.0.1:{self.port}"
        self.idp = IdentityProvider(
            entity_id=f"{here}/idp",
            sso_url=f"{here}/saml2/idp/SSOService.php",
            certificates=(signer.certificate,),
        )
        self.here = here

    @contextmanager
    def running(self, sp: ServiceProvider) -> Iterator[None]:
        with once("simplesamlphp") as folder:
            if folder is not None:
                _run("apt-get", "download", "simplesamlphp", cwd=folder)
                (package,) = folder.glob("*.deb")
                _run("dpkg", "-x", str(package), str(folder / "root"))
        self._configure(sp)
        www = CACHE / "simplesamlphp/root/usr/share/simplesamlphp/www"
        environ = {"SIMPLESAMLPHP_CONFIG_DIR": str(self.signer.folder / "config"), "PATH": "/usr/bin:/bin"}
        command = ["php", "-d", "error_reporting=0", "-S", f"127.0.0.1:{self.port}", "-t", str(www)]
        with (self.signer.folder / "php.log").open("w") as output:
            process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
        try:
            self._await()
            yield
        finally:
            process.terminate()
            process.wait(timeout=10)

    def _await(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                httpx2.get(f"{self.here}/saml2/idp/metadata.php", timeout=10)
                return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise TimeoutError((self.signer.folder / "php.log").read_text())

    def _configure(self, sp: ServiceProvider) -> None:
        folder = self.signer.folder
        (folder / "config").mkdir()
        (folder / "metadata").mkdir()
        (folder / "config/config.php").write_text(
            f"""<?php $config = ['baseurlpath' => '{self.here}/', 'certdir' => '{folder}/', 'loggingdir' => '{folder}/',
            'datadir' => '{folder}/', 'tempdir' => '{folder}/temp', 'metadatadir' => '{folder}/metadata/',
            'secretsalt' => 'for tests', 'auth.adminpassword' => 'for tests', 'technicalcontact_email' => 'na@example.in',
            'timezone' => 'UTC', 'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true],
            'logging.handler' => 'errorlog', 'session.cookie.secure' => false, 'store.type' => 'phpsession',
            'metadata.sources' => [['type' => 'flatfile']], 'session.phpsession.savepath' => '{folder}',
            'language.available' => ['en'], 'language.default' => 'en', 'theme.use' => 'default'];"""
        )
        (folder / "config/authsources.php").write_text(
            f"<?php $config = ['static' => ['exampleauth:StaticSource', 'mail' => ['{NAME_ID}']]];"
        )
        (folder / "metadata/saml20-idp-hosted.php").write_text(
            f"""<?php $metadata['{self.idp.entity_id}'] = ['host' => '__DEFAULT__', 'privatekey' => 'idp.key',
            'certificate' => 'idp.crt', 'auth' => 'static'];"""
        )
        (folder / "metadata/saml20-sp-remote.php").write_text(
            f"""<?php $metadata['{sp.entity_id}'] = ['AssertionConsumerService' => '{sp.acs_url}',
            'NameIDFormat' => 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
            'simplesaml.nameidattribute' => 'mail'];"""
        )

    def respond(self, sp: ServiceProvider, url: str) -> str:
        """Return the SAMLResponse field that answers a request at ``url``."""
        with httpx2.Client(follow_redirects=True, timeout=30) as client:
            return field(client.get(url).text)


def field(html: str) -> str:
    """Return the SAMLResponse field of a page's form."""
    found = re.search(r'name="SAMLResponse"\s+value="([^"]+)"', html)
    assert found is not None, html[:3000]
    return unescape(found[1])


def genuine(idp: "Samlp | SimpleSamlPhp", sp: ServiceProvider, request_id: str) -> bytes:
    """Return the XML of a provider's answer to a request of ours, made now."""
    url = request_url(idp=idp.idp, sp=sp, request_id=request_id, relay_state=request_id, now=datetime.now(UTC))
    return base64.b64decode(idp.respond(sp, url))
