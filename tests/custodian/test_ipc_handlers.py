"""The recorder and the uplink get an answer to each of their messages, and nothing that is not theirs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.core.alerts.alert_messages import AlertPicture, ChannelAddress
from agent.core.device_secret import DeviceSecret
from agent.core.home_news import HomeAddress, HomeState
from agent.core.media import VideoCodec
from agent.core.requests import OutboxPart, OutboxRecord
from agent.core.retention import ProtectedIds
from agent.core.setup_state import LONGEST_TEXT, SetupState
from agent.core.talk.offers import TalkState
from agent.core.vault.manifest import PAYLOAD_TYPE
from agent.custodian.capture_key import CaptureKey
from agent.custodian.ipc_handlers import RecorderIpcHandler, StatusReports, UplinkIpcHandler
from agent.custodian.live_buffer import LiveBuffer
from agent.custodian.talk_buffer import TalkBuffer
from agent.errors import RequestError
from agent.ipc.control_operations import GetLiveGops
from agent.ipc.protocol import (
    Ack,
    AckAlert,
    AlertChannelsReply,
    AlertMessages,
    BeginSending,
    ButtonReply,
    CaptureCertificate,
    DeliverLinkFrames,
    DeliverMessage,
    FromUplink,
    GetAlertChannels,
    GetBeat,
    GetCaptureCertificate,
    GetErasedSegments,
    GetHealthReport,
    GetHeldSegments,
    GetHomeAssistant,
    GetLiveViewers,
    GetOutgoing,
    GetRecipients,
    GetRelay,
    GetSettings,
    GetTalk,
    GetUplinkConfig,
    HealthReportReply,
    HeldSegments,
    HomeAssistantReply,
    HomeStateReply,
    LinkFrame,
    LinkFrames,
    LiveViewers,
    Notify,
    OutgoingBeat,
    OutgoingDisclosures,
    OutgoingVersion,
    OwnerSettingsReply,
    PollAlerts,
    PollHomeState,
    PollLinkFrames,
    PollOutgoing,
    PutLivePiece,
    PutLongPress,
    PutSetupCode,
    PutTalkOffer,
    Recipients,
    RelayReply,
    ReportStatus,
    SegmentNames,
    SendingAllowed,
    SetupReply,
    Sign,
    Signature,
    SignGop,
    SignSecond,
    TalkWork,
    TransferReceipt,
    UplinkConfig,
)
from agent.media.onvif_sei import GopStatement, gop_document
from agent.wire import strictjson
from agent.wire.capture_certificate import capture_verifier
from agent.wire.disclosures import Receipt
from agent.wire.envelope import pae
from agent.wire.identities import private_key_from_seed, public_key_of
from tests.vaults import SECOND, SteppedClock
from tests.wire import samples

CAPTURE_DEVICE = private_key_from_seed(b"d" * 32)
CAPTURE = CaptureKey.of_device(DeviceSecret(b"s" * 32), CAPTURE_DEVICE)
RECEIPT = samples.EVERY_MESSAGE["receipt"]
OUTBOX = OutboxRecord("d" * 32, "r" * 32, "harbour-police", (OutboxPart(0, "", 7, "5e" * 32),))
ADDRESSING = UplinkConfig(device="ab" * 8, host="broker.example", port=8883)
UPLINK_REPORT = {"link": "connected", "detail": "", "remedy": ""}
RECORDER_REPORT = {
    "state": "watching",
    "detail": "",
    "frames": 9,
    "frames_dropped": 0,
    "packets_dropped": 0,
    "events": 1,
    "segments": 2,
    "analysis_ms_per_frame": 1.5,
}


class Custody:
    """`ports.CustodyPort`: answers with what the test put here."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.receipt: Receipt | None = None
        self.may_begin = True

    def on_message(self, topic: str, data: bytes) -> Receipt | None:
        self.heard.append((topic, data))
        return self.receipt

    def outgoing(self) -> list[tuple[OutboxRecord, bool]]:
        return [(OUTBOX, True)]

    def begin_sending(self, disclosure: str) -> bool:
        return self.may_begin and disclosure == OUTBOX.disclosure


class Holder:
    def protected(self, stored_segments: int) -> ProtectedIds:
        return ProtectedIds(frozenset({f"held {stored_segments}"}), 7)

    def erased(self) -> frozenset[str]:
        return frozenset({"erased"})


