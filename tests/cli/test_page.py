"""`doorward page` beside a real page: a code that lets a browser in, and the authority to compare and install."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import segno

from agent.cli.app import doorward
from agent.cli.frame import run
from agent.wire.control import Frame, write_frame
from tests.custodian.page.door import CONFIGURATION, Door, a_door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with a_door(tmp_path) as found:
        yield found


def spaced(digest: str) -> str:
    return " ".join(re.findall("..", digest.upper()))


def lets_in(door: Door, code: str) -> bool:
    return door.ask("POST", "/pair", write_frame(Frame({"code": code}))).status == 200


def test_the_printed_code_lets_a_browser_in_and_the_fingerprint_is_the_authoritys(
    door: Door, tool: Callable[..., object]
) -> None:
    seen = tool("page", "code", "--config", door.folder / "doorward.toml")
    out: str = seen.out  # type: ignore[attr-defined]
    digest = hashlib.sha256(door.page.certificates.authority_der).hexdigest()
    assert spaced(digest) in " ".join(out.split())
    assert door.page.url in out
    assert door.page.install_url == f"http://127.0.0.1:{door.port}/install"
    plain = re.sub(r"\x1b\[\d*m", "", out)
    assert plain.index(door.page.install_url) < plain.index("warns") < plain.index("Code "), "the authority comes first"
    code = re.search(r"Code +([0-9A-Z-]+)", re.sub(r"\x1b\[\d*m", "", out))
    assert code is not None
    drawn = io.StringIO()
    segno.make(f"{door.page.install_url}#{digest.upper()}", error="m").terminal(drawn, compact=True)
    assert drawn.getvalue() in out
    assert lets_in(door, code[1])


def test_only_addresses_that_are_served_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener on 127.0.0.1 answers nowhere else, whatever other addresses this machine has."""
    text = CONFIGURATION.replace('addresses = ["127.0.0.1"]\n', "")
    monkeypatch.setattr("tests.custodian.page.door.CONFIGURATION", text)
    with a_door(tmp_path) as door:
        assert door.page.urls == [f"https://127.0.0.1:{door.page.port}/"]
        for url in door.page.urls:
            host, _, port = url.removeprefix("https://").rstrip("/").rpartition(":")
            socket.create_connection((host, int(port)), timeout=5).close()


def test_the_authority_is_written_and_the_code_that_was_printed_before_still_counts(
    door: Door, tool: Callable[..., object], tmp_path: Path
) -> None:
    configuration, file = door.folder / "doorward.toml", tmp_path / "authority.crt"
    printed = json.loads(tool("page", "code", "--config", configuration, "--json").out)  # type: ignore[attr-defined]
    seen = tool("page", "authority", "--config", configuration, file)
    assert file.read_bytes() == door.page.certificates.authority_der
    assert spaced(hashlib.sha256(file.read_bytes()).hexdigest()) in seen.out  # type: ignore[attr-defined]
    assert lets_in(door, printed["code"])


def test_the_authority_is_written_to_a_pipe_for_the_computer_at_its_other_end(
    door: Door, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(doorward, ["page", "authority", "--config", str(door.folder / "doorward.toml"), "-"]) == 0
    assert capsysbinary.readouterr().out == door.page.certificates.authority_der


def test_the_program_compares_the_authority_that_it_fetches_and_refuses_another(
    door: Door, tool: Callable[..., object], tmp_path: Path
) -> None:
    file = tmp_path / "fetched.crt"
    printed = door.page.certificates.fingerprint
    fetching = ("page", "authority", file, "--from", door.page.install_url, "--fingerprint")
    assert tool(*fetching, printed).status == 0  # type: ignore[attr-defined]
    assert file.read_bytes() == door.page.certificates.authority_der
    file.unlink()
    with a_door(tmp_path / "relay") as relay:
        seen = tool(*fetching[:4], relay.page.install_url, "--fingerprint", printed)
        assert seen.status != 0  # type: ignore[attr-defined]
        assert "differs" in seen.err  # type: ignore[attr-defined]
    assert not file.exists()
    assert tool(*fetching[:5]).status != 0  # type: ignore[attr-defined]
