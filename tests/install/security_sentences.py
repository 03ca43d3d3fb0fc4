"""The tests that show each sentence of docs/security/promises.md, and each mechanism of analysis.md.

A sentence is named by its beginning. It is shown by tests, or by a contract of setup.cfg. `WORDS` has the sentences
that claim nothing that could be broken. `test_security_sentences.py` compares this list with both pages.
"""

from __future__ import annotations

from typing import Final

GETS = "tests/install/test_what_a_doorbell_gets.py"
VAULT = "tests/recorder/test_vault.py"
INBOX = "tests/custodian/test_inbox.py"
NONCES = "tests/custodian/test_nonces.py"
THIEF = "tests/custodian/test_requests_on_the_disk.py"
TRUST = "tests/custodian/test_trust_that_travels.py"
STANDS = "tests/custodian/test_a_yes_that_no_longer_stands.py"
LINK = "tests/custodian/test_link_sessions.py"
SHAKE = "tests/wire/link/test_handshake.py"
RELAY = "tests/uplink/test_link_over_a_relay.py"
SESSION = "tests/wire/link/test_session.py"
UPLINK = "tests/uplink/test_uplink.py"
SILENCE = "tests/scenarios/test_silence.py"
LINE = "tests/custodian/test_silence_on_the_line.py"
CHAPTERS = "tests/recorder/test_chapters.py"
LIVE = "tests/recorder/test_live_view.py"
TALK = "tests/recorder/test_talk.py"
SOUND = "tests/recorder/test_sound_recorder.py"
PANEL = "tests/firmware_bridge/test_panel.py"
PAGE = "tests/custodian/page"
REVIEW = "tests/clients/owner/test_review.py"
LEFT = "tests/clients/owner/test_shared_footage.py"
DOORS = "tests/clients/requester/test_known_doorbells.py"
CLOCK = "tests/custodian/test_a_wrong_clock.py"
SIGN_IN = "tests/desk/people/test_sign_in.py"
ATTACKS = "tests/updater/test_attacks.py"
REDACT = "tests/clients/media/test_redact.py"
REDACTION = "tests/clients/owner/test_redaction.py"
PUBLISHED = "tests/releasing/test_update_repository.py"
WHOLE = "tests/scenarios/test_from_the_doorbell_to_an_opened_disclosure.py"
TAP = "tests/browser/test_answering_from_anywhere.py"
AREA = "tests/wire/test_area.py"
BEATS = "tests/custodian/test_time_log.py"
SENDER = "tests/uplink/test_beat_sender.py"
TIME = "tests/clients/owner/test_confirmed_time.py"
ANSWERS = "tests/clients/requester/test_confirmed_answers.py"
TREE = "tests/core/ledger/test_time_log.py"
OWNER = "tests/clients/cli/test_owner.py"