class Told:
    def __init__(self) -> None:
        self.news: list[tuple[str, str, str]] = []
        self.pictures: Sequence[AlertPicture] = ()

    def notify(self, kind: str, text: str, once: str = "", pictures: Sequence[AlertPicture] = ()) -> None:
        self.news.append((kind, text, once))
        self.pictures = pictures


class Alerts:
    def __init__(self) -> None:
        self.done: list[tuple[Any, str]] = []

    def channels(self) -> tuple[ChannelAddress, ...]:
        return ()

    def collect(self, wait_s: float) -> tuple[Any, ...]:
        assert 0 < wait_s <= 3
        return ()

    def acknowledge(self, parcel: Any, fault: str) -> None:
        self.done.append((parcel, fault))


class Home:
    def collect(self, presses: int, wait_s: float) -> HomeState:
        assert wait_s > 0
        return HomeState(presses + 1, b"{}")


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def live() -> LiveBuffer:
    return LiveBuffer()


@pytest.fixture
def recorder(clock: SteppedClock, told: Told, live: LiveBuffer) -> RecorderIpcHandler:
    recipients = Recipients("ab" * 8, SECOND.key, 3, ("age1",))
    reports, talk = StatusReports(clock), TalkBuffer(Ed25519PrivateKey.generate())
    return RecorderIpcHandler(
        lambda: recipients,
        lambda data: data[::-1],
        lambda data: b"second" + data,
        Holder(),
        lambda: b"settings",
        told,
        reports,
        live,
        talk,
        capture=CAPTURE,
    )


def uplink(clock: SteppedClock, custody: Custody | None = None, **more: Any) -> UplinkIpcHandler:
    return UplinkIpcHandler(custody or Custody(), ADDRESSING, StatusReports(clock), **more)


def test_the_recorder_gets_the_keys_to_seal_to_the_settings_and_what_must_stay_or_go(
    recorder: RecorderIpcHandler,
) -> None:
    assert recorder.handle(GetRecipients()) == Recipients("ab" * 8, SECOND.key, 3, ("age1",))
    assert recorder.handle(GetSettings()) == OwnerSettingsReply(b"settings")
    assert recorder.handle(GetHeldSegments(9)) == HeldSegments(("held 9",), 7)
    assert recorder.handle(GetErasedSegments()) == SegmentNames(("erased",))


def test_a_record_is_signed_as_it_is_and_nothing_else(recorder: RecorderIpcHandler) -> None:
    encoding = pae(PAYLOAD_TYPE, b'{"a":1}')
    assert recorder.handle(Sign(encoding)) == Signature(encoding[::-1])
    assert recorder.handle(SignSecond(encoding)) == Signature(b"second" + encoding)
    other = pae("application/vnd.doorward.disclosure.v1+json", b'{"a":1}')
    for wrong in (b"", encoding + b" ", encoding[:-1], encoding.replace(b" 7 ", b" 07 "), b" " + encoding, other):
        with pytest.raises(RequestError, match="signs only manifest records"):
            recorder.handle(Sign(wrong))
        with pytest.raises(RequestError, match="signs only manifest records"):
            recorder.handle(SignSecond(wrong))


def test_the_capture_key_signs_documents_of_onvif_and_nothing_else(recorder: RecorderIpcHandler) -> None:
    pem = recorder.handle(GetCaptureCertificate())
    assert isinstance(pem, CaptureCertificate)
    statement = GopStatement(False, 0, 0, 1, 1, bytes(32), bytes(32))
    for codec in VideoCodec:
        document = gop_document(statement, codec)
        signature = recorder.handle(SignGop(document))
        assert isinstance(signature, Signature)
        assert capture_verifier(public_key_of(CAPTURE_DEVICE), pem.certificate)(document, signature.signature)
    others = [b"", document[1:], document[:5], b"\x06" + document, pae(PAYLOAD_TYPE, b"{}"), document + bytes(1 << 18)]
    for wrong in others:
        with pytest.raises(RequestError, match=r"signs documents of ONVIF Media Signing only"):
            recorder.handle(SignGop(wrong))


def test_what_the_recorder_tells_the_owner_is_cut_at_five_hundred_characters(
    recorder: RecorderIpcHandler, told: Told
) -> None:
    assert recorder.handle(Notify("button", "rang", "once")) == Ack()
    assert recorder.handle(Notify("k" * 600, "t" * 600, "o" * 600)) == Ack()
    assert told.news == [("button", "rang", "once"), ("k" * 500, "t" * 500, "o" * 500)]


