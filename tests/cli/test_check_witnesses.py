"""The doctor says of each witness and time-stamper whether it confirmed the last beat."""

from __future__ import annotations

from typing import Any

from agent.cli.checks.finding import CheckStatus, Finding
from agent.cli.checks.witnesses import check_witnesses
from agent.config.settings import WitnessAddressConfig, WitnessConfig
from tests.time_services import LocalWitness

CONFIG = WitnessConfig(
    addresses=(
        WitnessAddressConfig(name="w1", url="https://w1.test/add-checkpoint", key=LocalWitness().verifier_key),
        WitnessAddressConfig(name="tsa", url="https://tsa.test/"),
    )
)


def found(**status: Any) -> list[Finding]:
    return list(check_witnesses(CONFIG, status))


def test_a_doorbell_that_does_not_run_was_not_asked() -> None:
    assert found() == [
        Finding("witness: w1", CheckStatus.FINE, "It is asked every 6 h. There was no beat since the start."),
        Finding("time-stamper: tsa", CheckStatus.FINE, "It is asked every 6 h. There was no beat since the start."),
    ]


def test_an_address_that_confirmed_nothing_is_told_with_its_reason() -> None:
    status = {"beats": 9, "confirmed": 9, "by": {"w1": "", "tsa": "It did not answer."}}
    assert found(time=status) == [
        Finding("witness: w1", CheckStatus.FINE, "It confirmed the last beat: 9 of 9."),
        Finding(
            "time-stamper: tsa",
            CheckStatus.POOR,
            "At the last beat it confirmed nothing: It did not answer.",
            "Compare its address and key in [witness] with those that it publishes.",
        ),
    ]
