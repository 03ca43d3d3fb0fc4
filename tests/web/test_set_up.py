"""The set-up page writes the codes that the doorbell reads, and its file is complete and lets no foreign script run."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from agent.core.setup_code import SetupCode, parse_setup_code
from agent.custodian.page.documents import _STEPS
from tests.web.agents import AGENTS
from tests.web.test_the_program import WEB, node

pytestmark = pytest.mark.interop

CODES = [
    SetupCode(bytes(range(16)), "Huis, 3 hoog", "correct horse", "front-door", "NL", "Europe/Amsterdam"),
    SetupCode(bytes(16), "Café Ñandú 5 GHz", r"a\ b'\"{};$", "d", "", "America/Argentina/ComodRivadavia"),
    SetupCode(b"\xff" * 16, "", "", "n" * 32, "ES"),
    SetupCode(bytes(range(16, 32)), "x" * 32, "p" * 63, "a-1", "GB"),
]
REFUSED = {
    "show.bad.ssid": [{"ssid": "é" * 17}, {"ssid": "a\nb"}],
    "show.bad.password": [{"password": "short"}, {"password": "x" * 64}, {"password": "acht ééé"}, {"ssid": ""}],
    "show.bad.name": [{"name": ""}, {"name": "Front door"}, {"name": "x" * 33}, {"name": "a-"}],
}


def fields(code: SetupCode) -> dict[str, str]:
    return {
        "secret": code.secret.hex(), "ssid": code.ssid, "password": code.password, "name": code.name,
        "country": code.country, "zone": code.zone,
    }  # fmt: skip


def test_the_page_writes_what_the_doorbell_reads_refuses_what_it_would_refuse_and_knows_each_system() -> None:
    refused = [(text, fields(CODES[0]) | change) for text, changes in REFUSED.items() for change in changes]
    asked = {
        "codes": [fields(code) for code in CODES],
        "refused": [each for _, each in refused],
        "authority": b"authority".hex(),
        "proof": CODES[0].proof(b"authority").hex(),
        "agents": [each[:2] for each in AGENTS.values()],
    }
    found = node("set_up.mjs", json.dumps(asked))
    assert found["made"] == [{"text": code.text(), "pairing": code.pairing_code} for code in CODES]
    assert [parse_setup_code(each["text"]) for each in found["made"]] == CODES  # type: ignore[attr-defined]
    odd = ["../../etc", "Europe/", "x" * 33, "a/b/c/d", 'a"b', "a\n"]
    made = node("set_up.mjs", json.dumps(asked | {"codes": [fields(CODES[0]) | {"zone": zone} for zone in odd]}))[
        "made"
    ]
    assert {parse_setup_code(each["text"]).zone for each in made} == {""}, "a phone's own zone refuses no code"  # type: ignore[attr-defined]
    assert found["faults"] == [text for text, _ in refused]
    assert found["proven"] == [True, False, False]
    assert dict(zip(AGENTS, found["systems"], strict=True)) == {name: own for name, (*_, own) in AGENTS.items()}  # type: ignore[call-overload]
    assert found["steps"] == _STEPS


def test_the_file_works_alone_and_runs_its_own_program_only() -> None:
    html = (WEB / "static" / "set-up.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    for name in ("script", "style"):
        inside = re.findall(rf"<{name}>(.*?)</{name}>", html, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    outside = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"\b(src|href|srcset|on\w+)\s*=", outside)
