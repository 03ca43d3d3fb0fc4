"""Pages of a digest: one form, and no other bytes are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import FormatError
from agent.wire import envelope, topics
from agent.wire.cell_digest import MAX_PAGE_BYTES, DigestPage, item, read_page, write_page
from tests.wire import samples

PATHS = st.builds(
    lambda kind, requester, slot: f"{kind}/{requester}/{slot}",
    st.sampled_from(["requests", "bulletins"]),
    samples.IDS,
    st.integers(0, topics.BULLETIN_SLOTS - 1),
)
MESSAGES = st.lists(st.tuples(PATHS, st.binary(min_size=1, max_size=900)), max_size=12)


@given(st.integers(1, topics.DIGEST_PAGES), MESSAGES)
def test_a_page_gives_its_messages_back(pages: int, messages: list[tuple[str, bytes]]) -> None:
    assert read_page(write_page(pages, messages)) == DigestPage(pages, tuple(messages))


@given(MESSAGES.filter(bool), st.data())
def test_a_page_that_is_cut_inside_a_message_is_none(messages: list[tuple[str, bytes]], data: st.DataObject) -> None:
    whole = write_page(1, messages)
    cut = data.draw(st.integers(1, len(messages[-1][1])))
    with pytest.raises(FormatError):
        read_page(whole[:-cut])


@given(st.binary(max_size=200))
def test_other_bytes_are_a_page_or_a_format_error(data: bytes) -> None:
    try:
        page = read_page(data)
    except FormatError:
        return
    assert write_page(page.pages, page.messages) == data


@pytest.mark.parametrize(
    "path",
    [
        f"requests/police/{topics.REQUEST_SLOTS}",
        f"bulletins/police/{topics.BULLETIN_SLOTS}",
        "tips/police/0",
        "requests/police/0 0\nrequests/police/",
    ],
)
def test_a_page_that_names_no_message_of_a_cell_is_none(path: str) -> None:
    whole = write_page(1, [("requests/police/0", b"one"), ("bulletins/police/0", b"other")])
    with pytest.raises(FormatError, match="names no message"):
        read_page(whole + item(path, b"more"))


def test_each_message_that_a_device_reads_fits_in_a_page() -> None:
    path = f"bulletins/{'x' * 32}/15"
    needed = len(item(path, b"x" * envelope.REQUEST_ENVELOPE_LIMIT_BYTES)) + len(f"{topics.DIGEST_PAGES}\n")
    assert needed <= MAX_PAGE_BYTES
    with pytest.raises(FormatError):
        write_page(topics.DIGEST_PAGES + 1, [])