def test_sixteen_pictures_go_with_a_notice_and_none_that_is_larger_than_four_kilobytes(
    recorder: RecorderIpcHandler, told: Told
) -> None:
    pictures = [AlertPicture(f"age1{number}", bytes(4096)) for number in range(17)]
    recorder.handle(Notify("button", "rang", "once", tuple(pictures)))
    assert told.pictures == pictures[:16]
    recorder.handle(Notify("button", "rang", "once", (AlertPicture("age1", bytes(4097)), pictures[0])))
    assert told.pictures == pictures[:1]


def test_the_recorder_hears_of_a_viewer_and_puts_pieces_of_its_picture(
    recorder: RecorderIpcHandler, live: LiveBuffer
) -> None:
    assert recorder.handle(GetLiveViewers(0.0)) == LiveViewers(False)
    assert recorder.handle(PutLivePiece(1, 0, 2, b"one ", True)) == LiveViewers(False)
    assert recorder.handle(PutLivePiece(1, 1, 2, b"two", True)) == LiveViewers(False)
    assert live.answer(GetLiveGops(after=0), b"")[1] == b"one two"
    assert recorder.handle(GetLiveViewers(60.0)) == LiveViewers(True)
    assert recorder.handle(PutLivePiece(2, 0, 1, b"x", False)) == LiveViewers(True)


def recorder_beside(told: Told, clock: SteppedClock, live: Any, talk: Any) -> RecorderIpcHandler:
    return RecorderIpcHandler(
        lambda: Recipients("ab" * 8, SECOND.key, 0, ()),
        lambda data: data,
        lambda data: data,
        Holder(),
        bytes,
        told,
        StatusReports(clock),
        live,
        talk,
        capture=CAPTURE,
    )


def test_the_recorder_waits_for_talk_no_longer_than_its_own_patience_and_puts_an_offer(
    clock: SteppedClock, told: Told, live: LiveBuffer
) -> None:
    """It must hear of the privacy switch, too, so it never waits for more than three seconds."""
    talk = mock.Mock()
    talk.work.return_value = TalkWork("age1", "challenge", "session", (b"frame",))
    recorder = recorder_beside(told, clock, live, talk)
    for patience_s in (0.5, 3.0, 60.0):
        asked = GetTalk("session", TalkState.READY, patience_s)
        assert recorder.handle(asked) == talk.work.return_value
    assert [each.args for each in talk.work.mock_calls] == [
        ("session", TalkState.READY, waits_s) for waits_s in (0.5, 3.0, 3.0)
    ]
    offer = PutTalkOffer("challenge", TalkState.READY, "session", b"sealed")
    assert recorder.handle(offer) == Ack()
    talk.put_offer.assert_called_once_with(offer)


def test_the_recorder_waits_for_a_viewer_no_longer_than_three_seconds(clock: SteppedClock, told: Told) -> None:
    live = mock.Mock()
    live.wait_for_viewer.return_value = LiveViewers(False)
    talk = TalkBuffer(Ed25519PrivateKey.generate())
    recorder = recorder_beside(told, clock, live, talk)
    for patience_s in (0.5, 3.0, 60.0):
        assert recorder.handle(GetLiveViewers(patience_s)) == LiveViewers(False)
    assert [each.args for each in live.wait_for_viewer.mock_calls] == [(0.5,), (3.0,), (3.0,)]


def test_a_code_that_the_recorder_read_goes_to_the_set_up_and_no_more_of_it_than_shows_that_it_is_too_long(
    clock: SteppedClock, told: Told, live: LiveBuffer
) -> None:
    taken: list[str] = []

    def take(text: str) -> SetupState:
        taken.append(text)
        return SetupState.JOINING

    reports, talk = StatusReports(clock), TalkBuffer(Ed25519PrivateKey.generate())
    recorder = RecorderIpcHandler(
        lambda: Recipients("ab" * 8, SECOND.key, 0, ()),
        lambda data: data,
        lambda data: data,
        Holder(),
        bytes,
        told,
        reports,
        live,
        talk,
        take,
        capture=CAPTURE,
    )
    assert recorder.handle(PutSetupCode("")) == SetupReply(SetupState.JOINING)
    for length in (LONGEST_TEXT, LONGEST_TEXT + 1, LONGEST_TEXT + 2):
        recorder.handle(PutSetupCode("x" * length))
    assert [len(text) for text in taken] == [0, LONGEST_TEXT, LONGEST_TEXT + 1, LONGEST_TEXT + 1]