PROMISES: Final[dict[str, tuple[str, ...]]] = {
    # 1
    "No key that opens footage": (
        f"{GETS}::test_nothing_that_is_installed_can_open_footage",
        "no-opening-on-the-device",
    ),
    "Each segment, poster and sound file is": (
        f"{VAULT}::test_nobody_else_opens_it",
        f"{VAULT}::test_a_poster_is_sealed_like_a_segment_and_recorded_with_it",
        f"{VAULT}::test_the_sound_is_a_file_of_its_own_and_says_what_the_segment_says",
        f"{VAULT}::test_nothing_on_the_disk_confirms_a_guess_of_what_was_recorded",
    ),
    # 2
    "Without an owner's signature": (
        "tests/scenarios/test_witness.py",
        f"{UPLINK}::test_nothing_of_the_footage_leaves_before_the_first_byte_is_put_down",
    ),
    "The signature is over exactly": (
        "tests/core/test_disclosure.py::test_an_approval_that_disagrees_in_one_thing_releases_nothing",
        "tests/scenarios/test_a_tip.py",
    ),
    "An approval ends as soon as": (
        f"{STANDS}::test_a_requester_that_lost_its_trust_before_the_first_byte_is_sent_nothing",
        f"{STANDS}::test_an_owner_who_has_left_takes_their_yes_with_them",
    ),
    "Footage that owners look at": (
        f"{LIVE}::test_what_lies_on_the_shelf_opens_for_the_owners_alone_and_is_no_segment",
        f"{PAGE}/test_who_may_what.py::test_route_by_role_by_object",
    ),
    "The pictures of alerts are sealed": (
        "tests/recorder/test_alert_pictures.py::test_each_browser_gets_a_picture_that_only_its_own_key_opens",
        "tests/custodian/alerts/test_push_channels.py"
        "::test_only_an_owners_signature_adds_a_browser_and_it_stands_in_the_ledger_and_is_told",
    ),
    # 3
    "Every other outcome is silence": (
        f"{SILENCE}::test_no_match_denial_opt_out_untrusted_malformed_over_limit_and_replayed_are_one_silence",
    ),
    "A request that does not match": (
        f"{SILENCE}::test_no_match_denial_opt_out_untrusted_malformed_over_limit_and_replayed_are_one_silence",
        f"{UPLINK}::test_every_no_is_the_same_silence",
        "tests/properties/test_consent_model.py",
    ),
    "The time at which its delivery": (f"{LINE}::test_a_listener_cannot_tell_any_no_from_a_nothing_here",),
    "Without a session of an owner, a relay": (
        f"{RELAY}::test_without_sessions_the_relay_gets_pings_only_at_most_a_kilobyte_a_minute",
    ),
    # 4
    "The doorbell judges each request itself": (
        "tests/properties/test_nothing_but_a_counter.py",
        f"{INBOX}::test_what_is_over_a_limit_never_reaches_the_owner_but_is_listed_and_recorded",
        f"{INBOX}::test_rates_hold_per_case_per_requester_and_in_all",
        "tests/custodian/test_owner_settings.py::test_nothing_goes_beyond_what_the_file_allows",
        "tests/wire/test_limits.py",
    ),
    # 5
    "No emergency bypass": ("tests/core/test_consent.py::test_only_the_owners_approval_opens_anything",),
    "No message skips the owner": ("tests/properties/test_consent_model.py",),
    # 6
    "The doorbell's position stays": (WHOLE, "tests/scenarios/test_at_home.py"),
    "Requests go to large cells": (
        f"{INBOX}::test_for_another_place_the_vault_is_not_even_looked_at",
        "tests/custodian/test_custodian_process.py::test_the_uplink_learns_the_broker_and_the_cell_and_never_the_place",
    ),
    "Owners may read it through a relay": (
        f"{RELAY}::test_an_owner_away_from_home_reads_today_s_events_and_signs_a_decision_and_the_relay_reads_neither",
    ),
    # 7
    "A message from the network controls": (
        "tests/wire/test_inbound.py::test_nothing_an_owner_a_root_or_a_device_says_is_taken_from_the_network",
    ),
    "It cannot start a camera": (
        "tests/wire/test_inbound.py::test_nothing_an_owner_a_root_or_a_device_says_is_taken_from_the_network",
        "tests/properties/test_nothing_but_a_counter.py",
        f"{LIVE}::test_nothing_is_sealed_while_nobody_looks_and_looking_opens_no_camera",
    ),
    "News of a trust root that the owner chose": (
        f"{TRUST}::test_a_revoked_key_is_out_at_once_without_an_owner_and_the_ledger_says_so",
        f"{TRUST}::test_a_new_agency_waits_for_one_tap_and_the_tap_gives_exactly_the_new_bundle",
        "tests/core/test_trust_change.py::test_each_right_that_is_added_waits_and_is_named",
        f"{TRUST}::test_of_no_attack_anything_takes_effect",
    ),
    "Live view and talk begin only": (
        f"{PAGE}/test_who_may_what.py::test_route_by_role",
        f"{LINK}::test_a_glance_key_reaches_what_is_at_the_door_now_and_nothing_else",
        f"{TALK}::test_only_the_key_that_asked_opens_the_offer_and_a_stranger_gets_none",
    ),
    "An owner's signed statement changes": (
        f"{NONCES}::test_a_statement_that_was_held_back_is_not_obeyed_years_later",
        f"{NONCES}::test_the_statements_of_one_owner_act_in_their_order_and_another_owner_is_in_nobodys_way",
        f"{NONCES}::test_a_nonce_counts_for_ten_minutes_and_no_other_device_or_guess_makes_one",
    ),
    "A relay carries owners' statements": (
        f"{RELAY}::test_a_relay_that_repeats_and_invents_frames_changes_nothing_and_the_session_goes_on",
        "tests/properties/test_link_model.py",
    ),
    # 8
    "The record of the past": ("tests/core/vault/test_manifest.py::test_a_dropped_moved_or_repeated_line_is_seen",),
    "Segments are signed and chained when they": (
        f"{VAULT}::test_every_line_of_the_manifest_is_signed_and_follows_the_one_before",
        "tests/core/ledger/test_merkle.py::test_a_log_with_one_rewritten_entry_never_continues_the_old_one",
        "tests/clients/owner/test_sync.py::test_a_ledger_rolled_back_is_refused_and_the_memory_stays",
    ),
    "The record of a stored segment stays": (
        f"{CHAPTERS}::test_every_stored_record_is_found_and_verified_across_the_borders",
    ),
    # 9
    "Damage is reported": (
        "tests/clients/owner/test_sealed_footage.py"
        "::test_a_cut_segment_is_exported_as_far_as_it_is_authentic_and_says_so",
    ),
    "A changed segment does not open": (
        "tests/core/vault/age/test_age_tampering.py",
        "tests/clients/owner/test_sealed_footage.py"
        "::test_a_cut_segment_is_exported_as_far_as_it_is_authentic_and_says_so",
    ),
    # 10
    "Logs contain no key": ("tests/platform/test_logs.py", "tests/scenarios/test_at_home.py"),
    # 11
    "People who are filmed can see it": (f"{PANEL}::test_the_recording_led_is_lit_exactly_while_frames_are_delivered",),
    "The recording LED is lit whenever": (
        f"{PANEL}::test_the_recording_led_is_lit_exactly_while_frames_are_delivered",
        "tests/recorder/test_recorder_and_hardware.py"
        "::test_the_privacy_switch_closes_the_camera_and_no_event_outlives_it",
        f"{SOUND}::test_the_privacy_switch_silences_it_at_once",
        f"{TALK}::test_the_privacy_switch_ends_a_conversation_within_moments_and_closes_the_speaker",
        "tests/hardware/camera_checks.py::test_the_privacy_switch_stops_the_sensor_and_leaves_a_gap",
    ),
    # 12
    "The page's server never sees": (
        "tests/browser/test_everything_on_the_page.py::test_the_server_never_sees_a_key_or_a_plaintext_frame",
    ),
    "The browser makes the keys": (
        "tests/browser/test_everything_on_the_page.py::test_the_server_never_sees_a_key_or_a_plaintext_frame",
        f"{PAGE}/test_who_may_what.py::test_the_session_alone_approves_nothing",
    ),
    "The page connects to the doorbell": (
        f"{RELAY}::test_the_page_may_connect_to_its_own_relay_and_to_nothing_else",
        f"{TAP}::test_a_ring_is_answered_with_one_tap_from_another_network_and_nobody_between_sees_or_hears_it",
    ),
    # 13
    "Only a code lets a browser in": (
        f"{PAGE}/test_sessions.py::test_a_printed_code_lets_one_browser_in_once",
        f"{PAGE}/test_sessions.py::test_a_code_of_each_kind_counts_until_its_last_second_and_takes_no_other_with_it",
        "tests/browser/test_set_up_on_a_hostile_network.py"
        "::test_a_browser_that_was_clicked_past_a_warning_is_asked_for_no_code",
    ),
    "A QR code that a person shows": (
        "tests/custodian/test_camera_setup.py::test_with_an_owner_every_code_is_ignored_and_root_is_told_once",
    ),
    # 14
    "The text of requests is for": (
        f"{THIEF}::test_after_everything_that_can_become_of_requests_no_file_has_a_word_of_them",
    ),
    "Requests, receipts, deletions and bulletins": (
        f"{THIEF}::test_after_everything_that_can_become_of_requests_no_file_has_a_word_of_them",
        f"{THIEF}::test_a_word_in_plain_is_noticed_wherever_it_lies",
    ),
    # 15
    "A stranger on the local network": (
        f"{PAGE}/test_listener.py::test_64_half_sent_requests_keep_no_owner_out",
        f"{PAGE}/test_listener.py::test_1100_idle_connections_stop_no_recording_and_keep_no_owner_out",
    ),
    # 16
    "A wrong clock destroys": (
        f"{CLOCK}::test_a_start_with_a_wrong_time_evicts_nothing",
        f"{CLOCK}::test_half_a_minute_of_a_wrong_time_neither_expires_nor_revokes_a_request",
    ),
    "After a jump the doorbell": (
        f"{CLOCK}::test_after_a_month_in_a_drawer_old_footage_goes_once_the_time_has_stood_for_three_days",
        f"{CLOCK}::test_a_hold_outlives_a_wrong_time",
        f"{CLOCK}::test_a_wrong_time_does_not_end_an_opt_out",
    ),
    # 17
    "The owner sees which pictures left": (
        f"{LEFT}::test_an_owner_reads_exactly_what_was_approved_with_the_times_of_its_records",
    ),
    "The owner's client lists them": (
        f"{LEFT}::test_a_device_that_leaves_something_out_is_noticed",
        f"{LEFT}::test_a_device_that_shows_another_yes_of_the_same_owner_is_noticed",
    ),
    # 18
    "Only an owner's browser makes": (
        f"{TALK}::test_a_tone_is_heard_with_its_pitch_and_level_and_never_by_the_custodian",
        f"{TALK}::test_only_the_key_that_asked_opens_the_offer_and_a_stranger_gets_none",
    ),
    "The voice is sealed to a key": ("tests/core/talk/test_frames.py::test_a_frame_of_another_session_does_not_open",),
    "The visitor hears two notes": (f"{TALK}::test_the_visitor_hears_a_tone_before_the_voice",),
    # 19
    "A session of the link is encrypted": (
        f"{RELAY}::test_an_owner_away_from_home_reads_today_s_events_and_signs_a_decision_and_the_relay_reads_neither",
        "tests/properties/test_link_model.py",
    ),
    "What carries it sees number": (
        f"{SESSION}::test_data_of_any_length_arrives_whole_in_records_of_four_lengths",
        f"{SESSION}::test_a_ping_says_nothing_and_counts_as_received",
    ),
    "Only listed keys open one": (
        f"{LINK}::test_a_key_that_is_not_listed_is_told_so_and_gets_no_session",
        f"{LINK}::test_a_glance_key_reaches_what_is_at_the_door_now_and_nothing_else",
        f"{LINK}::test_a_client_without_the_secret_costs_no_handshake_and_learns_nothing",
    ),
    # 20
    "Before a yes, the owner reads": (
        f"{OWNER}::test_before_the_yes_an_owner_reads_how_long_it_is_kept_and_who_may_get_it",
        "tests/browser/test_everything_on_the_page.py::test_before_the_yes_the_page_says_what_the_requester_promises",
    ),
    "Both are in the signed request": (
        "tests/clients/requester/test_messages.py::test_a_request_says_what_was_asked_and_is_signed",
        "tests/clients/requester/test_request_builder.py"
        "::test_a_draft_becomes_a_request_with_all_its_values_and_clean_text",
    ),
    "The owner's client says them in its own words": (
        "tests/browser/test_everything_on_the_page.py"
        "::test_a_promise_is_said_in_the_owners_language_and_a_requesters_words_carry_theirs",
        f"{LEFT}::test_the_promises_that_an_owner_approved_are_those_of_the_request_that_the_approval_names",
    ),
    # 21
    "A requester's desk shows a person": ("tests/desk/test_matrix.py",),
    "It has no default password": (
        "tests/desk/people/test_first_start.py::test_the_link_works_once_and_not_after_its_time",
    ),
    "A session ends in time": (
        f"{SIGN_IN}::test_a_session_ends_after_its_idle_time_and_after_its_whole_time",
        f"{SIGN_IN}::test_guessing_a_password_is_stopped_and_the_log_tells_of_it",
    ),
    "Each sign-in is in the custody log": (
        f"{SIGN_IN}::test_each_sign_in_is_in_the_log_of_each_organisation_of_the_person",
    ),
    # 22
    "No single key releases a version": (
        f"{PUBLISHED}::test_a_release_lacking_a_signature_is_not_published",
        f"{PUBLISHED}::test_no_key_has_two_roles_and_no_role_too_few_keys",
    ),
    "A release has two signatures": (
        f"{PUBLISHED}::test_two_people_sign_the_same_statement",
        f"{PUBLISHED}::test_a_signer_refuses_bytes_that_differ_from_their_own_build",
    ),
    "Its bytes depend on its commit": (
        "tests/releasing/test_build.py"
        "::test_a_package_is_the_same_whatever_the_time_zone_locale_umask_path_and_order_of_files",
        f"{PUBLISHED}::test_after_a_theft_of_two_targets_keys_the_roots_replace_them_and_every_visitor_follows",
    ),
    # 23
    "An update is installed only if": (
        f"{ATTACKS}::test_an_updater_that_was_taken_over_and_stages_an_attack_gives_root_nothing",
        "tests/updater/test_root_step.py::test_a_release_is_installed_only_after_an_owner_wished_for_exactly_it",
    ),
    "Root verifies it on its own copy": (
        f"{ATTACKS}::test_bytes_that_are_exchanged_after_the_check_do_not_reach_root",
    ),
    "An older, expired or damaged one": (
        f"{ATTACKS}::test_a_rollback_of_each_kind_of_metadata_is_refused_by_both_steps",
        f"{ATTACKS}::test_a_freeze_ends_when_the_news_expires_and_what_was_on_offer_is_not_installed_any_more",
        "tests/install/test_versions.py",
    ),
    "Automatic updates need": (
        "tests/custodian/test_updates.py::test_without_an_owners_setting_no_update_is_chosen",
        "tests/custodian/test_updates.py::test_other_updates_wait_for_an_owner_with_that_setting_too",
    ),
    # 24
    "A redacted film carries nothing": (
        f"{REDACT}::test_nothing_of_the_captured_bytes_and_no_word_of_the_encoder_is_in_the_new_film",
        "tests/browser/test_covers_in_a_browser.py",
    ),
    "The owner's client or page decodes": (
        f"{REDACT}::test_every_covered_pixel_is_black_in_every_picture_of_its_time",
        f"{REDACTION}::test_the_key_of_the_captured_film_is_wrapped_for_no_one",
    ),
    "Two films that differ only": (
        f"{REDACT}::test_two_films_that_differ_only_below_the_covers_become_the_same_bytes",
    ),
    "The client refuses to share": ("tests/clients/owner/test_redaction_attacks.py",),
    "A requester sees what was redacted": (
        "tests/clients/requester/test_redacted_answers.py"
        "::test_a_requester_sees_which_films_are_redacted_where_and_when_and_that_the_others_are_as_captured",
        "tests/clients/requester/test_redacted_answers.py"
        "::test_a_wrong_list_of_redactions_and_each_other_lie_is_refused",
    ),
    # 25
    "A witness or time-stamper never learns": (
        f"{BEATS}::test_two_histories_leave_the_same_number_and_lengths_of_bytes_at_the_same_times",
    ),
    "With `[witness]`, the doorbell sends": (
        f"{BEATS}::test_two_histories_leave_the_same_number_and_lengths_of_bytes_at_the_same_times",
        f"{BEATS}::test_a_clock_in_1970_and_one_that_jumps_change_no_beat",
        f"{SENDER}::test_a_busy_custodian_moves_no_sending",
    ),
    "The bytes hide the ledger": (
        f"{TREE}::test_leaves_of_one_head_look_unlike",
        f"{BEATS}::test_a_beat_without_anything_new_looks_like_another_one",
    ),
    "If a doorbell shows two ledgers": (
        f"{BEATS}::test_a_disk_that_was_put_back_is_found_by_the_witness",
        f"{TIME}::test_a_doorbell_that_committed_to_another_ledger_is_found",
        f"{ANSWERS}::test_a_doorbell_that_shows_two_ledgers_of_one_size_is_found",
    ),
}

