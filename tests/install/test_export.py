"""The units for an export on the owner's machine reach the socket that an installation has."""

from __future__ import annotations

import re
from pathlib import Path

from agent.custodian.state_folder import StateFolder

ROOT = Path(__file__).resolve().parents[2]


def test_the_export_forwards_the_socket_of_an_installation_as_a_user_who_may_open_it(tmp_path: Path) -> None:
    folders = re.findall(
        r"^d (/var/lib/doorward\S*)", (ROOT / "systemd/tmpfiles.d/doorward.conf").read_text(), re.MULTILINE
    )
    for folder in folders:
        (tmp_path / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    control = StateFolder(tmp_path / "var/lib/doorward").control
    text = (ROOT / "config/export/doorward-export.service").read_text()
    forwarded = re.findall(r"doorbell\.sock:(\S+) (\S+)", text)
    assert forwarded == [(f"/{control.relative_to(tmp_path)}", "root@doorbell")]
    told = (ROOT / "agent/clients/cli/owner/__init__.py").read_text() + (
        ROOT / "agent/ipc/control_client.py"
    ).read_text()
    assert len(re.findall(r"/var/lib/doorward/custodian/control\.sock root@HOST", told)) == 2
