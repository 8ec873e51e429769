"""What the demo leaves behind: ``demo.json`` for scripts, and a call to repeat by hand."""

import sys
from typing import Any

import msgspec

from altcredit.cli.demo import guard
from altcredit.cli.demo.cast import PURPOSE, Cast, id_of
from altcredit.cli.output import errors
from altcredit.engine import messaging
from altcredit.runtime.platform import Platform
from altcredit.runtime.settings import Settings


async def write(
    chosen: Settings, platform: Platform, cast: Cast, partners: tuple[guard.Partner, guard.Partner]
) -> None:
    """Write demo.json: what a user's first scripts read."""
    groups = {}
    for group in ("scored", "unscored", "insufficient", "unconsented"):
        groups[group] = [
            {
                "retailer_id": await id_of(platform, shop.gstin),
                "gstin": shop.gstin,
                "phone_hash": shop.phone_hash,
                "distributor_id": cast.world.distributors[shop.accounts[0].distributor].distributor_id,
            }
            for shop in cast.world.group(group)
            if shop != cast.shopkeeper  # whom the demo has asked by WhatsApp, scored, and heard withdraw
        ]
    account = messaging.Account.of(chosen)
    content = {
        "environment": chosen.environment,
        "base_url": chosen.base_url,
        "admin_url": f"https://localhost:{chosen.admin_port}",
        "ca_file": str(cast.ca_file),
        "lender": msgspec.to_builtins(cast.lender),
        "other_lender": msgspec.to_builtins(cast.other_lender),
        "service": msgspec.to_builtins(cast.service),
        "distributors": [
            {
                "distributor_id": issued.distributor_id,
                "cert_file": str(cast.folder / issued.distributor_id / "cert.pem"),
                "key_file": str(cast.folder / issued.distributor_id / "key.pem"),
                "api_key": issued.api_key,
                "signing_secret": issued.signing_secret,
                "erp": one.erp,
            }
            for one, issued in zip(cast.world.distributors, cast.distributors, strict=True)
        ],
        "retailers": groups,
        "partner": msgspec.to_builtins(partners[0]),
        "other_partner": msgspec.to_builtins(partners[1]),
        "whatsapp": {
            "verify_token": account.verify_token,
            "app_secret": account.app_secret,
            "base_url": account.base_url,
        },
        "purpose": PURPOSE,
    }
    path = chosen.home_path / "demo.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def finish(chosen: Settings, cast: Cast, answer: dict[str, Any], headers: dict[str, str]) -> None:
    """Print the score, and how to ask for it again."""
    errors.print("\nThe answer of [bold]POST /v1/score[/]:")
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
    sys.stdout.flush()
    body = msgspec.json.encode({"retailer_id": answer["retailer_id"], "purpose": PURPOSE}).decode()
    lines = [f"curl --cacert {cast.ca_file}"]
    lines += [f"-H '{name}: {value}'" for name, value in headers.items()]
    lines += ["-H 'Content-Type: application/json'", f"-d '{body}'", f"{chosen.base_url}/v1/score"]
    errors.print("\nThe same with curl (the token is good for an hour):")
    sys.stdout.write(" \\\n  ".join(lines) + "\n")
    sys.stdout.flush()
    errors.print(f"\nWhat scripts need is in {chosen.home_path / 'demo.json'}.")