def test_a_long_press_goes_to_the_page_and_a_doorbell_without_one_has_no_code(recorder: RecorderIpcHandler) -> None:
    assert recorder.handle(PutLongPress()) == ButtonReply(is_open=False)
    recorder._button_held = lambda: True
    assert recorder.handle(PutLongPress()) == ButtonReply(is_open=True)


def test_a_recorder_without_set_up_by_the_camera_hears_that_it_is_off(recorder: RecorderIpcHandler) -> None:
    assert recorder.handle(PutSetupCode("a code")) == SetupReply(SetupState.OFF)


def test_a_report_counts_for_twenty_seconds_and_only_in_its_form(clock: SteppedClock) -> None:
    reports = StatusReports(clock)
    assert reports.status_of("uplink") is None
    reports.record("uplink", UPLINK_REPORT)
    clock.advance(20)
    assert reports.status_of("uplink") == UPLINK_REPORT
    assert reports.status_of("recorder") is None
    clock.advance(0.001)
    assert reports.status_of("uplink") is None
    with pytest.raises(RequestError, match="A report of the uplink cannot be used"):
        reports.record("uplink", {"link": 7})
    assert reports.status_of("uplink") is None


def test_both_report_under_their_own_name(clock: SteppedClock, recorder: RecorderIpcHandler) -> None:
    asked = uplink(clock)
    assert asked.handle(ReportStatus(UPLINK_REPORT)) == Ack()
    assert asked._reports.status_of("uplink") == UPLINK_REPORT
    with pytest.raises(RequestError, match="A report of the recorder cannot be used"):
        recorder.handle(ReportStatus(UPLINK_REPORT))
    assert recorder.handle(ReportStatus(RECORDER_REPORT)) == Ack()
    assert recorder._reports.status_of("recorder") == RECORDER_REPORT


def test_the_uplink_delivers_a_message_and_takes_a_receipt_back_only_for_a_transfer(clock: SteppedClock) -> None:
    custody = Custody()
    asked = uplink(clock, custody)
    assert asked.handle(DeliverMessage("a topic", b"a message")) == TransferReceipt(None)
    custody.receipt = RECEIPT
    assert asked.handle(DeliverMessage("a topic", b"a receipt")) == TransferReceipt(strictjson.encode(RECEIPT))
    assert custody.heard == [("a topic", b"a message"), ("a topic", b"a receipt")]


def test_the_uplink_sends_what_the_custodian_lets_it_send(clock: SteppedClock) -> None:
    custody = Custody()
    asked = uplink(clock, custody)
    assert asked.handle(GetUplinkConfig()) == ADDRESSING
    assert asked.handle(GetOutgoing()) == OutgoingDisclosures(((OUTBOX, True),))
    assert asked.handle(BeginSending(OUTBOX.disclosure)) == SendingAllowed(True)
    assert asked.handle(BeginSending("e" * 32)) == SendingAllowed(False)
    custody.may_begin = False
    assert asked.handle(BeginSending(OUTBOX.disclosure)) == SendingAllowed(False)


