"""The figures, schedules and libraries that docs/security states are those of the code and of the kept results."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from pathlib import Path

import msgspec
import pytest

from agent.clients.broker import est_server
from agent.clients.cli.requester import options, trust_root
from agent.clients.requester.news import ReceivingLimits
from agent.config.settings import Configuration
from agent.core.alerts import notice_delay
from agent.core.alerts.kinds import ALERTS
from agent.core.clock_trust import LONGEST_WAIT_US
from agent.core.transfer import OpenTransfers
from agent.core.trust_chunks import MOST_CHUNKS
from agent.custodian import approvals, link_sessions, live_buffer, verified_statements
from agent.custodian.alerts.push_channels import UNUSED_S
from agent.custodian.page import listener, request_guard, sessions
from agent.ipc.rpc import CONTROL_SOCKET, ROLE_SOCKET
from agent.ipc.rpc_server import MOST_CLIENTS
from agent.mqtt import pacing
from agent.mqtt.bus_settings import BusSettings
from agent.mqtt.connection import MOST_UNSENT
from agent.uplink import apprise_sender, cell_reading
from agent.uplink.cut_off import LONGEST_S
from agent.wire.area_opening import DISC_M
from agent.wire.cell_digest import MAX_PAGE_BYTES
from agent.wire.control import FrameLimits
from agent.wire.limits import HARD
from agent.wire.time_proofs import MAX_STAMP_BYTES
from agent.wire.topics import BULLETIN_SLOTS, REQUEST_SLOTS
from agent.wire.trust_package import MAX_TIMESTAMP_LIFE_S, TRUST_SLOTS
from tests.install.test_security_table import ANALYSIS, PAGES, PROMISED, ROOT, rows
from tests.statements import statements

LIMITED = " ".join((PAGES / "limits.md").read_text(encoding="utf-8").split())
ANALYSED = " ".join(ANALYSIS.split())
RESULTS = (ROOT / "tests" / "install" / "RESULTS.md").read_text(encoding="utf-8")
HOME_PACKET_BYTES = 64 << 10
"""tests/mqtt/test_outbound_client.py sends more."""
CRYPTOGRAPHY = {"c2pa", "cryptography", "rfc3161_client", "tuf"}
OTHER_LIBRARIES = {
    "apprise", "asn1crypto", "av", "click", "cv2", "gpiod", "gpiozero", "ifaddr", "jinja2",
    "libcamera", "msgspec", "numpy", "paho", "picamera2", "rich", "segno", "starlette", "structlog", "urllib3",
    "uvicorn", "zeroconf",
}  # fmt: skip
"""Libraries of agent and firmware_bridge that compute no cryptography of ours."""


def size(count: int) -> str:
    for unit, bits in (("MiB", 20), ("KiB", 10)):
        if count >= 1 << bits and not count % (1 << bits):
            return f"{count >> bits} {unit}"
    raise AssertionError(f"{count} bytes are no round figure")


def whole(limits: FrameLimits) -> str:
    return size(limits.head_bytes + limits.body_bytes)


def peers() -> dict[tuple[str, str], str]:
    uplink = BusSettings("h", 1, "n", Path(), Path(), Path())
    waiting = sum(queue._size_bytes for queue, _ in pacing.InboundQueue(uplink)._classes.values())
    room, answers = size(request_guard.ROOM_BYTES), request_guard.answer_bytes("live")
    link_room, glance = size(link_sessions._ROOM_BYTES), size(link_sessions._GLANCE_BYTES)
    coming = size(live_buffer._MOST_PIECES * live_buffer.PIECE_BYTES)
    return {
        ("broker", "uplink"): f"{size(uplink.inbound_packet_bytes)} for a packet, {size(uplink.inbound_bytes)} that "
        f"wait for their acknowledgement, {size(waiting)} that wait to be taken, "
        f"{MOST_UNSENT:_} packets that the broker does not read".replace("_", " "),
        ("broker", "requester's programs"): f"{size(options._INBOUND_PACKET_BYTES)} for a packet, "
        f"{size(options._INBOUND_BYTES)} that wait to be taken",
        ("Home Assistant's broker", "uplink"): f"{size(HOME_PACKET_BYTES)} for a packet; it subscribes to nothing",
        ("a browser that was let in", "custodian"): f"{room} of messages and answers, half of it for one browser, "
        f"and for all that have proven no owner's key; "
        f"for answers over {size(answers)}, {number_word(request_guard.ROOM_BYTES // answers)} of them; "
        f"{size(listener._UNSENT_BYTES)} in each of {listener.MOST_CONNECTIONS} connections",
        ("a client of the link, and what carries it", "custodian"): f"{link_sessions._MOST_HANDSHAKES} handshakes of "
        f"{link_sessions._HANDSHAKE_S:.0f} s, {link_sessions._HELLOS_PER_S:.0f} answered a second; "
        f"{link_sessions._MOST_SESSIONS} sessions with {link_sessions._MOST_STREAMS} streams each; {link_room} of "
        f"requests and {link_room} of answers in all, {glance} of a request with a glance key",
        ("recorder or uplink", "custodian"): f"{MOST_CLIENTS} connections with {whole(ROLE_SOCKET.request)} asked and "
        f"{whole(ROLE_SOCKET.answer)} answered each; live view {size(live_buffer._MOST_BYTES)}, small pictures "
        f"{size(live_buffer._SMALL_BYTES)}, and for each of them {coming} of the GOP that comes in",
        ("custodian", "recorder, uplink"): f"{whole(ROLE_SOCKET.answer)} for an answer",
        ("a user of the control socket", "custodian"): f"{MOST_CLIENTS} connections with "
        f"{whole(CONTROL_SOCKET.request)} asked and {whole(CONTROL_SOCKET.answer)} answered each",
    }  # fmt: skip


def number_word(number: int) -> str:
    return ("zero", "one", "two", "three", "four", "five", "six", "seven")[number]


def test_the_analysis_states_the_bounds_of_the_code() -> None:
    stated = rows(ANALYSIS, "## What a peer can make a process hold")
    assert {(peer, process): held for peer, process, held in stated} == peers()
    assert f"its properties and {pacing._OBJECT_BYTES} bytes more" in ANALYSED
    assert round(len({each.text for each in ALERTS.values()}), -1) == 50
    assert "which of some fifty sentences" in ANALYSED
    assert f"at most {size(apprise_sender.ANSWER_BYTES)} of the body of a channel's answer over HTTP" in ANALYSED
    assert f"a server has {LONGEST_S:.0f} s for a request over HTTP" in ANALYSED
    assert f"and {apprise_sender._MESSAGE_S / 60:.0f} minutes for a message" in ANALYSED
    assert f"after {apprise_sender._ANSWER_S:.0f} s of silence or {LONGEST_S:.0f} s in all over HTTP" in ANALYSED
    assert f"after {apprise_sender._MAIL_S:.0f} s of silence from a mail server" in ANALYSED
    limits = ReceivingLimits()
    assert (limits.per_device_and_request, limits.open_per_device, limits.share) == (4, 4, 0.25)
    assert "at most four are kept, and a doorbell may use a quarter of the disk" in ANALYSED
    assert inspect.signature(OpenTransfers).parameters["most"].default == 256
    assert "At most four uploads of a doorbell and 256 in all arrive at once" in ANALYSED
    assert limits.unread == 64
    assert f"hold the {limits.unread} places of uploads that wait" in ANALYSED


def test_the_limits_state_the_figures_of_the_code() -> None:
    disc_m2 = 3.14159265 * DISC_M**2
    shortest_min, longest_h = notice_delay.SHORTEST_MS // 60_000, notice_delay.LONGEST_MS // 3_600_000
    (warned,) = {each.default for each in trust_root.stamp.params if each.name == "days"}
    queue = dict(re.findall(r"^(max_queued_\w+) (\d+)$", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE))
    for figure in (
        f"at most {REQUEST_SLOTS} requests and {BULLETIN_SLOTS} bulletins of one certificate",
        f"at most {size(cell_reading.BURST_BYTES)} of them when it connects",
        f"a page of {size(MAX_PAGE_BYTES)} in each half minute",
        f"a disc of {DISC_M} m ({disc_m2:_.0f} m²)".replace("_", " "),
        f"has at least {HARD.area_min_m2:_} m²".replace("_", " "),
        f"its {est_server._HttpsServer.most_clients} places for a minute each",
        f"leaves {shortest_min} minutes to {longest_h} hours after it",
        f"for {UNUSED_S // 86_400} days if no owner unlocks the page there",
        f"with {sessions.MOST_TRIES:_} wrong tries".replace("_", " "),
        f"({listener.HANDSHAKES_PER_S:.0f} a second)",
        f"({int(queue['max_queued_messages']):_} messages, {int(queue['max_queued_bytes']) >> 20} MB)".replace(
            "_", " "
        ),
    ):
        assert figure in LIMITED, figure
    assert cell_reading._PAGE_EVERY_S == 30
    assert est_server._LONGEST_S == 60
    assert LONGEST_WAIT_US == 3 * 86_400 * 10**6
    assert warned == 7
    assert "a week after it was signed by default" in LIMITED


def test_promises_and_mechanisms_state_the_figures_of_the_code() -> None:
    promised = " ".join(PROMISED.split())
    assert sessions.CODE_LIFE_S == 15 * 60
    assert "once and for 15 minutes" in promised
    assert verified_statements.NONCE_LIFE_S == 600
    assert "in order and within ten minutes" in promised
    assert BusSettings("h", 1, "n", Path(), Path(), Path()).inbound_beat_s == 0.1
    assert "acknowledged at the next tenth of a second" in ANALYSED
    assert f"(at most {approvals.MOST_KEPT}, and {size(approvals.MOST_BYTES)})" in ANALYSED
    assert (TRUST_SLOTS, MOST_CHUNKS, MAX_TIMESTAMP_LIFE_S) == (12, 48, 31 * 86_400)
    assert "slots are twelve, and memory for them is 48 chunks" in ANALYSED
    assert "A timestamp ends within 31 days" in ANALYSED
    assert f"a disc of {DISC_M} m" in ANALYSED
    assert listener.EXPECTED_S == 12 * 3600
    assert "an address with an owner in the last twelve hours" in ANALYSED
    assert "at most three days of running time" in ANALYSED
    assert f"stored unread, up to {size(MAX_STAMP_BYTES)}" in ANALYSED


TEMPLATE = ROOT / "config" / "mosquitto" / "doorward.conf.template"


def test_the_updater_is_started_twice_a_day() -> None:
    text = (ROOT / "systemd" / "doorward-updater.timer").read_text(encoding="utf-8")
    assert "\nOnUnitInactiveSec=12h\n" in text
    assert "\nUnit=" not in text, "it starts the service of its name"
    service = (ROOT / "systemd" / "doorward-updater.service").read_text(encoding="utf-8")
    assert "\nUser=doorward-updater\n" in service


@pytest.mark.parametrize("row", re.findall(r"^\| probes \| ([^|]*)\|", RESULTS, re.MULTILINE))
def test_the_kept_probes_all_failed_inside_and_most_succeeded_outside(row: str) -> None:
    counted = re.findall(r"([\w-]+) (\d+) of (\d+) \((\d+) as unconfined root\)", row)
    assert {role for role, _, _, _ in counted} == {
        "custodian", "recorder", "uplink", "bridge", "updater", "custodian-page", "recorder-rtsp", "uplink-narrowed",
    }  # fmt: skip
    for role, inside, tried, outside in counted:
        assert inside == "0", role
        assert int(outside) > int(tried) / 2, role


def test_each_process_with_a_leak_was_killed_at_its_limit_and_came_back() -> None:
    kept = re.findall(r"^\| limits of memory \| ([^|]*)\|", RESULTS, re.MULTILINE)
    assert len(kept) >= 2
    for row in kept:
        assert "each role with a leak killed at its MemoryMax and back, the others untouched" in row
        assert set(re.findall(r"(\w+) after \d+ s", row)) >= {"custodian", "recorder", "uplink", "bridge"}
    for role in ("custodian", "recorder", "uplink", "bridge"):
        text = (ROOT / "systemd" / f"doorward-{role}.service").read_text(encoding="utf-8")
        assert re.search(r"^MemoryMax=\d+M$", text, re.MULTILINE), role


def test_an_installation_names_no_address_that_the_owner_did_not_configure() -> None:
    """No cloud and no account: what is not in the configuration has no address to go to."""
    default = msgspec.to_builtins(Configuration(), enc_hook=str)
    outward = {name for name, value in default.items() if value is None}
    assert {"broker", "remote", "updates", "witness", "home_assistant", "alerts", "installer"} <= outward
    inside = re.findall(r"[\w.-]+\.(?:com|org|net|io|cloud|dev)\b|https?://[^\"' ]+", json.dumps(default))
    assert inside == []
    shipped = (ROOT / "config" / "doorward.toml").read_text(encoding="utf-8")
    set_there = [
        line for line in shipped.splitlines() if re.match(r"\s*(host|url|server|address|repository)\s*=", line)
    ]
    assert set_there == []


def imported() -> dict[str, str]:
    """The libraries that agent and firmware_bridge import, with a file of each."""
    found: dict[str, str] = {}
    for path in [*(ROOT / "agent").rglob("*.py"), *(ROOT / "firmware_bridge").rglob("*.py")]:
        if "node_modules" in path.parts:
            continue
        for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            found |= {name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names}
    own = {"agent", "firmware_bridge", "_typeshed"}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | own}


def test_no_other_library_of_cryptography_is_imported() -> None:
    found = imported()
    assert found.keys() >= CRYPTOGRAPHY
    assert {name: path for name, path in found.items() if name not in CRYPTOGRAPHY | OTHER_LIBRARIES} == {}


def test_the_pages_libraries_of_cryptography_are_these_with_their_hashes() -> None:
    source = ROOT / "agent" / "web" / "src"
    wanted = json.loads((source / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert wanted.keys() == {
        "@noble/ciphers", "@noble/curves", "@noble/hashes", "@noble/post-quantum", "@scure/base", "age-encryption",
        "qrcode-generator",
    }  # fmt: skip
    locked = json.loads((source / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, version in wanted.items():
        entry = locked[f"node_modules/{name}"]
        assert entry["version"] == version, name
        assert entry["integrity"].startswith("sha512-"), name
