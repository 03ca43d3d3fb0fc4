"""Alerts that are sent at once, that wait, and that are dropped."""

from hypothesis import given
from hypothesis import strategies as st

from agent.core.alerts.kinds import ALERTS, AlertKind, AlertPriority, alert_named
from agent.core.alerts.policy import ChannelRules, Decision, Policy, is_within, may_release
from agent.core.timebase import BootNs

S = 10**9
MINUTES = st.one_of(st.none(), st.integers(0, 1439))
ANN = ChannelRules("Ann", quiet=(22 * 60, 7 * 60))
BEN = ChannelRules("Ben", kinds=frozenset({AlertKind.BUTTON, AlertKind.HEAT}))
NOON, NIGHT = 12 * 60, 3 * 60


def at(second: float) -> BootNs:
    return BootNs(round(second * S))


def told(policy: Policy, name: str, second: float, minute: int | None = NOON, channel: ChannelRules = ANN) -> Decision:
    return policy.decide(channel, alert_named(name), at(second), minute)


@given(st.lists(st.tuples(st.sampled_from(sorted(ALERTS)), st.integers(0, 600), MINUTES), max_size=40), MINUTES)
def test_no_history_and_no_hour_keeps_the_button_from_being_told(
    history: list[tuple[str, int, int | None]], minute: int | None
) -> None:
    policy = Policy((ANN,), digest=frozenset(AlertKind))
    second = 0
    for name, pause, when in history:
        second += pause
        told(policy, name, second, when)
    assert told(policy, "button", second, minute) is Decision.NOW


def test_a_cool_down_tells_the_first_visitor_and_the_first_after_it() -> None:
    policy = Policy((ANN,), cool_down_ns=300 * S)
    rulings = [told(policy, "visitor", second) for second in range(0, 601, 10)]
    assert [n for n, ruling in enumerate(rulings) if ruling is Decision.NOW] == [0, 30, 60]


def test_a_cool_down_is_each_channels_own_and_each_kinds_own() -> None:
    policy = Policy((ANN, BEN))
    assert told(policy, "visitor", 0) is Decision.NOW
    assert told(policy, "board", 1) is Decision.NOW
    assert told(policy, "board", 2, channel=BEN) is Decision.NOW
    assert told(policy, "board", 3, channel=BEN) is Decision.RATE_LIMITED


def test_requests_trust_and_the_opened_case_know_no_cool_down() -> None:
    policy = Policy((ANN,))
    for name in ("trust", "tamper"):
        assert [told(policy, name, second) for second in (0, 1)] == [Decision.NOW, Decision.NOW]
    assert [policy.decide(ANN, ALERTS["request"], at(s), NOON, delay_over=True) for s in (0, 1)] == [
        Decision.NOW,
        Decision.NOW,
    ]


@given(
    st.lists(st.tuples(st.sampled_from(sorted(ALERTS)), MINUTES), max_size=20), MINUTES, st.booleans(), st.booleans()
)
def test_no_history_no_hour_and_no_digest_brings_a_request_out_before_it_was_held_back(
    history: list[tuple[str, int | None]], minute: int | None, digest: bool, quiet: bool
) -> None:
    policy = Policy((ANN,), digest=frozenset(AlertKind) if digest else frozenset(), quiet=(0, 1439) if quiet else None)
    for second, (name, when) in enumerate(history):
        told(policy, name, second, when)
    assert told(policy, "request", 99, minute) is Decision.DELAYED
    assert policy.decide(ANN, ALERTS["request"], at(99), minute, delay_over=True) is not Decision.DELAYED


@given(st.sampled_from(sorted(ALERTS)), MINUTES)
def test_nothing_but_requests_and_news_of_roots_is_held_back(name: str, minute: int | None) -> None:
    follows_a_message = name in ("request", "trust news", "trust keys", "trust silent")
    assert (told(Policy((ANN,)), name, 0, minute) is Decision.DELAYED) is follows_a_message


