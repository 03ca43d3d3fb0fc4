"""The small share of `make test-card`: what it judges a card's start by, and that it starts what the recipe makes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.config import load
from tests.install import card_household, card_image, imager_files, look_alike
from tests.install.look_alike import Join, facts_of, joins_of, judge_first, judge_second
from tests.releasing.card_files import packages, recipe

LOG = """\
[    3.1] systemd[1]: noise\r
FACT key doorward-custodian 600 0123456789abcdef\r
FACT key-made 9000000 12000000\r
FACT key-unit yes\r
FACT controllers cpu memory pids\r
FACT limit 167772160\r
FACT ssh 0\r
FACT host doorward\r
FACT host porch\r
FACT user anna\r
FACT cloud-init yes done\r
FACT size 3700M\r
FACT network Huis, 3 hoog:802-11-wireless netplan-eth0:802-3-ethernet\r
FACT joined doorward:wlan0 lo:lo\r
FACT log [  301.250000] porch NetworkManager[400]: <info>  device (wlan0): Activation: starting\r
FACT log [  312.500000] porch doorward[812]: Error: Connection activation failed: Secrets were required.\r
FACT log [  312.600000] porch doorward[812]: Set-up code 0123456789abcdef: wrong-password.\r
FACT log [  399.000000] porch doorward[902]: Set-up code fedcba9876543210: joined.\r
FACT role recorder active 0\r
FACT role custodian active 0\r
FACT segments 2\r
FACT sealed-at 512\r
FACT owned yes\r
FACT failed \r
"""


def test_the_last_word_on_each_fact_counts() -> None:
    facts = facts_of(LOG)
    assert facts["host"] == "porch"
    assert facts["role recorder"] == "active 0"
    assert facts["failed"] == ""
    assert look_alike.roles_run(facts)
    assert not look_alike.roles_run({**facts, "role recorder": "activating 3"})


def test_each_answer_to_a_code_has_its_time_and_the_words_that_came_before_it() -> None:
    words = "Connection activation failed: Secrets were required."
    assert joins_of(LOG) == [Join(312.6, "wrong-password", words), Join(399.0, "joined", "")]
    assert joins_of(LOG.replace("Set-up code", "A code")) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", "root 600 0123456789abcdef"), ("key", "doorward-custodian 644 0123456789abcdef"),
        ("key-made", "12000000 9000000"), ("key-made", "0 9000000"), ("controllers", "cpu pids"), ("limit", "max"),
        ("ssh", "1"), ("host", "doorward"), ("user", ""), ("size", "2500M"), ("network", "netplan-eth0:802-3-ethernet"),
        ("joined", "lo:lo"),
    ],
)  # fmt: skip
def test_a_first_start_that_left_something_out_is_noticed(name: str, value: str) -> None:
    facts = facts_of(LOG)
    assert judge_first(facts)
    with pytest.raises(AssertionError):
        judge_first({**facts, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", "doorward-custodian 600 fedcba9876543210"),
        ("cloud-init", "yes done"),
        ("segments", "0"),
        ("joined", "lo:lo"),
    ],
)
def test_a_second_start_without_the_key_the_footage_or_the_wifi_or_with_cloud_init_is_noticed(
    name: str, value: str
) -> None:
    first = facts_of(LOG)
    second = {**first, "key-unit": "no", "cloud-init": "no"}
    assert judge_second(first, second)
    with pytest.raises(AssertionError):
        judge_second(first, {**second, name: value})


def test_the_look_alike_runs_the_recipe_s_own_hooks_and_checks_and_configuration(tmp_path: Path) -> None:
    customize, cleanup = recipe("doorward-card")
    assert [text for text in customize if "apt-get install" in text]
    assert [text for text in cleanup if "device.key" in text]
    path = tmp_path / "doorward.toml"
    path.write_text(card_image.configuration())
    found = load(path)
    assert str(found.camera.path) == card_image.FILM
    assert found.page is not None
    assert found.page.setup_by_camera


def test_the_look_alike_has_every_package_of_the_recipe_that_debian_has() -> None:
    named = {*packages("doorward-card"), *packages("doorward-cloud-init")}
    assert named - set(card_image.debian_packages()) == {"python3-picamera2"}


@pytest.mark.parametrize("text", [card_household.PROGRAM, card_image.FACTS])
def test_the_programs_inside_the_machine_are_right_as_far_as_a_shell_can_tell(text: str) -> None:
    assert subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True).stderr == ""


def test_the_router_has_the_wifi_that_the_phone_names_and_imager_named_another_one() -> None:
    found = dict(re.findall(r"(?m)^    (\w+)=(.+)$", card_household.wifi_of_the_router()))
    assert bytes.fromhex(found["ssid"]).decode() == card_household.WIFI != imager_files.WIFI
    assert found["psk"] == f'"{card_household.PASSWORD}"'


def test_what_imager_writes_is_read_by_cloud_init_as_it_is_meant() -> None:
    texts = imager_files.files()
    user_data = texts["user-data"]
    assert user_data.startswith("#cloud-config\n")
    found = yaml.safe_load(user_data)
    assert found["hostname"] == imager_files.HOST
    assert found["user"]["sudo"] is None, "no password-free root"
    assert found["runcmd"] == [["systemctl", "enable", "--now", "ssh"]], "the answer that a card must survive"
    network = yaml.safe_load(texts["network-config"])["network"]
    assert set(network["wifis"]["wlan0"]["access-points"]) == {imager_files.WIFI}
    assert yaml.safe_load(texts["meta-data"])["instance-id"] in imager_files.CMDLINE
