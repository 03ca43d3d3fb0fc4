"""Which files a requester shows to which broker."""

from __future__ import annotations

from pathlib import Path

from agent.clients.requester.broker_files import BrokerFiles, broker_files


def test_each_broker_gets_the_common_files_unless_it_has_its_own(tmp_path: Path) -> None:
    own, tls = tmp_path / "tls" / "north.example", tmp_path / "tls"
    own.mkdir(parents=True)
    for path in (tls / "authority.pem", tls / "certificate.pem", tls / "key.pem", own / "certificate.pem"):
        path.write_text("x")
    common = BrokerFiles(tls / "authority.pem", tls / "certificate.pem", tls / "key.pem")
    assert broker_files(tmp_path) == broker_files(tmp_path, "south.example") == common
    assert broker_files(tmp_path, "north.example") == BrokerFiles(
        tls / "authority.pem", own / "certificate.pem", tls / "key.pem"
    )