MECHANISMS: Final[dict[str, tuple[str, ...]]] = {
    # Sealing and disclosure
    "A file key lives in memory": (f"{VAULT}::test_a_finished_segment_cannot_be_continued", "sealing-cannot-open"),
    "The media key of live view": (
        f"{LIVE}::test_a_media_key_lasts_while_the_same_people_look_and_a_new_list_of_owners_gets_another",
    ),
    "The code that opens a segment": (
        f"{GETS}::test_nothing_that_is_installed_can_open_footage",
        "no-opening-on-the-device",
    ),
    "The record of a segment commits": (
        "tests/core/vault/test_commitment.py",
        f"{VAULT}::test_nothing_on_the_disk_confirms_a_guess_of_what_was_recorded",
    ),
    "An approval is a signed statement": (
        "tests/core/test_disclosure.py::test_an_approval_that_disagrees_in_one_thing_releases_nothing",
    ),
    "The doorbell lacks these headers": (
        "tests/custodian/test_statement_handler.py::test_nobody_but_the_requester_can_read_what_is_sent",
    ),
    "Each file states inside its seal": (
        f"{VAULT}::test_an_owner_opens_what_was_recorded_and_finds_its_context",
        f"{VAULT}::test_the_sound_is_a_file_of_its_own_and_says_what_the_segment_says",
    ),
    "The owner's client and the requester's compare": (
        f"{REVIEW}::test_an_old_poster_under_a_new_record_is_betrayed_by_its_inside",
        f"{REVIEW}::test_old_footage_under_a_new_record_is_betrayed_by_its_inside",
        "tests/clients/requester/test_incoming_tips.py::test_a_still_of_another_segment_is_no_tip",
    ),
    "When a requester's key is revoked": (f"{STANDS}::test_trust_and_what_hung_on_it_end_together_or_not_at_all",),
    "Each answer carries all lists": (
        f"{DOORS}::test_later_answers_are_tied_to_the_owners_that_a_doorbell_showed_first",
    ),
    "A requester who knows the doorbell": (
        f"{DOORS}::test_a_thief_who_has_the_doorbells_key_cannot_give_consent_in_its_owners_place",
    ),
    "The doorbell keeps what owners signed": (
        "tests/custodian/test_approval_store.py::test_what_left_is_opened_by_owners_and_read_by_no_thief",
        "tests/custodian/test_approval_store.py::test_as_much_is_kept_as_fits_to_the_last_byte",
    ),
    "The owner's client lists film": (
        f"{LEFT}::test_a_device_that_hides_the_second_owners_yes_is_noticed",
        f"{LEFT}::test_a_device_that_shows_nothing_of_the_newest_yes_is_noticed",
    ),
    # Silence
    "Every message that arrives is acknowledged": (
        "tests/mqtt/test_pacing.py::test_messages_are_taken_one_at_a_beat_however_late_somebody_comes_for_them",
    ),
    "So the time of an acknowledgement": (
        f"{LINE}::test_a_listener_cannot_tell_any_no_from_a_nothing_here",
        f"{LINE}::test_a_doorbell_that_takes_5_ms_longer_for_one_no_is_noticed",
    ),
    "A doorbell subscribes to its whole": (
        f"{UPLINK}::test_what_is_listened_to_is_the_same_whomever_the_owner_trusts",
    ),
    "It publishes nothing about either": (
        f"{UPLINK}::test_news_of_a_root_is_answered_by_nothing_whether_the_owner_chose_it_or_not",
        f"{UPLINK}::test_every_no_is_the_same_silence",
    ),
    "Alerts of requests and of roots' news": (
        "tests/custodian/alerts/test_alerts.py"
        "::test_whatever_becomes_of_a_request_nothing_leaves_until_a_quarter_of_an_hour_after_it",
        f"{TRUST}::test_an_alert_of_news_names_nobody_and_waits_before_it_leaves_the_house",
        "tests/core/alerts/test_notice_delay.py"
        "::test_it_is_never_shorter_than_the_shortest_nor_longer_than_the_longest_and_the_same_when_asked_again",
    ),
    # Requests
    "A request must be signed by a requester": (
        "tests/custodian/test_owners_and_trust.py::test_out_of_the_box_nobody_is_trusted",
    ),
    "Anything else changes only a counter": ("tests/properties/test_nothing_but_a_counter.py",),
    "A request over a limit is listed": (
        f"{INBOX}::test_what_is_over_a_limit_never_reaches_the_owner_but_is_listed_and_recorded",
        f"{INBOX}::test_what_was_blocked_stays_blocked_when_its_time_has_come",
    ),
    "Rates count only requests about this place": (
        f"{INBOX}::test_what_is_asked_about_streets_far_away_blocks_nothing_about_this_one",
        f"{INBOX}::test_a_requester_who_asks_all_day_does_not_keep_another_from_asking",
    ),
    "About one span of time": (
        f"{INBOX}::test_about_one_time_a_requester_asks_twice_in_vain_whatever_case_numbers_it_gives",
    ),
    "A door counts only together": (
        f"{AREA}::test_whatever_counts_does_so_with_all_of_a_disc_of_60_m",
        f"{AREA}::test_no_outline_counts_one_door_at_the_tip_of_a_needle_of_ninety_thousand",
    ),
    "The custodian has a request in memory": (
        f"{THIEF}::test_after_everything_that_can_become_of_requests_no_file_has_a_word_of_them",
    ),
    "The few terms that it must know": (f"{THIEF}::test_what_the_device_goes_by_is_gone_once_a_request_has_ended",),
    # Statements of owners
    "Settings, deletions, trust and owners": (
        f"{PAGE}/test_who_may_what.py::test_the_session_alone_approves_nothing",
        f"{NONCES}::test_what_no_owner_signed_uses_up_no_nonce",
    ),
    "Each statement carries a number": (
        f"{NONCES}::test_a_nonce_counts_for_ten_minutes_and_no_other_device_or_guess_makes_one",
    ),
    "It acts once, in order": (
        f"{NONCES}::test_the_statements_of_one_owner_act_in_their_order_and_another_owner_is_in_nobodys_way",
        "tests/custodian/test_transactions.py"
        "::test_what_follows_from_a_decision_comes_after_it_is_durable_and_outside_the_lock",
        "tests/custodian/test_holds.py"
        "::test_a_deletion_is_in_the_ledger_before_anything_is_touched_and_done_only_when_the_vault_says_so",
    ),
    "Changes of owners, trust, settings": (
        f"{NONCES}::test_every_owner_is_told_when_owners_or_settings_change",
        "tests/custodian/test_owners_and_trust.py::test_every_change_of_roots_and_bundles_is_told_to_the_owner",
    ),
    "A list with new owners takes effect": (
        "tests/custodian/test_owners_and_trust.py::test_a_list_counts_only_when_every_key_in_it_has_been_seen_to_open",
        "tests/custodian/test_enrolment.py"
        "::test_a_list_with_new_owners_waits_for_a_day_and_one_without_for_ten_minutes",
    ),
    "Live view leaves the camera": (f"{LIVE}::test_nothing_is_sealed_while_nobody_looks_and_looking_opens_no_camera",),
    "If an owner looks, the recorder": (
        f"{LIVE}::test_an_owner_sees_what_is_filmed_part_by_part_in_a_stream_that_plays",
        f"{LIVE}::test_sound_comes_sealed_with_the_pictures_and_only_an_owner_hears_it",
    ),
    "Live pictures are sealed and unsigned": (
        f"{LIVE}::test_what_lies_on_the_shelf_opens_for_the_owners_alone_and_is_no_segment",
    ),
    "The privacy switch ends the sound": (f"{LIVE}::test_the_privacy_switch_ends_the_sound_of_live_view",),
    # News of trust roots
    "A root publishes its list": ("tests/clients/cli/test_trust_root.py",),
    "The doorbell applies only the part": (
        "tests/core/test_trust_change.py::test_each_right_that_is_taken_away_needs_nobody",
        f"{STANDS}::test_trust_and_what_hung_on_it_end_together_or_not_at_all",
    ),
    "The package waits until an owner": (
        f"{TRUST}::test_a_new_agency_waits_for_one_tap_and_the_tap_gives_exactly_the_new_bundle",
    ),
    "So even all keys of a root": (
        f"{TRUST}::test_whatever_happens_and_whenever_the_power_fails_no_right_comes_that_no_owner_agreed_to",
    ),
    "They can only silence": (
        "tests/core/test_trust_change.py"
        "::test_what_takes_effect_at_once_lets_nothing_through_that_the_old_or_the_new_bundle_refuses",
    ),
    "Freeze: A timestamp ends": ("tests/wire/test_trust_package.py::test_a_timestamp_lives_for_31_days_at_most",),
    "Then the doorbell and the owner's client": (
        f"{TRUST}::test_freeze_the_owner_is_told_once_and_an_ended_package_cannot_be_agreed_to",
    ),
    "A revocation still counts": (f"{TRUST}::test_freeze_what_takes_away_counts_though_its_timestamp_has_ended",),
    "Rollback: Bundle": (
        "tests/wire/test_trust_package.py::test_what_was_seen_is_known_by_all_its_versions",
        f"{TRUST}::test_an_old_journal_from_a_backup_takes_the_newest_package_and_no_older_one_than_it_knew",
    ),
    "Mix and match: The": (f"{TRUST}::test_of_no_attack_anything_takes_effect",),
    "One key of several": (
        f"{TRUST}::test_of_no_attack_anything_takes_effect",
        f"{TRUST}::test_a_key_that_was_rotated_out_signs_nothing_more",
    ),
    "A wrong clock: Without": (
        "tests/wire/test_trust_package.py::test_without_a_clock_no_package_is_fresh_and_none_has_ended",
    ),
    "Revocations need no clock": (f"{TRUST}::test_with_a_clock_of_1970_a_revocation_counts_and_nothing_is_given",),
    "Endless data, junk: Chunks": (
        "tests/core/test_trust_chunks.py",
        f"{TRUST}::test_junk_in_one_slot_delays_a_package_until_the_root_publishes_again",
    ),
    "A new timestamp alone": (
        f"{TRUST}::test_whoever_has_the_key_of_the_timestamp_renews_it_at_most_once_in_ten_minutes",
    ),
    # Records
    "The manifest is a chain": (f"{VAULT}::test_every_line_of_the_manifest_is_signed_and_follows_the_one_before",),
    "The doorbell deletes old chapters": (
        f"{CHAPTERS}::test_days_of_continuous_recording_leave_a_manifest_of_bounded_size",
        f"{CHAPTERS}::test_only_what_is_needed_at_once_is_copied",
    ),
    "A signed record at the beginning": (f"{CHAPTERS}::test_a_chapter_that_is_not_as_it_was_is_told",),
    "A missing, altered, swapped": (
        f"{CHAPTERS}::test_a_chapter_that_is_not_as_it_was_is_told",
        f"{CHAPTERS}::test_a_missing_chapter_is_named",
    ),
    "If an attacker restores deleted": (
        f"{CHAPTERS}::test_a_deleted_chapter_that_is_put_back_counts_for_nothing_and_goes_at_the_next_start",
    ),
    "Segments are signed and chained when recorded": (
        f"{VAULT}::test_every_record_is_signed_as_what_follows_its_clip_so_far",
        "tests/clients/owner/test_sync.py::test_a_ledger_rolled_back_is_refused_and_the_memory_stays",
    ),
    "Their copies can be compared": (
        "tests/clients/requester/test_verification.py",
        "tests/core/ledger/test_merkle.py",
    ),
    "The doorbell compares its clock": (
        "tests/core/test_clock_trust.py",
        f"{CLOCK}::test_a_time_that_cannot_be_read_is_taken_from_the_newest_segment",
    ),
    "A new time counts after": (
        "tests/core/test_clock_trust.py::test_a_jump_is_believed_after_its_time_and_not_before",
        f"{CLOCK}::test_an_owners_statement_of_that_time_confirms_a_jump_at_once",
    ),
    # Time by others
    "`[witness]` lets others confirm": (
        f"{SENDER}::test_a_witness_on_the_line_confirms_what_the_custodian_made",
        f"{BEATS}::test_without_a_configuration_there_is_no_beat",
    ),
    "They see a second log": (f"{BEATS}::test_a_beat_without_anything_new_looks_like_another_one",),
    "A leaf hides the ledger's head": (f"{TREE}::test_leaves_of_one_head_look_unlike",),
    "A beat comes at a fixed time": (
        "tests/core/test_beats.py::test_each_sending_has_a_beat_that_was_made_a_minute_before",
        f"{SENDER}::test_a_beat_is_fetched_a_minute_ahead_and_sent_at_its_moment",
        f"{BEATS}::test_an_answer_that_was_lost_costs_one_beat",
    ),
    "A witness refuses a log of beats": (f"{BEATS}::test_a_disk_that_was_put_back_is_found_by_the_witness",),
    "The doorbell checks its signature": (f"{BEATS}::test_forged_answers_confirm_nothing",),
    "A time-stamper gets 69 bytes": (f"{TREE}::test_every_request_for_a_stamp_has_the_same_length",),
    "Its answer is stored unread": (
        f"{BEATS}::test_a_replayed_stamp_confirms_nothing",
        f"{SENDER}::test_an_answer_without_end_is_cut_off",
    ),
    "Clients verify it": (f"{TIME}::test_a_confirmation_that_the_ledger_does_not_name_is_found",),
    "A forged, foreign, late or replayed": (
        f"{BEATS}::test_forged_answers_confirm_nothing",
        f"{BEATS}::test_a_late_answer_is_refused",
        f"{ANSWERS}::test_a_time_of_another_doorbell_changes_no_verdict",
    ),
    "Two signed heads of one size": (
        f"{TREE}::test_two_heads_of_one_size_are_a_split_view",
        f"{ANSWERS}::test_a_doorbell_that_shows_two_ledgers_of_one_size_is_found",
    ),
    "The answer's interval: Part 0": (f"{ANSWERS}::test_an_answer_says_between_which_times_it_was_made",),
    "The owner can give the requester": (
        f"{TIME}::test_an_approval_lies_between_two_beats",
        f"{ANSWERS}::test_a_file_that_is_no_proof_of_time_is_refused",
    ),
    # Camera and switch
    "No setting switches the recording LED": (
        "tests/firmware_bridge/test_bridge.py::test_the_recording_led_can_be_moved_and_not_left_out_or_turned_round",
        f"{PANEL}::test_while_nobody_knows_whether_the_sensor_runs_the_recording_led_is_lit",
    ),
    "The privacy switch counts as on": (f"{PANEL}::test_before_the_switch_has_been_read_it_counts_as_closed",),
    "Sound is recorded only with": (
        f"{SOUND}::test_a_session_that_was_told_to_end_opens_no_microphone",
        f"{SOUND}::test_before_a_camera_runs_nothing_is_being_opened",
        "tests/scenarios/test_sound_goes_where_the_owner_says.py",
    ),
    "The speaker is opened only": (
        f"{TALK}::test_a_speaker_is_not_tried_while_it_must_be_off_or_is_in_use",
        "tests/custodian/test_custodian_process.py::test_without_a_speaker_there_is_no_talk",
    ),
    # The page
    "Every route of the page states": (
        f"{PAGE}/test_who_may_what.py::test_a_route_without_an_access_level_keeps_the_page_from_starting",
    ),
    "The authority is offered over plain HTTP": (
        "tests/browser/test_set_up_on_a_hostile_network.py"
        "::test_the_authority_is_reached_without_a_warning_and_then_the_code_is_asked_for",
    ),
    "Wrong codes slow down": (
        f"{PAGE}/test_sessions.py::test_a_guesser_waits_twice_as_long_each_time_and_a_restart_does_not_forgive",
    ),
    "Connections are bounded": (
        f"{PAGE}/test_listener_bounds.py::test_nobody_comes_in_beyond_the_room_without_another_going",
    ),
    "Those of owners are closed last": (
        f"{PAGE}/test_listener_bounds.py::test_strangers_have_half_of_the_room_and_an_owners_address_is_exempt",
        f"{PAGE}/test_listener_bounds.py"
        "::test_an_address_counts_as_an_owners_for_twelve_hours_and_thirty_two_of_them_are_remembered",
    ),
    # The link
    "A session of the link (LINK.md) begins": (f"{SHAKE}::test_both_ends_agree_and_the_device_knows_the_clients_key",),
    "It ends in the custodian": (
        f"{RELAY}::test_an_owner_away_from_home_reads_today_s_events_and_signs_a_decision_and_the_relay_reads_neither",
        "uplink",
    ),
    "The first message carries a MAC": (
        f"{SHAKE}::test_only_who_knows_the_secret_can_knock",
        f"{SHAKE}::test_the_address_reveals_nothing_of_the_knock",
        f"{LINK}::test_a_client_without_the_secret_costs_no_handshake_and_learns_nothing",
    ),
    "Recorded sessions stay closed": (f"{SHAKE}::test_two_handshakes_of_the_same_ends_share_no_key",),
    "An attacker with one browser's key": (
        "tests/properties/test_link_model.py"
        "::test_a_relay_with_a_removed_owners_secret_and_one_browsers_key_gets_into_no_session",
    ),
    "A removed key loses": (
        f"{LINK}::test_a_key_that_is_removed_loses_its_session_at_once_and_at_the_latest_at_the_next_look",
    ),
    "Requests in a session are operations": (
        f"{LINK}::test_an_owner_gets_through_the_link_what_the_page_answers",
        f"{LINK}::test_operations_of_the_socket_and_of_a_page_session_are_refused",
    ),
    "The caller is the key": (
        f"{PAGE}/test_operations.py::test_a_key_of_the_link_gets_the_operations_of_its_level_and_no_others",
    ),
    "A session ends if a frame is missing": (
        f"{LINK}::test_a_lost_frame_ends_the_session_and_the_carrier_is_told",
        f"{SESSION}::test_a_hundred_thousand_changed_frames_change_nothing",
        f"{SESSION}::test_a_record_that_comes_again_is_ignored",
        f"{LINK}::test_frames_of_one_session_say_nothing_in_another",
    ),
}

WORDS: Final = (
    "The size of a sealed file bounds",
    "Nothing makes a requester keep them",
    "This page explains the mechanism",
    "Numbers are those of",
    "Altered software could show its owner one ledger",
    "A network camera's own microphone",
)
"""Sentences that say a limit, or how to read the page. The limits are in limits.md, too."""
