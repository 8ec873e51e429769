"""
Every setting of the product, read once from ``ALTCREDIT_*`` environment variables.

``docs/settings.md`` is generated from this module (``make docs``), and a test fails when the two differ.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from altcredit.runtime.refusal import Refusal

PREFIX = "ALTCREDIT_"

BUILT_IN = "built-in"

Environment = Literal["development", "sandbox", "production"]
_WEB = r"\A(https://[!-~]{3,120})?\Z"
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class SettingsInvalid(Refusal):
    """A setting has a value that cannot be used; the message names the variable."""


def _says(description: str) -> msgspec.Meta:
    return msgspec.Meta(description=description)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one process. Field ``home`` is read from ``ALTCREDIT_HOME``, and so on."""

    environment: Annotated[
        Environment, _says("What this deployment is; production refuses every development default.")
    ] = "development"
    home: Annotated[
        str, _says("Folder of all that the embedded defaults write: database, lake, keys, certificates.")
    ] = "var"
    database_url: Annotated[
        str, _says("PostgreSQL 15 or newer, `postgresql://…`; empty starts the embedded server.")
    ] = ""
    database_connections: Annotated[int, msgspec.Meta(ge=2, le=500, description="Connections a process may hold.")] = 32
    pg_bin: Annotated[str, _says("Folder of PostgreSQL binaries for the embedded server; empty: the bundled ones.")] = (
        ""
    )
    pg_port: Annotated[Port, _says("Port of the embedded server on loopback; 0 takes a free one.")] = 0
    lake: Annotated[str, _says("Folder of bronze, silver and gold files; empty: `lake` under the home folder.")] = ""
    key_file: Annotated[str, _says("Key file (`altcredit keys create`); empty: a development key under home.")] = ""
    pkcs11_module: Annotated[
        str, _says("Library of the hardware module that the key file is wrapped by (`pkcs11:…`, see keys.md).")
    ] = ""
    pkcs11_pin_file: Annotated[str, _says("File of the PIN of the module's token.")] = ""
    vault_address: Annotated[
        str,
        _says(
            "Vault or OpenBao server that the key file is wrapped by (`vault:…`): `https://…`, or an agent on loopback."
        ),
    ] = ""
    vault_token_file: Annotated[str, _says("File of the token for it; empty: the agent adds one.")] = ""
    vault_namespace: Annotated[str, _says("Namespace on it.")] = ""
    vault_ca: Annotated[str, _says("Authorities (PEM) of its certificate; empty: the system's.")] = ""
    host: Annotated[str, _says("Address of the public listener.")] = "127.0.0.1"
    port: Annotated[Port, _says("Port of the public listener (HTTPS, TLS 1.3).")] = 8443
    admin_host: Annotated[str, _says("Address of the admin listener (metrics, health; loopback by default).")] = (
        "127.0.0.1"
    )
    admin_port: Annotated[Port, _says("Port of the admin listener.")] = 8444
    admin_url: Annotated[
        str, _says("Origin of the admin listener as staff's browsers see it; empty: `https://localhost` and its port.")
    ] = ""
    saml_idp: Annotated[
        str,
        _says(
            "Metadata (SAML 2.0, XML file) of the identity provider that signs staff in; `built-in` is a page that "
            "believes any name, for development; empty: that page in development, nobody elsewhere."
        ),
    ] = ""
    saml_entity_id: Annotated[
        str, _says("Our entity id at the identity provider; empty: the address of our metadata, `/staff/metadata`.")
    ] = ""
    staff_key_roots: Annotated[
        str, _says("Makers whose hardware keys staff may enrol: a file of roots (PEM), or a FIDO MDS3 blob.")
    ] = ""
    staff_virtual_keys: Annotated[
        bool, _says("Let staff enrol Chromium's virtual authenticators too; refused in production.")
    ] = False
    worker_port: Annotated[Port, _says("Port of a worker's own metrics on the admin address (HTTPS); 0: none.")] = 0
    base_url: Annotated[
        str, _says("Address that clients use, printed in examples; empty: made from host and port.")
    ] = ""
    tls_cert: Annotated[str, _says("Server certificate chain (PEM); empty: one from the development authority.")] = ""
    tls_key: Annotated[str, _says("Private key of the server certificate (PEM).")] = ""
    client_ca: Annotated[
        str, _says("Authority of distributors' client certificates (PEM); empty: the built-in one.")
    ] = ""
    trusted_proxies: Annotated[
        str, _says("Comma-separated addresses that may send Client-Cert, Forwarded and X-Forwarded-For for clients.")
    ] = ""
    kafka_bootstrap: Annotated[str, _says("Kafka brokers `host:port,…` that events are relayed to; empty: none.")] = ""
    kafka_properties: Annotated[
        str, _says("File of further librdkafka properties, `name=value` a line (`security.protocol=SASL_SSL`, …).")
    ] = ""
    kafka_topic: Annotated[str, _says("Topic of the relayed events.")] = "altcredit.events"
    callback_ports: Annotated[str, _says("Comma-separated ports that callbacks may go to; development allows all.")] = (
        "443,8443"
    )
    callback_networks: Annotated[
        str,
        _says(
            "Comma-separated private networks (`10.1.0.0/16`) that callbacks may go to, beside all global addresses; "
            "development adds loopback."
        ),
    ] = ""
    callback_ca: Annotated[
        str, _says("Further authorities (PEM) that callback receivers' certificates may be of, beside the system's.")
    ] = ""
    otlp_endpoint: Annotated[str, _says("OpenTelemetry collector, OTLP over HTTP; empty: tracing is off.")] = ""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _says("Least severe line that is logged.")] = (
        "info"
    )
    sources: Annotated[str, _says("File of GUARD's data sources (TOML, see sources.md); empty: none are asked.")] = ""
    limit_policy: Annotated[
        str, _says("File of AltScore's limit policy (TOML, see operating.md); empty: the one of the product.")
    ] = ""
    underwriting_policy: Annotated[
        str, _says("File of GUARD's underwriting policy (TOML, see operating.md); empty: the one of the product.")
    ] = ""
    audit_heads: Annotated[
        str,
        _says(
            "File that signed tree heads of the audit log are also appended to; put it where the database's operator "
            "cannot write. Empty: `audit/heads.jsonl` under the home folder."
        ),
    ] = ""
    whatsapp_base_url: Annotated[
        str, _says("WhatsApp's Cloud API, `https://graph.facebook.com`; empty: messages are queued, and none is sent.")
    ] = ""
    whatsapp_phone_number_id: Annotated[str, _says("Id of the phone number that messages are sent from.")] = ""
    whatsapp_verify_token: Annotated[
        str, _says("Word that WhatsApp must know to set up its webhook; empty outside production: made up under home.")
    ] = ""
    whatsapp_app_secret_file: Annotated[
        str, _says("File of the app secret that signs webhooks; empty outside production: made up under home.")
    ] = ""
    whatsapp_access_token_file: Annotated[str, _says("File of the token that messages are sent with.")] = ""
    issuer: Annotated[str, _says("`iss` claim of access tokens.")] = "altscore.in"
    sandbox_delay: Annotated[
        float, msgspec.Meta(ge=0, le=3600, description="Seconds that the sandbox takes to underwrite an application.")
    ] = 10
    residency: Annotated[
        str,
        _says("Country in which all data is kept, as the operator asserts it (`IN`); stated in compliance reports."),
    ] = ""
    fiduciary: Annotated[
        str,
        msgspec.Meta(
            max_length=80,
            description="Name of the data fiduciary, who asks in consent notices; empty outside production: AltCredit.",
        ),
    ] = ""
    rights_url: Annotated[
        str,
        msgspec.Meta(
            pattern=_WEB,
            description="Page where shops claim their rights, in consent notices (short: they hold 1,024 characters); "
            "empty outside production: an example. Production asks nobody for consent without it.",
        ),
    ] = ""
    dpo_contact: Annotated[
        str,
        msgspec.Meta(
            max_length=80,
            description="How shops reach the data protection officer, in consent notices: an e-mail address or phone "
            "number; empty: as with the page of rights.",
        ),
    ] = ""
    board_url: Annotated[
        str,
        msgspec.Meta(
            pattern=_WEB,
            description="Page where shops complain to the Data Protection Board, in consent notices; empty: as with "
            "the page of rights.",
        ),
    ] = ""

    @property
    def home_path(self) -> Path:
        """The home folder, absolute."""
        return Path(self.home).expanduser().resolve()

    @property
    def staff_origin(self) -> str:
        """The origin of the admin listener as staff's browsers see it: scheme, host and port."""
        return self.admin_url.rstrip("/") or f"https://localhost:{self.admin_port}"

    @property
    def has_builtin_idp(self) -> bool:
        """Whether the built-in page signs staff in, which is so in development only."""
        return self.environment == "development" and self.saml_idp in ("", BUILT_IN)

    @property
    def lake_path(self) -> Path:
        """The folder of the lake, absolute."""
        return Path(self.lake).expanduser().resolve() if self.lake else self.home_path / "lake"

    @property
    def audit_heads_path(self) -> Path:
        """The file of signed tree heads, absolute."""
        if self.audit_heads:
            return Path(self.audit_heads).expanduser().resolve()
        return self.home_path / "audit" / "heads.jsonl"


def load(environ: Mapping[str, str]) -> Settings:
    """
    Read the settings from environment variables.

    :raises SettingsInvalid: a variable has an unusable value, or no setting has its name; production lacks a
        database of its own (its keys and certificates are refused where they are opened), or is given what is for
        development.
    """
    values = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsInvalid(f"Settings ({PREFIX}…): {error}") from error
    if settings.environment == "production" and not settings.database_url:
        raise SettingsInvalid(f"Production needs a database of its own: set {PREFIX}DATABASE_URL.")
    if settings.environment != "development" and settings.saml_idp == BUILT_IN:
        raise SettingsInvalid(f"The built-in identity provider is for development: {PREFIX}SAML_IDP names another.")
    if settings.environment == "production" and settings.staff_virtual_keys:
        raise SettingsInvalid(f"Virtual keys are no keys: production refuses {PREFIX}STAFF_VIRTUAL_KEYS.")
    return settings