def test_a_request_whose_time_of_being_held_back_ends_at_night_or_before_the_digest_waits_for_those_too() -> None:
    def later(policy: Policy, minute: int) -> Decision:
        return policy.decide(ANN, ALERTS["request"], at(0), minute, delay_over=True)

    assert later(Policy((ANN,)), NIGHT) is Decision.QUIET
    assert later(Policy((ANN,), digest=frozenset({AlertKind.REQUEST})), NOON) is Decision.DIGEST
    assert later(Policy((ANN,), off=frozenset({AlertKind.REQUEST})), NOON) is Decision.OFF


def test_a_kind_that_is_off_is_told_nobody_and_a_channel_hears_what_it_asked_for() -> None:
    policy = Policy((ANN, BEN), off=frozenset({AlertKind.HEAT}))
    assert told(policy, "board", 0) is Decision.OFF
    assert told(policy, "visitor", 0, channel=BEN) is Decision.OFF


def test_quiet_hours_keep_everything_but_the_button_and_tampering() -> None:
    policy = Policy((ANN,))
    assert {name for name in ALERTS if told(policy, name, 0, NIGHT) is Decision.NOW} == {"button", "tamper", "program"}
    assert told(policy, "visitor", 0, NIGHT) is Decision.QUIET


def test_quiet_hours_of_the_household_hold_for_every_channel_and_end_for_all_of_them() -> None:
    always_on = ChannelRules("nightwatch")
    policy = Policy((always_on,), quiet=(22 * 60, 7 * 60))
    night = 23 * 60
    assert policy.decide(always_on, ALERTS["visitor"], BootNs(0), night) is Decision.QUIET
    assert policy.decide(always_on, ALERTS["button"], BootNs(0), night) is Decision.NOW
    assert not may_release(policy, always_on, Decision.QUIET, 0, 0, night)
    assert may_release(policy, always_on, Decision.QUIET, 0, 0, 7 * 60)


def test_without_a_date_nothing_is_kept() -> None:
    policy = Policy((ANN,), digest=frozenset({AlertKind.VISITOR}))
    assert told(policy, "visitor", 0, None) is Decision.NOW


def test_a_camera_that_comes_back_during_the_cool_down_is_told_when_that_is_over() -> None:
    policy = Policy((ANN,), cool_down_ns=300 * S)
    assert told(policy, "camera", 0) is Decision.NOW
    assert told(policy, "camera back", 5) is Decision.RATE_LIMITED
    assert policy.rate_limited(at(299)) == ()
    assert policy.rate_limited(at(300)) == ((ANN, ALERTS["camera back"]),)
    assert policy.rate_limited(at(301)) == ()


def test_a_camera_that_flickers_and_ends_as_it_was_told_is_not_told_again() -> None:
    policy = Policy((ANN,), cool_down_ns=300 * S)
    for second, name in enumerate(("camera", "camera back", "camera", "camera back", "camera")):
        told(policy, name, second)
    assert policy.rate_limited(at(400)) == ()


@given(st.integers(0, 1439), st.integers(0, 1439))
def test_quiet_hours_and_their_reverse_share_no_minute_and_miss_none(begins: int, ends: int) -> None:
    inside = {minute for minute in range(1440) if is_within((begins, ends), minute)}
    outside = {minute for minute in range(1440) if is_within((ends, begins), minute)}
    assert not inside & outside
    assert len(inside | outside) == (1440 if begins != ends else 0)


