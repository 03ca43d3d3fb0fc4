"""One message: what is in it, and in which order."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.core.alerts.alert_messages import (
    MOST_LINES,
    DeferredAlert,
    QueuedAlert,
    deferred_text,
    retry_pause_ns,
    summary,
    take_message,
)
from agent.core.alerts.kinds import AlertPriority

QUEUES = st.lists(st.sampled_from(AlertPriority), max_size=60).map(
    lambda ranks: [QueuedAlert(n, "Ann", rank, f"alert {n}", n, "/live") for n, rank in enumerate(sorted(ranks))]
)


@given(QUEUES)
def test_taking_until_nothing_waits_tells_every_alert_once_and_every_press_alone_and_first(
    queue: list[QueuedAlert],
) -> None:
    left, messages = list(queue), []
    while (parcel := take_message(left, "Doorward", "https://page.example")) is not None:
        messages.append(parcel)
        left = [each for each in left if each.id not in parcel.alerts]
    lines = [line for parcel in messages for line in parcel.body.splitlines()[:-1]]
    assert sorted(lines) == sorted(each.text for each in queue)
    presses = sum(each.rank is AlertPriority.BUTTON for each in queue)
    assert all(len(parcel.alerts) == 1 for parcel in messages[:presses])
    assert all(len(parcel.alerts) <= MOST_LINES for parcel in messages)
    assert all(parcel.body.endswith("https://page.example/live") for parcel in messages)


def test_a_message_without_a_page_ends_with_its_last_alert() -> None:
    parcel = take_message(
        [QueuedAlert(1, "Ann", AlertPriority.LATER, "14:03  Something moved at the door.", 0, "/live")], "Doorward", ""
    )
    assert parcel is not None
    assert parcel.body == "14:03  Something moved at the door."


def test_a_message_leads_to_the_page_that_all_its_alerts_are_about_or_to_the_first_one() -> None:
    ring, moved = (
        QueuedAlert(n, "Ann", AlertPriority.SOON, "text", 0, page) for n, page in enumerate(("/live", "/timeline"))
    )
    links = [take_message(queue, "Doorward", "https://page.example/") for queue in ([ring, ring], [ring, moved])]
    assert [link.body.splitlines()[-1] for link in links if link] == [
        "https://page.example/live", "https://page.example/",
    ]  # fmt: skip


def test_a_message_is_as_old_as_its_picture_or_else_as_its_newest_alert() -> None:
    """Push services keep messages for a day, and may deliver one again: the browser must see how old it is."""
    plain = [QueuedAlert(n, "Ann", AlertPriority.SOON, "text", 100 + n, "/timeline") for n in range(3)]
    pictured = [replace(each, picture=b"sealed") if each.id == 1 else each for each in plain]
    found = [take_message(queue, "Doorward", "") for queue in (plain, pictured)]
    assert [(each.at_ms, each.picture) for each in found if each] == [(102, b""), (101, b"sealed")]


def test_the_time_is_in_the_words_where_it_is_known() -> None:
    assert deferred_text("Something moved.", "14:03") == "14:03  Something moved."
    assert deferred_text("Something moved.", "") == "Something moved."


def test_a_summary_says_what_how_often_and_when_last() -> None:
    kept = [
        DeferredAlert("Ann", "quiet", "Something moved at the door.", 12, 0, 1),
        DeferredAlert("Ann", "quiet", "It is hot.", 1, 0, 1),
    ]
    assert summary(kept, ["06:40", "03:10"]) == (
        "Meanwhile: 12 × Something moved at the door (last 06:40); It is hot (03:10)."
    )


def test_pauses_grow_to_a_quarter_of_an_hour_and_stay_there() -> None:
    pauses = [retry_pause_ns(failures) // 10**9 for failures in range(1, 40)]
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 900
