"""The small share of `make test-card`: what it judges a card's start by, and that it starts what the recipe makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent.config import load
from tests.install import imager_files, look_alike
from tests.install.look_alike import facts_of, judge_first, judge_second
from tests.releasing.card_files import recipe

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
FACT role recorder active 0\r
FACT role custodian active 0\r
FACT segments 2\r
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", "root 600 0123456789abcdef"), ("key", "doorward-custodian 644 0123456789abcdef"),
        ("key-made", "12000000 9000000"), ("key-made", "0 9000000"), ("controllers", "cpu pids"), ("limit", "max"),
        ("ssh", "1"), ("host", "doorward"), ("user", ""), ("size", "2500M"), ("network", "netplan-eth0:802-3-ethernet"),
    ],
)  # fmt: skip
def test_a_first_start_that_left_something_out_is_noticed(name: str, value: str) -> None:
    facts = facts_of(LOG)
    assert judge_first(facts)
    with pytest.raises(AssertionError):
        judge_first({**facts, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("key", "doorward-custodian 600 fedcba9876543210"), ("cloud-init", "yes done"), ("segments", "0")],
)
def test_a_second_start_with_another_key_commands_from_the_card_or_no_footage_is_noticed(name: str, value: str) -> None:
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
    path.write_text(look_alike.configuration())
    found = load(path)
    assert str(found.camera.path) == look_alike.FILM
    assert found.page is not None
    assert found.page.setup_by_camera


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
