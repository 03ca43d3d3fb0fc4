"""A small installation in a booted Debian: it films, outlives kills of each role, follows no link, and uninstalls
cleanly.

The life of `make test-install` in a quarter of an hour, cut down to a length that every run can afford. It wants root,
systemd-nspawn and mmdebstrap; without them it is skipped and says so.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.install.camera import DRAWN
from tests.install.container import SMALL, SMALL_SUITE, Container, small_is_there, why_not
from tests.install.story import Story
from tests.lengths import LONG


def why_skipped() -> str:
    if why_not():
        return why_not()
    if not small_is_there():
        return "the container is not prepared: make setup-test does it"
    return ""


pytestmark = [LONG, pytest.mark.timeout(1200), pytest.mark.skipif(bool(why_skipped()), reason=why_skipped() or "-")]


@pytest.fixture
def story() -> Iterator[Story]:
    with Container(SMALL_SUITE, SMALL) as box:
        yield Story(box)


def test_an_installation_films_outlives_kills_follows_no_link_and_leaves_nothing(story: Story) -> None:
    story.prepare(DRAWN)
    story.install()
    story._inside("own")
    story.kill_count = len(story.roles)
    story.kills()
    story.tidying_up()
    story.purge()
