"""The desk's figures for Prometheus: counts of everything that an operator watches, and no name, place or word."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import OperationalError
from django.utils import timezone

from agent.platform import files
from desk import figures
from desk.cases.models import Answer, Case
from desk.people.organisations import folder_of
from desk.people.roles import Role
from desk.receiving.models import Notice, Receiver
from desk.tips.models import Tip
from tests.desk.agencies import Agency
from tests.desk.served import served_desk
from tests.figures_of_others import page_at, read_by_prometheus
from tests.ports import free_port

GRAFANA = Path(__file__).resolve().parents[2] / "config" / "grafana" / "desk.json"
LINE = re.compile(r"(?m)^(doorward_desk_[a-z_]+)(?:\{[a-z]+=\"([a-z ]+)\"\})? ([0-9.]+)$")
ON_POSTGRESQL = {
    f"doorward_desk_database_{name}"
    for name in ("commits_wait", "servers", "standby_lag_bytes", "standbys", "timeline", "twins")
}
"""Figures of a desk with PostgreSQL (`tests/desk/storage/test_postgres_servers.py`)."""
WITH_A_CERTIFICATE = {"doorward_desk_certificate_expiry_timestamp_seconds"}
SECRET = ("Rijnstad", "rijnstad", "Secret case", "2026-17", "Elm Street", "ed25519", "cd" * 16)


def found(page: str) -> dict[tuple[str, str], float]:
    return {(name, label): float(value) for name, label, value in LINE.findall(page)}


@pytest.fixture
def filled(agency: Agency) -> Agency:
    case = Case.objects.create(
        organisation=agency.organisation, number="2026-17", title="Secret case", created_by=agency.people[Role.ASKER]
    )
    late = timezone.now() - datetime.timedelta(minutes=5)
    for number, state in enumerate(("receiving", "complete", "complete")):
        Answer.objects.create(
            case=case, request_id="ab" * 16, disclosure_id=f"{number:032x}", device="ed25519:door", state=state,
            held_bytes=1000, due_at=late if number else None, reason="Elm Street",
        )  # fmt: skip
    Receiver.objects.create(organisation=agency.organisation, state="connected", seen_at=late)
    Notice.objects.create(organisation=agency.organisation, kind="no room", object="cd" * 16, detail="Elm Street")
    Tip.objects.create(organisation=agency.organisation, disclosure_id="cd" * 16, due_at=late)
    return agency


def test_an_empty_desk_has_its_figures(data: Path) -> None:
    counted = found(figures.page())
    assert counted["doorward_desk_organisations", ""] == 0
    assert counted["doorward_desk_receivers", "connected"] == 0
    assert ("doorward_desk_receiver_silence_seconds", "") not in counted, "no receiver was ever heard"


def test_each_state_is_counted_and_nothing_that_a_person_wrote_is_said(filled: Agency) -> None:
    page = figures.page()
    counted = found(page)
    assert counted["doorward_desk_answers", "complete"] == 2
    assert counted["doorward_desk_answers", "receiving"] == 1
    assert counted["doorward_desk_answers_held_bytes", ""] == 3000
    assert counted["doorward_desk_deletions_overdue", ""] == 3
    assert counted["doorward_desk_notices", "no room"] == 1
    assert counted["doorward_desk_tips", ""] == 1
    assert 290 < counted["doorward_desk_receiver_silence_seconds", ""] < 600
    assert [word for word in SECRET if word in page] == []
    read = read_by_prometheus(page)
    assert read["doorward_desk_answers{state=complete}"] == 2
    assert len(read) == len([line for line in page.splitlines() if not line.startswith("#")])


def test_a_worker_that_was_killed_is_not_connected_although_another_one_goes_on(filled: Agency) -> None:
    """Its row says "connected" for ever, and the newest sign of life is that of the other one."""
    now, organisation = timezone.now(), filled.organisation
    Receiver.objects.create(organisation=organisation, worker="w2", state="connected", seen_at=now)
    Receiver.objects.create(
        organisation=organisation, worker="w3", state="stopped", seen_at=now - datetime.timedelta(hours=2)
    )
    counted = found(figures.page())
    states = {
        state: counted["doorward_desk_receivers", state] for state in ("connected", "silent", "stopped", "failed")
    }
    assert states == {"connected": 1, "silent": 1, "stopped": 1, "failed": 0}
    assert 290 < counted["doorward_desk_receiver_silence_seconds", ""] < 600
    Receiver.objects.filter(worker="").update(seen_at=now - datetime.timedelta(days=2))
    counted = found(figures.page())
    assert counted["doorward_desk_receivers", "silent"] == 0, "taken away long ago"
    assert counted["doorward_desk_receiver_silence_seconds", ""] < 60
    Receiver.objects.exclude(worker="").delete()
    assert found(figures.page())["doorward_desk_receivers", "silent"] == 1, "the only one"


def test_the_first_end_of_the_desks_certificates_is_told(filled: Agency, other_agency: Agency) -> None:
    name = "doorward_desk_certificate_expiry_timestamp_seconds"
    assert (name, "") not in found(figures.page()), "there is none yet"
    ends = []
    for agency, days in ((filled, 300), (other_agency, 20)):
        tls = files.make_folder(files.make_folder(folder_of(agency.organisation)) / "tls")
        until = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=days)
        (tls / "certificate.pem").write_bytes(certificate_until(until))
        ends.append(until.timestamp())
    assert found(figures.page())[name, ""] == min(ends)
    assert read_by_prometheus(figures.page())[f"{name}{{}}"] == min(ends)


def certificate_until(until: datetime.datetime) -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(until - datetime.timedelta(days=397))
        .not_valid_after(until)
    )
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_legal_hold_is_no_overdue_deletion(filled: Agency) -> None:
    Case.objects.update(legal_hold=True)
    Tip.objects.update(legal_hold=True)
    assert found(figures.page())["doorward_desk_deletions_overdue", ""] == 0


def test_the_dashboard_asks_for_figures_that_there_are_and_for_each_of_them(filled: Agency) -> None:
    asked = set(re.findall("doorward_desk_[a-z_]+", GRAFANA.read_text()))
    assert asked == {name for name, _ in found(figures.page())} | ON_POSTGRESQL | WITH_A_CERTIFICATE
    panels = json.loads(GRAFANA.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_served_desk_gives_its_figures_to_this_computer(filled: Agency, data: Path) -> None:
    port = free_port()
    with served_desk(data, f"\n[metrics]\nport = {port}\n"):
        page = page_at(port)
    assert found(page)["doorward_desk_answers", "complete"] == 2
    assert "doorward_worker_receivers{state=connected}" in read_by_prometheus(page), "the desk is a worker, too"
    assert [word for word in SECRET if word in page] == []


def test_while_the_database_is_away_the_desk_says_so_alone(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(figures.page_of_thread())["doorward_desk_database_up", ""] == 1

    def away() -> str:
        raise OperationalError("no server takes writes")

    monkeypatch.setattr(figures, "page", away)
    assert read_by_prometheus(figures.page_of_thread()) == {"doorward_desk_database_up{}": 0}
