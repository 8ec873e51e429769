"""``altcredit messaging``: wordings that WhatsApp can approve, and a stand-in that serves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from altcredit.cli.messaging import templates
from altcredit.engine.messaging import definitions

ROOT = Path(__file__).parents[2]


def test_the_templates_are_printed_as_whatsapp_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    templates(json=True)
    assert json.loads(capsys.readouterr().out) == definitions()
    templates()
    assert "consent_invitation_v1" in capsys.readouterr().out


def test_the_stand_in_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    settings = {"ALTCREDIT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    argv = [sys.executable, "-m", "altcredit", "messaging", "serve", "--port", "0", "--webhook", "http://127.0.0.1:1/"]
    with subprocess.Popen(argv, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline().decode()
            assert "http://127.0.0.1:" in line, line
            base_url = next(word.rstrip(";") for word in line.split() if word.startswith("http://127.0.0.1:"))
            account = json.loads((tmp_path / "keys" / "whatsapp.json").read_text())
            refused = httpx2.post(f"{base_url}/v23.0/106400000000000/messages", json={})
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, 190)
            headers = {"authorization": f"Bearer {account['access_token']}"}
            text = {"messaging_product": "whatsapp", "to": "919812345678", "type": "text", "text": {"body": "x"}}
            late = httpx2.post(f"{base_url}/v23.0/106400000000000/messages", json=text, headers=headers)
            assert (late.status_code, late.json()["error"]["code"]) == (400, 131047)
            assert httpx2.get(f"{base_url}/phones/919812345678").json()["messages"] == []
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=20) == 0
