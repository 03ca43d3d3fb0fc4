"""Opening: MP4s that play and are the signed bytes, a report a person can read, evidence anyone can check again."""

from __future__ import annotations

import datetime

from agent.requester.identity import Asked, Requester
from agent.requester.opening import open_disclosure
from tests.requester.conftest import NOW_S
from tests.requester.house import House
from tests.requester.test_verifying import lay_down


def test_an_opened_disclosure_is_mp4s_a_report_and_a_bundle(requester: Requester, asked: Asked, house: House) -> None:
    disclosure = house.disclose(asked)
    lay_down(requester, asked, disclosure)
    opened = open_disclosure(requester.folder, disclosure.id, now_s=NOW_S, zone=datetime.UTC)
    assert opened.verification.ok
    assert len(opened.mp4s) == 3
    assert opened.merged is not None
    assert opened.report.is_file()
