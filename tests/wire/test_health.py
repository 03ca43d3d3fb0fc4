"""A report of health: read as it was signed, as long as every other, and believed only from its own doorbell."""

from __future__ import annotations

import pytest

from agent.errors import FormatError, OpenError
from agent.wire import envelope, strictjson
from agent.wire.fields import ClockQuality
from agent.wire.health import HEALTH_BYTES, HealthReport, HealthWord, UpdateWord, open_report, padded
from tests.wire import samples

DEVICE = samples.DEVICE_KEY.id


def signed(report: HealthReport, key: object = samples.DEVICE) -> bytes:
    return envelope.sign(HealthReport.PAYLOAD_TYPE, strictjson.encode(report), key)  # type: ignore[arg-type]


def test_a_report_is_read_as_it_was_signed_and_has_one_length() -> None:
    report = samples.health()
    longest = samples.health(
        name="ß" * 64, version="9" * 32, uptime=2**53 - 1, wifi_dbm=-200, throttle=9, update=UpdateWord.INTERRUPTED,
        update_version="9" * 32, clock=ClockQuality.UNKNOWN, camera=HealthWord.UNKNOWN,
    )  # fmt: skip
    for each in (report, longest):
        data = padded(signed(each))
        assert len(data) == HEALTH_BYTES
        assert open_report(data, DEVICE) == each
    with pytest.raises(FormatError, match="allowed are 2048"):
        padded(b"x" * (HEALTH_BYTES + 1))


@pytest.mark.parametrize(("update", "version"), [(UpdateWord.NONE, "0.2.0"), (UpdateWord.ROLLED_BACK, None)])
def test_the_end_of_an_installation_names_its_version(update: UpdateWord, version: str | None) -> None:
    with pytest.raises(FormatError, match="beside each update"):
        samples.health(update=update, update_version=version)


def test_a_report_on_the_topic_of_another_doorbell_is_refused() -> None:
    with pytest.raises(OpenError):
        open_report(padded(signed(samples.health())), "0123456789abcdef")


def test_a_report_that_another_key_signed_is_refused() -> None:
    with pytest.raises(OpenError):
        open_report(padded(signed(samples.health(), samples.OWNER)), DEVICE)


@pytest.mark.parametrize("data", [b"", b"\n" * 2048, b"{}", b"\xff", b"[" * 2048])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        open_report(data, DEVICE)


def test_another_message_of_the_device_is_no_report() -> None:
    other = envelope.sign("application/vnd.doorward.other+json", strictjson.encode(samples.health()), samples.DEVICE)
    with pytest.raises(FormatError, match="does not hold a health report"):
        open_report(other, DEVICE)
