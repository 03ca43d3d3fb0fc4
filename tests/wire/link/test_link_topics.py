"""The topics of the link at a relay."""

from __future__ import annotations

import pytest

from agent.wire.link.topics import LinkTopic, client_topic, is_account, link_filter, parse_link_topic

ACCOUNT, ADDRESS, SESSION = "a1" * 8, "cd" * 16, "ef" * 16
IN = f"doorward/v1/link/{ACCOUNT}/{ADDRESS}/{SESSION}/in"


def test_a_topic_to_the_doorbell_gives_the_one_to_its_client() -> None:
    parsed = parse_link_topic(IN)
    assert parsed == LinkTopic(ACCOUNT, ADDRESS, SESSION)
    assert str(parsed) == f"{IN.removesuffix('in')}out"
    assert f"{client_topic(ACCOUNT, ADDRESS, SESSION)}/in" == IN
    assert link_filter(ACCOUNT, ADDRESS) == IN.replace(SESSION, "+")
    assert len(IN) < 200
    assert IN.count("/") <= 7


@pytest.mark.parametrize(
    "topic",
    [
        "",
        IN.removesuffix("in") + "out",
        f"{IN}/deeper",
        f"{IN}\n",
        IN.replace("link", "areas"),
        IN.replace("ef", "EF"),
        IN.replace("cd", "+"),
        IN.replace("a1", "a/"),
        IN.replace(ACCOUNT, "x" * 65),
        IN.replace(ACCOUNT, ""),
    ],
)
def test_every_other_topic_is_none(topic: str) -> None:
    assert parse_link_topic(topic) is None


@pytest.mark.parametrize("name", ["a1" * 8, "Front_door-2", "x" * 64])
def test_an_account_is_one_level_of_a_topic(name: str) -> None:
    assert is_account(name)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a b", "x" * 65, "a\n"])
def test_what_would_widen_a_topic_is_no_account(name: str) -> None:
    assert not is_account(name)
