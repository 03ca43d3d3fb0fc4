"""The page opens the code of a long press, run in node, and gives a doorbell nothing else of what it can open."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest

from agent.clients.owner.keys import IdentityKind
from agent.core.vault.age.sealing import seal_bytes
from agent.custodian.page.button_code import CODE_PREFIX
from agent.wire import strictjson
from tests.web.test_the_program import node

pytestmark = pytest.mark.interop

CODE = "0123456789"
REFUSED = "error.button-code"


def test_the_page_gives_back_a_code_and_never_what_else_a_doorbell_seals(tmp_path: Path) -> None:
    own, other = (IdentityKind.HYBRID.identity(secrets.token_bytes(32)) for _ in range(2))

    def sealed(text: str, *to: object) -> str:
        recipients = [each.recipient() for each in to or (own,)]  # type: ignore[attr-defined]
        token = secrets.token_bytes
        return strictjson.encode_base64(seal_bytes(text.encode(), recipients, file_key=token(16), nonce=token(16)))

    secret = "a request, a film or the token of an enrolment"
    cases = {
        sealed(CODE_PREFIX + CODE): CODE,
        sealed(CODE_PREFIX + CODE, other, own): CODE,
        sealed(CODE_PREFIX + CODE, other): REFUSED,
        sealed(secret): REFUSED,
        sealed(CODE_PREFIX + secret): REFUSED,
        sealed(CODE_PREFIX + CODE + secret): REFUSED,
        sealed(f"{secret}\n{CODE_PREFIX}{CODE}"): REFUSED,
        sealed(CODE_PREFIX + CODE + "\n"): REFUSED,
        strictjson.encode_base64(b"no age file"): REFUSED,
    }
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"identity": own.secret_text(), "sealed": list(cases)}))
    assert node("button_code.mjs", str(path)) == list(cases.values())