def test_a_changed_program_is_given_no_server_but_those_of_its_alerts_and_sends_nothing(
    clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sound = True
    asked = UplinkIpcHandler(
        Custody(), ADDRESSING, StatusReports(clock), relay=lambda: RelayReply("relay.example", 8885),
        health=lambda: b"sealed", is_sound=lambda: is_sound,
    )  # fmt: skip
    asked.home_address = HomeAddress(host="home.example")
    assert asked.handle(GetUplinkConfig()) == ADDRESSING
    assert asked.handle(GetRelay()) == RelayReply("relay.example", 8885)
    is_sound = False
    monkeypatch.setattr("agent.custodian.ipc_handlers._ALERTS_S", 0.0)
    assert asked.handle(GetUplinkConfig()) == UplinkConfig()
    assert asked.handle(GetRelay()) == RelayReply()
    assert asked.handle(GetBeat()) == OutgoingBeat(0, ())
    assert asked.handle(GetHealthReport()) == HealthReportReply(b"")
    assert asked.handle(GetOutgoing()) == OutgoingDisclosures(())
    assert asked.handle(BeginSending(OUTBOX.disclosure)) == SendingAllowed(False)
    assert asked.handle(PollLinkFrames()) == LinkFrames(())
    assert asked.handle(GetHomeAssistant()) == HomeAssistantReply(HomeAddress(host="home.example"))


def test_the_uplink_is_woken_by_a_change_of_what_goes_out_and_not_without_one(
    clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = uplink(clock)
    monkeypatch.setattr("agent.custodian.ipc_handlers._NEWS_S", 0.0)
    assert asked.handle(PollOutgoing(0)) == OutgoingVersion(0)
    monkeypatch.setattr("agent.custodian.ipc_handlers._NEWS_S", 60.0)
    waker = threading.Timer(0.05, asked.news)
    waker.start()
    assert asked.handle(PollOutgoing(0)) == OutgoingVersion(1)
    waker.join()
    assert asked.handle(PollOutgoing(0)) == OutgoingVersion(1), "it changed before the question came"


def test_without_home_assistant_and_alerts_the_uplink_hears_that_there_are_none(
    clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.custodian.ipc_handlers._ALERTS_S", 0.0)
    asked = uplink(clock)
    assert asked.handle(GetHomeAssistant()) == HomeAssistantReply(HomeAddress())
    assert asked.handle(GetRelay()) == RelayReply()
    with pytest.raises(RequestError, match="No Home Assistant is configured"):
        asked.handle(PollHomeState(0))
    assert asked.handle(GetAlertChannels()) == AlertChannelsReply(())
    assert asked.handle(PollAlerts()) == AlertMessages(())
    assert asked.handle(AckAlert(None, "")) == Ack()  # type: ignore[arg-type]


@pytest.mark.parametrize("asked_for", [PollAlerts(), PollLinkFrames()], ids=["alerts", "frames"])
def test_where_there_is_nothing_to_come_the_uplink_is_answered_slowly_and_at_news(
    clock: SteppedClock, monkeypatch: pytest.MonkeyPatch, asked_for: FromUplink
) -> None:
    """It asks again at once, and would keep the processor busy."""
    monkeypatch.setattr("agent.custodian.ipc_handlers._ALERTS_S", 60.0)
    asked, answered = uplink(clock), threading.Event()
    asking = threading.Thread(target=lambda: (asked.handle(asked_for), answered.set()))
    asking.start()
    assert not answered.wait(0.3)
    asked.news()
    assert answered.wait(30)
    asking.join()


class Link:
    """`LinkPort`: sends back what was delivered."""

    def __init__(self) -> None:
        self.delivered: list[LinkFrame] = []

    def deliver(self, frames: Sequence[LinkFrame]) -> None:
        self.delivered += frames

    def collect(self, wait_s: float) -> tuple[LinkFrame, ...]:
        assert 0 < wait_s <= 3
        return tuple(self.delivered)


def test_the_uplink_carries_frames_between_the_relay_and_the_link(clock: SteppedClock) -> None:
    link, frame = Link(), LinkFrame("a" * 32, b"a frame")
    asked = uplink(clock, link=link, relay=lambda: RelayReply("relay.example", 8885))
    assert asked.handle(GetRelay()) == RelayReply("relay.example", 8885)
    assert asked.handle(DeliverLinkFrames((frame,))) == Ack()
    assert link.delivered == [frame]
    assert asked.handle(PollLinkFrames()) == LinkFrames((frame,))


def test_the_uplink_gets_the_report_for_the_installer_and_nothing_without_one(clock: SteppedClock) -> None:
    assert uplink(clock).handle(GetHealthReport()) == HealthReportReply(b"")
    asked = uplink(clock, health=lambda: b"a sealed report")
    assert asked.handle(GetHealthReport()) == HealthReportReply(b"a sealed report")


def test_without_a_link_frames_go_nowhere(clock: SteppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.custodian.ipc_handlers._ALERTS_S", 0.0)
    asked = uplink(clock)
    assert asked.handle(DeliverLinkFrames((LinkFrame("a" * 32, b"a frame"),))) == Ack()
    assert asked.handle(PollLinkFrames()) == LinkFrames(())


def test_the_uplink_carries_the_state_to_home_assistant_and_alerts_to_their_channels(clock: SteppedClock) -> None:
    alerts = Alerts()
    asked = uplink(clock, alerts=alerts, home=Home())
    assert asked.handle(PollHomeState(4)) == HomeStateReply(HomeState(5, b"{}"))
    assert asked.handle(GetAlertChannels()) == AlertChannelsReply(())
    assert asked.handle(PollAlerts()) == AlertMessages(())
    assert asked.handle(AckAlert("parcel", "f" * 600)) == Ack()  # type: ignore[arg-type]
    assert alerts.done == [("parcel", "f" * 500)]