def test_what_was_kept_is_released_when_the_quiet_hours_end_or_the_digest_is_due() -> None:
    policy = Policy((ANN,), digest_minute=20 * 60)
    day_ms = 86_400_000
    eight = 20 * 3_600_000  # 20:00 of a day that begins at 0
    assert not may_release(policy, ANN, Decision.QUIET, 0, 0, 6 * 60 + 59)
    assert may_release(policy, ANN, Decision.QUIET, 0, 0, 7 * 60)
    assert not may_release(policy, ANN, Decision.DIGEST, eight - 60_000, eight - 60_000, 19 * 60 + 59)
    assert may_release(policy, ANN, Decision.DIGEST, eight - 60_000, eight, 20 * 60)
    assert not may_release(policy, ANN, Decision.DIGEST, eight + 1, eight + 60_000, 20 * 60 + 1)
    # A device that was off at 20:00 releases when it is on again.
    assert may_release(policy, ANN, Decision.DIGEST, eight - 60_000, day_ms, 0)


def test_only_a_press_of_the_button_has_the_buttons_rank() -> None:
    assert [name for name, news in ALERTS.items() if news.rank is AlertPriority.BUTTON] == ["button"]


def test_every_kind_has_news_and_news_without_a_name_says_nothing_but_to_look() -> None:
    assert {news.kind for news in ALERTS.values()} == set(AlertKind)
    assert alert_named("segment abc is damaged").text == "The doorbell needs your attention. Run doorward status."


STATES = ("camera", "camera back")


def test_a_state_that_changed_during_a_cool_down_is_told_once_it_is_over_and_only_if_it_is_news() -> None:
    other = alert_named(STATES[1])

    def told_at(policy: Policy, *said: tuple[float, str]) -> list[Decision]:
        return [told(policy, name, second) for second, name in said]

    policy = Policy((ANN, BEN), cool_down_ns=300 * S)
    now, limited = Decision.NOW, Decision.RATE_LIMITED
    assert told_at(policy, (1000, STATES[0]), (1299.9, STATES[1])) == [now, limited]
    assert policy.rate_limited(at(1299.9)) == ()
    assert policy.rate_limited(at(1300)) == ((ANN, other),)
    assert policy.rate_limited(at(1301)) == (), "once"
    policy = Policy((ANN, BEN), cool_down_ns=300 * S)
    assert told_at(policy, (1000, STATES[0]), (1010, STATES[1]), (1020, STATES[0])) == [now, limited, limited]
    assert policy.rate_limited(at(1300)) == (), "it is as it was told"
    policy = Policy((ANN, BEN), cool_down_ns=300 * S)
    assert told_at(policy, (1000, STATES[0]), (1010, STATES[1]), (1300, STATES[0])) == [now, limited, now]
    assert policy.rate_limited(at(9000)) == (), "a newer one was told since"


def test_a_digest_holds_what_came_before_its_minute() -> None:
    policy = Policy((ANN,), digest_minute=20 * 60)
    digest_ms = 60_000 * 16_666_667
    for since_ms, now_ms, minute, goes in (
        (digest_ms - 1, digest_ms, 20 * 60, True),
        (digest_ms, digest_ms, 20 * 60, False),
        (digest_ms + 30_000, digest_ms + 35_000, 20 * 60, False),
        (digest_ms, digest_ms + 60_000, 20 * 60 + 1, False),
        (digest_ms - 1, digest_ms + 35_000, 20 * 60, True),
        (digest_ms - 1, digest_ms + 60_000, 20 * 60 + 1, True),
        (digest_ms - 1, digest_ms + 1439 * 60_000, 20 * 60 - 1, True),
        (digest_ms, digest_ms + 1439 * 60_000, 20 * 60 - 1, False),
        (0, digest_ms, None, False),
    ):
        assert may_release(policy, ANN, Decision.DIGEST, since_ms, now_ms, minute) is goes


def test_an_alert_leads_to_the_page_of_its_matter() -> None:
    pages = {
        "button": "/live",
        "visitor": "/timeline",
        "unsure": "/timeline",
        "person": "/timeline",
        "request": "/requests",
    }
    assert {name: alert.page for name, alert in ALERTS.items()} == {
        name: pages.get(name, "/settings") for name in ALERTS
    }
