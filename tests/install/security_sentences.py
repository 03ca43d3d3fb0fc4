"""The tests that show each sentence of SECURITY.md and of docs/security that claims something.

A sentence is named by its beginning. It is shown by tests, or by a contract of setup.cfg. `WORDS` has the sentences
that claim nothing that could be broken, or that say a limit. limits.md says what is not promised, so only its sentences
with a figure, or about what is given in spite of a limit, are listed. `test_security_sentences.py` compares these lists
with the pages.
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
TELLS = "tests/custodian/test_what_an_answer_tells.py"
CHAPTERS = "tests/recorder/test_chapters.py"
FORGED = "tests/clients/owner/test_forged_records.py"
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
BOUNDS = "tests/install/test_security_bounds.py"
UNITS = "tests/install/test_units.py"
CONTRACTS = "tests/contracts/test_import_contracts.py"
MUTATED = "tests/config/test_mutated_configurations.py"
FLEET = "tests/config/test_fleet.py"
ROOT_FOLDERS = "tests/cli/test_root_in_folders_of_roles.py"
SEEN = "tests/scenarios/test_object_detection_end_to_end.py"
AT_HOME = "tests/scenarios/test_at_home.py"
APPRISE = "tests/uplink/test_apprise_sender.py"
CUT_OFF = "tests/uplink/test_cut_off.py"
PUSH = "tests/uplink/test_push_sender.py"
MEDIA = "tests/clients/requester/test_hostile_media.py"
PLAYABLE = "tests/media/test_playable.py"
DISK = "tests/clients/requester/test_disk_usage.py"
MATRIX = "tests/desk/test_matrix.py"
CASES = "tests/desk/cases/test_case_pages.py"
CONFIRM = "tests/desk/people/test_confirmations.py"
EXPORT = "tests/desk/export/test_views.py"
NEIGHBOURS = "tests/desk/neighbourhood/test_neighbours.py"
REQUESTS = "tests/desk/test_request_bounds.py"
SPAM = "tests/desk/neighbourhood/test_attacks.py"
OTHER_AGE = "tests/interop/test_other_age_implementations.py"
FIRST = "tests/recorder/test_recording_first.py"
READING = "tests/uplink/test_cell_reading.py"
SETUP = "tests/custodian/test_camera_setup.py"
ROOT_NEWS = "tests/clients/requester/test_root_news.py"
HEALTH = "tests/custodian/test_health_reports.py"
TIPS = "tests/clients/owner/test_outgoing_tips.py"

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
        "tests/custodian/test_holds.py::test_an_answer_on_its_way_ends_with_the_footage_that_an_owner_deletes",
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
    "An answer hides how many requests had none": (
        f"{TELLS}::test_a_denial_between_two_answers_is_not_counted",
        f"{TELLS}::test_no_hash_in_an_answer_can_be_guessed",
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
        f"{PAGE}/test_sessions.py::test_a_code_is_good_only_within_its_time",
        f"{BOUNDS}::test_promises_and_mechanisms_state_the_figures_of_the_code",
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
        f"{OWNER}::test_before_the_yes_an_owner_reads_the_promises_in_the_language_of_the_terminal",
        f"{LEFT}::test_the_promises_that_an_owner_approved_are_those_of_the_request_that_the_approval_names",
    ),
    # 21
    "A requester's desk shows a person": ("tests/desk/test_matrix.py",),
    "It has no default password": (
        "tests/desk/people/test_first_start.py::test_the_first_admin_comes_by_the_link_and_sets_up_the_organisation",
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
        "tests/custodian/test_updates.py::test_an_automatic_choice_that_waits_ends_with_the_setting_and_an_owners_stays",
        "tests/custodian/test_updates.py::test_other_updates_wait_for_an_owner_with_that_setting_too",
    ),
    "Root goes back to the version before only if": (
        "tests/updater/test_way_back.py::test_a_way_back_that_an_owner_did_not_sign_for_this_moment_is_refused",
        "tests/updater/test_way_back.py::test_owners_that_a_custodian_invents_are_not_believed",
    ),
    "It verifies the owner's signature itself": (
        "tests/updater/test_way_back.py::test_an_owners_signed_way_back_is_carried_out_once_and_never_again",
        "tests/updater/test_way_back.py::test_below_the_floor_of_known_faults_only_root_goes_back",
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
    "An exact film has the recorded value": (
        f"{REDACT}::test_no_pixel_outside_of_the_covers_of_an_exact_film_differs_from_the_recorded_film",
        f"{REDACTION}::test_an_exact_plan_shares_each_pixel_outside_of_the_covers_as_it_was_recorded",
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
    # 26
    "An answer of a doorbell has two signatures": (
        "tests/core/test_disclosure.py::test_a_manifest_without_the_devices_second_signature_is_refused_by_name",
    ),
    "A root with the same id and another second key is another root": (
        "tests/custodian/test_trust_store.py"
        "::test_a_list_of_a_false_pair_with_the_id_of_a_root_locks_the_root_out_no_longer_than_it_is_chosen",
    ),
    "If an owner knows one of the two and the household": (
        "tests/clients/owner/test_household_roots.py"
        "::test_an_owner_who_has_a_false_pair_with_the_id_of_the_households_root_is_told_and_takes_the_others_over",
        f"{OWNER}::test_a_disputed_root_is_named_and_keeps_no_other_root_from_being_taken_over",
        "tests/web/test_the_program.py::test_the_browser_reads_and_writes_every_vector_of_the_wire_as_we_do",
    ),
    "Ed25519 and ML-DSA-44 sign the same bytes": (
        "tests/wire/test_mldsa.py::test_each_signature_covers_payload_and_type",
        "tests/wire/test_mldsa.py::test_a_javascript_implementation_reads_and_refuses_the_same_signatures",
    ),
    "Each list of owners names the hash of the second key": (
        "tests/core/test_disclosure.py::test_a_second_key_that_the_owners_did_not_sign_is_refused_by_name",
        "tests/custodian/test_enrolment.py::test_a_list_of_owners_that_names_another_second_key_of_the_device_is_refused",
        "tests/wire/test_statements.py"
        "::test_an_enrolment_that_skips_forks_or_changes_a_key_of_the_device_does_not_follow",
    ),
    "A requester, a desk and a neighbour's browser refuse": (
        "tests/core/test_disclosure.py::test_a_second_signature_by_another_key_or_over_other_bytes_is_refused_by_name",
        "tests/clients/requester/test_verification.py",
        "tests/desk/neighbourhood/test_answers_in_a_browser.py"
        "::test_an_answer_that_is_changed_in_one_statement_is_refused_in_the_browser",
    ),
    "So a forger of Ed25519 cannot make or change an answer": (
        "tests/clients/requester/test_a_forger_of_ed25519.py"
        "::test_a_forger_with_the_ed25519_keys_of_doorbell_and_owner_cannot_make_an_answer_verify",
        "tests/clients/requester/test_a_forger_of_ed25519.py"
        "::test_a_forger_cannot_change_one_thing_in_an_honest_answer",
    ),
    "An answer says of each record if second signatures": (
        "tests/core/vault/test_excerpt.py::test_the_covers_of_lines_are_those_that_an_excerpt_of_them_shows",
        "tests/core/vault/test_excerpt.py"
        "::test_a_line_that_a_forger_wrote_while_the_doorbell_was_off_is_not_covered_by_its_next_start",
        "tests/recorder/test_vault_reading.py"
        "::test_the_record_of_each_stored_segment_is_covered_from_its_recording_or_is_one_of_the_newest",
        "tests/custodian/test_statement_handler.py"
        "::test_an_answer_says_which_second_signature_the_vault_has_behind_each_record",
        "tests/core/test_disclosure.py::test_an_answer_that_leaves_out_what_is_behind_a_record_is_refused",
    ),
    "It says so without a hash or a count of other records": (
        "tests/core/vault/test_excerpt.py::test_what_was_not_chosen_does_not_change_the_cover_of_what_was",
        "tests/custodian/test_statement_handler.py"
        "::test_an_answer_says_which_second_signature_the_vault_has_behind_each_record",
    ),
    # 27
    "A yes of an owner has two such signatures": (
        "tests/wire/test_statements.py::test_a_statement_needs_both_signatures_of_one_approver",
        "tests/wire/test_mldsa.py::test_a_javascript_implementation_reads_and_refuses_the_same_signatures",
    ),
    "Each list of owners names both keys of an owner": (
        "tests/wire/test_statements.py::test_two_approvers_have_two_second_keys",
        "tests/wire/test_mldsa.py"
        "::test_an_owners_second_key_is_made_from_the_seed_of_the_first_and_is_another_for_each_owner",
    ),
    "A doorbell does nothing on a statement with one signature": (
        "tests/custodian/test_statement_handler.py::test_a_forger_of_ed25519_makes_the_doorbell_do_nothing",
    ),
    "An owner's client and page, a requester": (
        "tests/core/test_disclosure.py::test_a_disclosure_that_was_tampered_with_in_one_place_is_refused",
        "tests/core/test_disclosure.py::test_an_approval_is_refused_that_is_seconded",
        "tests/wire/test_mldsa.py::test_a_javascript_implementation_reads_and_refuses_the_same_signatures",
        "tests/desk/neighbourhood/test_answers_in_a_browser.py"
        "::test_an_answer_that_is_changed_in_one_statement_is_refused_in_the_browser",
    ),
    "A forger of Ed25519 cannot sign the next list of owners": (
        "tests/wire/test_statements.py::test_a_forger_of_ed25519_cannot_sign_the_next_list_of_owners",
        "tests/custodian/test_statement_handler.py::test_a_forger_of_ed25519_does_not_become_an_owner",
    ),
    # 28
    "The head of a doorbell's ledger has two such signatures": (
        "tests/core/ledger/test_checkpoint.py::test_a_forger_of_ed25519_cannot_sign_a_head",
        "tests/core/ledger/test_checkpoint.py::test_the_second_signature_is_that_of_the_specification",
    ),
    "So have the beats that witnesses and time-stampers confirm": (
        "tests/core/ledger/test_checkpoint.py::test_both_logs_of_a_device_have_their_own_heads",
        "tests/clients/test_time_confirmations.py::test_a_head_of_beats_by_a_forger_of_ed25519_confirms_nothing",
    ),
    "An owner's client and page compare the second key": (
        "tests/clients/owner/test_sync.py::test_a_second_key_that_the_owners_did_not_sign_is_refused",
        "tests/web/test_the_page_meets_its_doorbell.py::test_a_head_without_the_doorbells_second_signature_is_refused",
    ),
    "They refuse a head without the second signature": (
        "tests/clients/owner/test_sync.py::test_a_head_without_the_devices_second_signature_is_refused_by_name",
        "tests/web/test_the_page_meets_its_doorbell.py::test_a_head_without_the_doorbells_second_signature_is_refused",
        "tests/core/test_disclosure.py::test_an_approval_is_refused_whose_place_in_the_ledger_is_proven",
        "tests/desk/neighbourhood/test_answers_in_a_browser.py"
        "::test_an_answer_that_is_changed_in_one_statement_is_refused_in_the_browser",
        "tests/clients/owner/test_ledger_copy.py::test_a_copy_without_the_second_signature_is_refused_by_name",
    ),
    # 29
    "A trust root's statements have two such signatures": (
        "tests/wire/test_trust_keys.py::test_a_forger_of_ed25519_signs_no_bundle_of_a_root_that_was_chosen",
        "tests/wire/test_trust_keys.py::test_both_halves_have_to_sign_the_same_bytes",
    ),
    "The line by which owners choose a root names both keys": (
        "tests/wire/test_trust_keys.py::test_a_forger_of_ed25519_signs_no_bundle_of_a_root_that_was_chosen",
        "tests/clients/requester/test_keys_of_roots.py",
    ),
    "A list of agencies, a change of keys or a timestamp by Ed25519 alone": (
        "tests/wire/test_trust_keys.py::test_a_bundle_alone_without_its_second_half_is_refused_by_name",
        "tests/wire/test_trust_package.py",
        "tests/interop/test_a_second_reader.py::test_it_judges_every_trust_package_as_it_says",
        "tests/web/test_the_program.py::test_the_browser_reads_and_writes_every_vector_of_the_wire_as_we_do",
    ),
    "The records of a vault have two such signatures behind them": (
        "tests/crash/test_vault_cuts.py::test_no_state_that_a_cut_can_leave_breaks_a_promise",
    ),
    "Some lines of the manifest have a second signature, and it covers": (
        "tests/clients/owner/test_sealed_footage.py::test_a_second_signature_covers_the_records_before_it",
    ),
    "A forger of Ed25519 cannot change, add or date a record": (
        "tests/core/vault/test_vault_vectors.py::test_a_bad_one_is_refused",
        f"{FORGED}::test_a_forged_line_in_front_of_a_second_signature_is_no_record",
        f"{FORGED}::test_a_forger_of_ed25519_adds_no_record_from_before_the_newest_second_signature",
        f"{FORGED}::test_a_forger_of_ed25519_adds_no_record_of_another_date",
        "tests/clients/owner/test_sealed_footage.py::"
        "test_a_manifest_of_another_second_key_is_refused_if_the_key_is_known_and_named_if_not",
    ),
    "A line that is taken out is reported": (
        "tests/core/vault/test_vault_vectors.py::test_a_bad_one_is_refused",
        f"{CHAPTERS}::test_a_chapter_that_is_not_as_it_was_is_told",
    ),
    "A line that no such line covers replaces no record and removes none": (
        f"{FORGED}::test_a_line_that_no_second_signature_covers_removes_and_replaces_no_record",
        f"{FORGED}::test_a_refused_line_removes_no_record",
        f"{FORGED}::test_a_covered_line_behind_damage_counts_and_wins_over_a_later_line",
    ),
    "A record that needs a second signature and has none counts as no record": (
        f"{FORGED}::test_no_record_counts_in_a_manifest_without_a_second_signature",
        "tests/clients/owner/test_sealed_footage.py::test_a_forger_of_ed25519_adds_no_record_of_a_later_hour",
        "tests/clients/owner/test_sealed_footage.py::"
        "test_records_of_the_last_hour_are_told_as_signed_once_and_take_the_place_of_none",
    ),
}

MECHANISMS: Final[dict[str, tuple[str, ...]]] = {
    "If the answer to a signature is lost": (
        "tests/clients/owner/test_statements.py"
        "::test_a_signature_whose_answer_is_lost_may_count_and_the_owner_reads_where_to_look",
        "tests/web/test_the_program.py::test_a_signature_whose_answer_is_lost_is_not_said_to_have_changed_nothing",
    ),
    "The numbers of a review mean": (
        f"{OWNER}::test_numbers_mean_the_footage_that_was_reviewed_or_the_owner_reviews_again",
    ),
    "If a key has left the list of owners": (
        f"{PAGE}/test_operations.py::test_a_browser_of_a_former_owner_is_signed_out_also_after_its_proof_has_lapsed",
    ),
    "Keys lock also if a phone": (
        "tests/web/test_the_program.py"
        "::test_the_page_locks_without_a_tap_and_also_while_a_live_view_that_nobody_ends_plays_on",
        "tests/browser/test_left_in_other_hands.py"
        "::test_locking_one_window_locks_the_others_and_removing_the_keys_does_too",
    ),
    "Some lines have a second signature": (
        "tests/clients/owner/test_sealed_footage.py::test_a_second_signature_covers_the_records_before_it",
        "tests/clients/owner/test_sealed_footage.py::test_a_forger_of_ed25519_adds_no_record_of_a_later_hour",
    ),
    # Sealing and disclosure
    "A file key lives in memory": (
        f"{VAULT}::test_a_file_key_is_gone_from_memory_with_its_segment_and_was_never_on_the_disk",
        f"{VAULT}::test_a_finished_segment_cannot_be_continued",
        "sealing-cannot-open",
    ),
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
        f"{GETS}::test_nothing_that_is_installed_can_open_footage",
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
    "When a requester's key is revoked": (
        f"{STANDS}::test_trust_and_what_hung_on_it_end_together_or_not_at_all",
        "tests/custodian/test_holds.py::test_an_answer_on_its_way_ends_with_the_footage_that_an_owner_deletes",
    ),
    "Each answer carries all lists": (
        "tests/core/test_disclosure.py::test_a_later_list_of_owners_counts_when_an_owner_of_the_one_before_signed_it",
        f"{DOORS}::test_later_answers_are_tied_to_the_owners_that_a_doorbell_showed_first",
    ),
    "A requester who knows the doorbell": (
        f"{DOORS}::test_a_thief_who_has_the_doorbells_key_cannot_give_consent_in_its_owners_place",
    ),
    "The doorbell keeps what owners signed": (
        "tests/custodian/test_approval_store.py::test_what_left_is_opened_by_owners_and_read_by_no_thief",
        "tests/custodian/test_approval_store.py::test_as_much_is_kept_as_fits_to_the_last_byte",
        "tests/custodian/test_approval_store.py::test_of_too_many_the_oldest_go_and_the_newest_stays",
        f"{BOUNDS}::test_promises_and_mechanisms_state_the_figures_of_the_code",
    ),
    "The owner's client lists film": (
        f"{LEFT}::test_a_device_that_hides_the_second_owners_yes_is_noticed",
        f"{LEFT}::test_a_device_that_shows_nothing_of_the_newest_yes_is_noticed",
    ),
    # Silence
    "Every message that arrives is acknowledged": (
        f"{BOUNDS}::test_promises_and_mechanisms_state_the_figures_of_the_code",
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
        f"{UPLINK}::test_the_package_of_a_root_is_read_alike_whether_the_owner_chose_it_or_not",
        f"{UPLINK}::test_every_no_is_the_same_silence",
    ),
    "An answer proves its place in the ledger": (f"{WHOLE}::test_from_the_doorbell_to_an_opened_disclosure",),
    "A random number of entries for padding": (
        f"{TELLS}::test_a_denial_between_two_answers_is_not_counted",
        f"{TELLS}::test_each_number_of_padding_entries_is_as_likely_as_the_others",
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
    "A root that was put back from a backup leaves": (
        "tests/clients/cli/test_trust_root.py"
        "::test_a_folder_from_a_backup_brings_nothing_back_and_goes_on_above_what_doorbells_saw",
        "tests/clients/requester/test_list_sections.py"
        "::test_a_folder_from_a_backup_takes_a_list_in_sections_back_from_the_brokers_together",
    ),
    "Other people behind a root": (
        f"{TRUST}::test_the_owner_is_told_once_that_other_keys_sign_for_a_root_and_not_of_a_root_file_that_only_lasts_longer",
        f"{TRUST}::test_the_owner_is_told_of_other_keys_also_if_the_list_waits_for_a_yes",
    ),
    "The owner gets an alert, and page and command line show how many keys sign": (
        f"{TRUST}::test_the_owner_is_told_once_that_other_keys_sign_for_a_root_and_not_of_a_root_file_that_only_lasts_longer",
        f"{OWNER}::test_trust_says_how_many_keys_sign_for_a_root_and_when_they_changed",
        "tests/web/test_the_page_meets_its_doorbell.py"
        "::test_the_page_says_who_signs_for_a_root_and_when_the_keys_changed",
    ),
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
        "tests/wire/test_trust_package.py::test_what_was_seen_is_known_by_all_its_versions_and_by_the_payload_of_its_newest_root_file",
        f"{TRUST}::test_an_old_journal_from_a_backup_takes_the_newest_package_and_no_older_one_than_it_knew",
    ),
    "Mix and match: The": (f"{TRUST}::test_of_no_attack_anything_takes_effect",),
    "One key of several": (f"{TRUST}::test_of_no_attack_anything_takes_effect",),
    "A key that was rotated out": (
        f"{TRUST}::test_a_key_that_was_rotated_out_signs_nothing_more",
        f"{TRUST}::test_after_a_rotation_neither_the_name_key_nor_retired_keys_sign_other_root_files",
        "tests/clients/owner/test_trust_roots.py"
        "::test_after_a_rotation_no_package_by_retired_keys_or_the_name_key_is_taken",
        f"{ROOT_NEWS}::test_after_a_rotation_retired_keys_lead_no_requester_to_other_brokers",
        "tests/web/test_the_program.py::test_the_browser_reads_and_writes_every_vector_of_the_wire_as_we_do",
    ),
    "A wrong clock: Without": (
        "tests/wire/test_trust_package.py::test_without_a_clock_no_package_is_fresh_and_none_has_ended",
    ),
    "Revocations need no clock": (f"{TRUST}::test_with_a_clock_of_1970_a_revocation_counts_and_nothing_is_given",),
    "Endless data, junk: Chunks": (
        "tests/core/test_trust_chunks.py::test_endless_or_strange_data_is_no_chunk",
        "tests/core/test_trust_chunks.py::test_even_chosen_roots_fill_no_more_than_that",
        f"{BOUNDS}::test_promises_and_mechanisms_state_the_figures_of_the_code",
        f"{TRUST}::test_junk_in_one_slot_delays_a_package_until_the_root_publishes_again",
    ),
    "A root that publishes all the time": (
        "tests/uplink/test_trust_reading.py::test_a_root_that_publishes_all_the_time_delays_no_other_one",
    ),
    "A new timestamp alone": (
        f"{TRUST}::test_whoever_has_the_key_of_the_timestamp_renews_it_at_most_once_in_ten_minutes",
    ),
    "Requesters hear the same package": (
        f"{ROOT_NEWS}::test_a_new_list_of_brokers_is_stored_without_a_file",
        f"{ROOT_NEWS}::test_the_package_may_come_before_its_directory_and_both_of_before_stay_meanwhile",
    ),
    "They refuse a package that is forged": (
        f"{ROOT_NEWS}::test_what_a_broker_or_a_thief_sends_is_refused_and_what_is_stored_stays",
        f"{ROOT_NEWS}::test_after_its_end_the_news_is_known_to_be_old",
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
    "If the process that reads it is away": (
        "tests/recorder/test_panel_handler.py"
        "::test_a_bridge_that_stays_away_for_a_minute_no_longer_vouches_for_the_privacy_switch",
        "tests/recorder/test_privacy_gate.py"
        "::test_a_switch_that_can_be_read_no_longer_counts_as_on_until_it_is_read_again",
    ),
    "Private hours begin and end": (
        "tests/recorder/test_recorder_process.py::test_a_private_hour_begins_and_ends_while_the_custodian_is_away",
        "tests/recorder/test_composition.py"
        "::test_a_private_hour_is_in_force_from_the_start_and_a_disk_that_hangs_delays_none",
    ),
    "Sound is recorded only with": (
        "tests/recorder/test_translation.py::test_each_kind_of_sound_is_its_own_microphone",
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
    "A receipt for an upload that it does not": (
        f"{UPLINK}::test_a_receipt_without_an_upload_keeps_the_link_waiting_for_no_custodian",
    ),
    "A page that cannot be served stops": (
        "tests/custodian/test_composition.py::test_a_page_whose_files_are_damaged_keeps_no_doorbell_from_recording",
        f"{PAGE}/test_server.py::test_a_port_that_another_program_has_is_named_and_taken_as_soon_as_it_is_free",
        "tests/core/alerts/test_wellbeing.py::test_a_page_that_cannot_be_opened_is_told_once_after_ten_minutes",
    ),
    "A clock that jumps ahead signs": (
        f"{PAGE}/test_sessions.py::test_a_clock_that_jumps_ahead_signs_no_browser_out_until_the_jump_is_confirmed",
        f"{PAGE}/test_certificate_authority.py"
        "::test_a_leaf_that_was_made_while_the_clock_was_years_ahead_is_renewed_once_it_is_right",
    ),
    "The custodian answers the uplink before it works": (
        "tests/custodian/test_message_queue.py::test_the_uplink_does_not_wait_for_the_custodian",
    ),
    "An area is measured last": (
        f"{INBOX}::test_what_is_over_a_rate_is_not_measured",
        f"{INBOX}::test_a_request_that_fails_another_check_is_not_measured",
        f"{INBOX}::test_after_sixteen_areas_that_are_too_small_no_more_are_measured_until_another_day",
    ),
    "A message that is dropped because earlier ones took long": (
        "tests/mqtt/test_faults.py::test_with_a_beat_too_a_flood_that_nobody_takes_is_dropped_and_counted",
    ),
    "Connections are bounded": (
        f"{PAGE}/test_listener_bounds.py::test_nobody_comes_in_beyond_the_room_without_another_going",
    ),
    "A browser that was let in and has proven no owner's key counts": (
        f"{PAGE}/test_listener_bounds.py"
        "::test_a_guest_who_was_let_in_cannot_close_the_connection_of_an_owner_who_comes",
        f"{PAGE}/test_answer_budget.py::test_guests_who_hold_all_that_they_can_keep_no_owner_waiting",
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

LATER: Final[dict[str, tuple[str, ...]]] = {
    "The message carries its time": (
        "tests/web/test_pushed.py::test_a_ring_that_is_delivered_late_or_again_is_not_shown_as_one_of_now",
        "tests/uplink/test_push_sender.py::test_a_message_tells_the_browser_how_old_it_is_if_the_clock_was_known",
    ),
    "It falls as soon as the owner decides": (
        "tests/custodian/alerts/test_alert_setup.py::test_what_one_of_two_owners_has_approved_still_waits",
    ),
    # One process that was taken over
    "An installation runs four processes": (
        f"{UNITS}::test_each_role_has_a_user_of_its_own_and_no_folder_is_written_by_two",
        f"{UNITS}::test_no_role_is_more_exposed_than_it_may_be",
        f"{BOUNDS}::test_the_updater_is_started_twice_a_day",
    ),
    "A *probe* is tried": (
        "tests/install/test_in_a_container.py"
        "::test_an_installation_films_outlives_kills_follows_no_link_and_leaves_nothing",
        f"{BOUNDS}::test_the_kept_probes_all_failed_inside_and_most_succeeded_outside",
    ),
    "Those of the processes list": (
        f"{CONTRACTS}::test_a_forbidden_import_is_refused",
        "tests/contracts/test_imports.py::test_nothing_on_the_device_imports_by_a_name_that_is_made_at_run_time",
    ),
    "A module outside the list is refused": (
        f"{CONTRACTS}::test_a_forbidden_import_is_refused",
        f"{CONTRACTS}::test_every_contract_has_its_plants",
    ),
    "`tests/install/test_security_table.py` checks": (
        "tests/install/test_security_table.py::test_what_shows_a_claim_is_there",
        "tests/install/test_security_table.py::test_the_check_notices_what_is_not_there",
    ),
    "`tests/install/test_units.py` bounds": (f"{UNITS}::test_no_role_is_more_exposed_than_it_may_be",),
    "`tests/scenarios/test_roles_apart.py` runs": (
        "tests/scenarios/test_roles_apart.py::test_the_main_job_across_three_processes_each_killed_once",
    ),
    "A configuration, a fleet file or a bundle cannot": (
        f"{MUTATED}::test_injured_files_run_nothing_write_nothing_and_are_refused_by_file_line_and_key",
        f"{FLEET}::test_a_bundle_takes_no_liberties",
    ),
    "It has only sections that a fleet file gives": (
        f"{FLEET}::test_a_bundle_takes_no_liberties",
        f"{FLEET}::test_the_trust_report_names_everybody_a_bundle_would_tell_anything",
        f"{FLEET}::test_the_trust_report_names_the_address_to_which_each_alert_leads",
    ),
    "A bundle names only files": (
        f"{FLEET}::test_a_bundle_takes_no_liberties",
        f"{FLEET}::test_a_private_key_beside_the_authority_goes_into_no_bundle",
        f"{FLEET}::test_a_root_key_under_which_anybody_signs_is_in_no_bundle",
    ),
    "It proposes trust roots": (
        f"{FLEET}::test_a_doorbell_takes_its_bundle_once_and_shows_what_it_was_given",
        "tests/custodian/test_owners_and_trust.py::test_out_of_the_box_nobody_is_trusted",
    ),
    "None is ticked, and two that": (
        "tests/browser/test_offered_roots.py::test_the_owner_chooses_among_named_roots_of_which_none_is_ticked",
        f"{FLEET}::test_two_offered_roots_that_look_alike_are_refused",
    ),
    "1 800 damaged ones": (
        f"{MUTATED}::test_injured_files_run_nothing_write_nothing_and_are_refused_by_file_line_and_key",
        f"{MUTATED}::test_the_check_itself_notices_a_place_that_is_not_true",
    ),
    "The page opens the local network": (
        f"{UNITS}::test_a_unit_is_opened_as_far_as_the_configuration_asks",
        f"{UNITS}::test_what_an_option_opens_is_bounded_too",
    ),
    'The probe "send to the internet"': (
        f"{BOUNDS}::test_the_kept_probes_all_failed_inside_and_most_succeeded_outside",
    ),
    "A process that grows is killed": (
        f"{BOUNDS}::test_each_process_with_a_leak_was_killed_at_its_limit_and_came_back",
    ),
    "Raspberry Pi OS needs": (
        "tests/cli/test_doctor.py::test_a_kernel_that_holds_no_limit_of_memory_is_said_with_the_line_to_add",
    ),
    "Root's commands follow no link": (
        f"{ROOT_FOLDERS}::test_a_reset_follows_no_link_and_removes_them_all",
        f"{ROOT_FOLDERS}::test_a_restore_neither_writes_through_a_link_nor_gives_away_what_it_leads_to",
        f"{ROOT_FOLDERS}::test_root_calls_the_custodian_as_the_custodian_and_a_link_leads_to_nothing_of_roots",
        f"{ROOT_FOLDERS}::test_what_the_custodian_reads_of_the_vault_is_no_link_and_no_pipe",
        f"{ROOT_FOLDERS}::test_a_backup_takes_nothing_that_a_link_leads_to",
        "tests/cli/test_join_network.py::test_a_link_or_a_pipe_of_a_custodian_that_was_taken_over_is_not_followed",
    ),
    "A backup is sealed to the recipients": (
        "tests/cli/test_change_of_owner.py::test_a_backup_opens_for_the_owner_only_and_has_no_footage",
    ),
    # Bounds of what a peer makes a process hold
    "Queues are bounded in bytes": (
        "tests/mqtt/test_faults.py::test_large_messages_that_nobody_takes_are_bounded_in_bytes",
        "tests/mqtt/test_inbound.py::test_what_waits_is_bounded_in_bytes",
    ),
    "A message counts with its topic": (
        "tests/mqtt/test_inbound.py::test_properties_of_a_message_count",
        "tests/mqtt/test_inbound.py::test_empty_messages_of_any_number_of_senders_are_bounded_too",
        f"{BOUNDS}::test_the_analysis_states_the_bounds_of_the_code",
    ),
    # Object detection
    "Who learns a label: It is sealed": (
        f"{SEEN}::test_what_was_seen_is_sealed_in_segment_and_poster_and_its_owner_reads_it",
    ),
    "Manifest and index do not contain": (
        f"{SEEN}::test_what_was_seen_is_sealed_in_segment_and_poster_and_its_owner_reads_it",
    ),
    "A requester reads it only in": (
        f"{SEEN}::test_what_was_seen_is_sealed_in_segment_and_poster_and_its_owner_reads_it",
        f"{WHOLE}::test_from_the_doorbell_to_an_opened_disclosure",
    ),
    'Alerts and Home Assistant, if configured, learn "person"': (
        "tests/recorder/test_object_detection.py"
        "::test_a_visitor_is_told_of_once_and_as_a_person_when_one_is_seen_in_time",
        "tests/core/test_home.py::test_a_person_is_there_is_not_there_or_nobody_knows",
        "tests/core/test_home.py::test_home_assistant_is_told_of_exactly_these_entities",
    ),
    "No footage is deleted because of": (f"{SEEN}::test_an_event_stays_whatever_was_seen",),
    "Code and data: The neural network": (
        "tests/recorder/test_detector_opencv.py::test_another_network_is_not_loaded",
        "tests/recorder/test_detector_opencv.py::test_set_up_fetches_the_network_that_is_loaded",
    ),
    "The native library runs in the recorder": (
        "recorder",
        "custodian",
        "uplink",
        f"{UNITS}::test_only_the_uplink_may_call_out_and_only_the_custodian_may_be_called",
    ),
    # Alerts, Home Assistant, metrics
    "Who learns what: An alert service": (
        f"{AT_HOME}::test_phone_home_and_prometheus_hear_of_the_door_and_of_nothing_else",
        "tests/core/alerts/test_policy.py::test_every_kind_has_news_and_news_without_a_name_says_nothing_but_to_look",
        f"{BOUNDS}::test_the_analysis_states_the_bounds_of_the_code",
    ),
    "Web push is encrypted and padded": (
        "tests/uplink/test_push_sender.py::test_the_browser_opens_what_the_service_in_between_cannot_read",
        "tests/uplink/test_push_sender.py"
        "::test_a_message_with_a_picture_is_as_long_as_one_without_and_one_that_is_too_long_goes_without",
    ),
    "A picture in it was sealed by the recorder": (
        "tests/recorder/test_alert_pictures.py::test_each_browser_gets_a_picture_that_only_its_own_key_opens",
    ),
    "Your own broker learns the states": (
        "tests/core/test_home.py::test_home_assistant_is_told_of_exactly_these_entities",
        f"{AT_HOME}::test_phone_home_and_prometheus_hear_of_the_door_and_of_nothing_else",
    ),
    "When: Button, motion and tampering": (
        "tests/core/alerts/test_policy.py::test_nothing_but_requests_and_news_of_roots_is_held_back",
        "tests/core/alerts/test_policy.py::test_quiet_hours_keep_everything_but_the_button_and_tampering",
        "tests/core/alerts/test_policy.py"
        "::test_what_was_kept_is_released_when_the_quiet_hours_end_or_the_digest_is_due",
    ),
    "Requests are delayed, on every channel": (
        f"{AT_HOME}::test_phone_home_and_prometheus_hear_of_the_door_and_of_nothing_else",
        "tests/core/alerts/test_policy.py"
        "::test_no_history_no_hour_and_no_digest_brings_a_request_out_before_it_was_held_back",
    ),
    "What they cannot do: Doorward only publishes": (
        f"{AT_HOME}::test_phone_home_and_prometheus_hear_of_the_door_and_of_nothing_else",
    ),
    "The uplink reads at most 64 KiB": (
        f"{APPRISE}::test_an_answer_without_end_is_cut_off",
        f"{APPRISE}::test_a_redirect_leads_nowhere",
    ),
    "After the look-up of its name": (
        f"{APPRISE}::test_a_head_that_comes_byte_by_byte_is_cut_off",
        f"{APPRISE}::test_a_mail_server_that_greets_byte_by_byte_is_cut_off",
        f"{APPRISE}::test_a_message_of_many_requests_has_one_bound",
        f"{APPRISE}::test_a_server_that_asks_for_a_long_pause_gets_none",
        f"{PUSH}::test_a_head_that_comes_byte_by_byte_is_cut_off_and_its_status_counts",
        f"{CUT_OFF}::test_the_addresses_of_a_name_have_one_bound_together",
    ),
    "Each scheme in": (
        f"{APPRISE}::test_what_is_no_channel_is_refused_with_the_ones_that_are",
        f"{APPRISE}::test_a_channel_loads_its_own_module_and_no_other",
    ),
    "Modules that write files": (
        "tests/scenarios/test_alerts_reach_real_receivers.py::test_web_hooks_files_and_the_desktop_are_no_channels",
    ),
    "They are never shown or logged": (
        f"{APPRISE}::test_a_refusal_is_told_with_its_status_and_without_the_address",
        f"{PUSH}::test_a_refusal_is_told_without_the_address",
        "tests/config/test_no_error_shows_a_secret.py",
        f"{AT_HOME}::test_phone_home_and_prometheus_hear_of_the_door_and_of_nothing_else",
    ),
    "Once or twice: A queued alert outlives": (
        "tests/scenarios/test_alerts_reach_real_receivers.py"
        "::test_a_kill_at_any_moment_loses_nothing_and_doubles_at_most_the_message_in_the_air",
        "tests/custodian/alerts/test_alerts.py::test_after_three_days_an_alert_is_given_up_and_counted",
    ),
    "It is sent again if the power failed": (
        "tests/scenarios/test_alerts_reach_real_receivers.py"
        "::test_a_kill_at_any_moment_loses_nothing_and_doubles_at_most_the_message_in_the_air",
    ),
    "It is also sent again if a server took it": (f"{APPRISE}::test_a_head_that_comes_byte_by_byte_is_cut_off",),
    "That is after 15 s of silence": (
        f"{APPRISE}::test_the_address_changes_neither_the_limits_nor_what_is_closed",
        f"{APPRISE}::test_a_mail_server_may_check_a_mail_for_a_minute_before_it_takes_it",
    ),
    "A body that stalls after the status": (
        f"{APPRISE}::test_a_server_that_took_the_words_and_stalls_in_its_answer_is_not_told_again",
        f"{APPRISE}::test_a_server_whose_answer_says_what_it_took_is_told_again_if_that_stalls",
    ),
    "They are served on a Unix socket": (
        "tests/platform/test_metrics_server.py::test_the_socket_belongs_to_its_user_and_group_and_outlives_a_kill",
        "tests/platform/test_metrics_server.py::test_the_port_is_open_to_this_machine_alone",
    ),
    # The requester's machine
    "A receipt is honest: It says `complete`": (
        f"{MEDIA}::test_one_bad_film_among_good_ones_is_received_and_not_acknowledged_as_opened",
        f"{MEDIA}::test_a_receipt_says_again_after_a_restart_what_did_not_open",
    ),
    "Each file fails alone": (
        f"{MEDIA}::test_one_bad_film_among_good_ones_is_received_and_not_acknowledged_as_opened",
        f"{MEDIA}::test_sound_that_is_no_sound_costs_the_sound_alone",
        f"{MEDIA}::test_a_still_that_is_no_picture_costs_the_still_alone",
    ),
    "If nothing opens, the answer": (f"{MEDIA}::test_a_disclosure_of_which_nothing_opens_is_refused",),
    "Hostile media is opened in another process": (
        f"{PLAYABLE}::test_the_process_has_limits_and_none_of_our_environment",
        f"{PLAYABLE}::test_in_a_process_of_its_own_the_same_opens_and_the_same_does_not",
        f"{PLAYABLE}::test_the_first_track_of_a_format_that_doorbells_record_is_taken_up_to_its_limits",
    ),
    "The owner's export and review join": (
        "tests/clients/owner/test_sealed_footage.py"
        "::test_a_hostile_film_of_a_network_camera_is_opened_by_a_process_with_limits_and_costs_only_itself",
    ),
    "One doorbell cannot use up the disk": (
        f"{DISK}::test_a_newer_answer_takes_the_place_of_one_that_is_still_on_its_way",
        f"{DISK}::test_a_fifth_answer_to_one_request_is_refused_and_not_kept",
        f"{DISK}::test_one_doorbell_has_its_share_of_the_disk_to_the_last_byte",
        f"{DISK}::test_after_forty_answers_of_its_neighbour_an_honest_doorbell_still_has_room",
        f"{BOUNDS}::test_the_analysis_states_the_bounds_of_the_code",
    ),
    "All tips together count": (f"{DISK}::test_tips_take_no_room_of_answers",),
    "At most four uploads of a doorbell": (
        "tests/clients/requester/test_incoming.py::test_answers_of_all_doorbells_together_have_only_so_many_places",
        f"{DISK}::test_one_doorbell_has_only_so_many_answers_on_their_way",
        f"{DISK}::test_strangers_together_announce_only_so_many_and_the_next_is_not_heard",
        f"{BOUNDS}::test_the_analysis_states_the_bounds_of_the_code",
    ),
    "An unreadable tip stops no other": (
        f"{MEDIA}::test_one_tip_of_an_impossible_date_does_not_keep_the_others_from_being_read",
    ),
    "It asks no address that a film names": (
        "tests/clients/requester/test_content_credentials.py::test_a_film_that_names_an_address_makes_no_request",
    ),
    "The requester's key certifies a key": (
        "tests/clients/requester/test_content_credentials.py"
        "::test_each_film_sound_and_still_has_a_copy_that_is_valid_in_c2pa_rs_by_a_signer_whom_no_list_knows",
        "tests/clients/requester/test_sums_signature.py::test_the_signature_is_over_the_list_as_it_stands",
    ),
    "A certificate begins with 0x30": (
        "tests/clients/requester/test_sums_signature.py::test_other_bytes_are_not_signed_as_a_list",
        "tests/clients/requester/test_sums_signature.py::test_other_bytes_are_not_signed_as_a_certificate",
    ),
    # A requester's desk
    "A doorbell trusts the requester's signature": (
        "tests/properties/test_nothing_but_a_counter.py",
        "tests/core/test_disclosure.py::test_an_approval_that_disagrees_in_one_thing_releases_nothing",
    ),
    "A role counts within one organisation": (
        f"{MATRIX}::test_a_role_reaches_exactly_the_pages_of_its_actions",
        f"{MATRIX}::test_an_object_of_another_organisation_is_not_found",
    ),
    "A body has at most": (
        f"{REQUESTS}::test_a_body_without_a_length_ends_at_the_bound_on_each_page_of_the_desk",
        f"{REQUESTS}::test_a_body_that_comes_too_slowly_ends",
        f"{REQUESTS}::test_all_bodies_together_have_a_bound_and_small_ones_always_pass",
    ),
    "The head of a request has 30 seconds": (f"{REQUESTS}::test_a_connection_without_a_whole_head_ends",),
    "Pages work on 100 requests at once": (
        f"{REQUESTS}::test_pages_work_on_so_many_requests_and_one_more_waits_its_turn",
        f"{REQUESTS}::test_a_slow_body_takes_no_place_of_those_that_are_whole",
    ),
    "A session that no person has signed in to": (
        f"{SIGN_IN}::test_a_stranger_s_session_ends_within_minutes_and_leaves_no_row",
    ),
    # The neighbourhood
    "People without an account read": (
        "tests/desk/neighbourhood/test_public_bulletins.py"
        "::test_a_reader_gets_no_cookie_and_caches_may_keep_feed_and_files",
        "tests/desk/neighbourhood/test_tips_from_browsers.py"
        "::test_a_tip_reaches_the_inbox_when_its_hour_ends_and_opens_there",
        f"{NEIGHBOURS}::test_a_request_waits_for_a_moderator_and_reaches_no_door_before",
    ),
    "`tests/desk/neighbourhood/test_attacks.py` measures": (
        f"{SPAM}::test_an_operator_who_saw_the_senders_in_order_links_no_tip_of_a_past_hour_to_one_of_them",
        f"{SPAM}::test_an_operator_with_the_key_of_the_running_hour_links_each_tip",
    ),
    "An operator who saw 8 senders in order": (
        f"{SPAM}::test_an_operator_who_saw_the_senders_in_order_links_no_tip_of_a_past_hour_to_one_of_them",
    ),
    "The result is 0 within": (
        f"{SPAM}::test_an_operator_who_saw_the_senders_in_order_links_no_tip_of_a_past_hour_to_one_of_them",
        f"{SPAM}::test_an_operator_with_the_key_of_the_running_hour_links_each_tip",
    ),
    "A further test cuts SQLite's write-ahead log": (
        f"{SPAM}::test_the_log_of_the_database_links_no_waiting_row_of_a_past_hour_to_a_tip",
    ),
    "On PostgreSQL (`make test-grown`) the eight dead rows": (
        f"{SPAM}::test_the_log_of_the_database_links_no_waiting_row_of_a_past_hour_to_a_tip",
    ),
    "Now one transaction moves all tips of an hour": (
        f"{SPAM}::test_the_log_of_the_database_links_no_waiting_row_of_a_past_hour_to_a_tip",
    ),
    "A tip that could not be stored for an hour goes after": (
        "tests/desk/neighbourhood/test_tips_from_browsers.py"
        "::test_a_tip_that_cannot_be_stored_keeps_the_others_for_an_hour_so_that_they_go_together",
    ),
    "By size and topic the eight look the same": (
        f"{SPAM}::test_by_topic_and_size_a_tip_is_one_of_all_that_came_in_its_hour_to_its_organisation",
    ),
    "`tests/uplink/test_tips_at_a_broker.py` measures": (
        "tests/uplink/test_tips_at_a_broker.py"
        "::test_at_the_broker_neither_topic_nor_size_of_a_tip_of_words_tells_its_doorbell_and_its_connection_does",
    ),
    "Now a tip waits encrypted under a key of its hour": (
        "tests/desk/neighbourhood/test_tips_from_browsers.py"
        "::test_the_key_of_an_hour_is_overwritten_and_gone_some_minutes_after_its_tips",
        "tests/uplink/test_tips_at_a_broker.py"
        "::test_at_the_broker_neither_topic_nor_size_of_a_tip_of_words_tells_its_doorbell_and_its_connection_does",
    ),
    "A tip, request, notice or report costs": (
        f"{NEIGHBOURS}::test_a_submission_without_work_or_with_anothers_work_is_refused",
        f"{NEIGHBOURS}::test_the_work_of_one_report_hides_no_second_notice",
        "tests/desk/neighbourhood/test_tips_from_browsers.py"
        "::test_a_tip_without_work_with_old_work_or_of_another_size_is_refused",
        "tests/desk/neighbourhood/test_tips_from_browsers.py"
        "::test_the_same_sealed_bytes_under_another_id_cost_their_own_work",
    ),
    "From 16 that wait it costs": (
        "tests/desk/neighbourhood/test_tips_from_browsers.py"
        "::test_the_more_tips_wait_the_more_the_next_costs_up_to_a_bound",
        f"{SPAM}::test_one_token_from_before_a_flood_does_not_pay_for_all_of_it",
        f"{SPAM}::test_the_price_of_a_flood_is_the_one_that_the_analysis_states",
    ),
    "They reach no door and no reader": (
        f"{SPAM}::test_clients_without_end_fill_the_lists_at_the_stated_price_and_keep_no_honest_one_out_for_good",
        "tests/desk/neighbourhood/test_tips_from_browsers.py"
        "::test_the_tip_after_a_full_hour_is_refused_with_words_and_the_accepted_ones_stay",
    ),
    "A month of full hours leaves room": (
        f"{SPAM}::test_a_month_of_full_hours_leaves_room_for_the_tips_of_doorbells",
        f"{DISK}::test_tips_take_no_room_of_answers",
    ),
    "The same test lets 1 000 clients send": (
        f"{SPAM}::test_clients_without_end_fill_the_lists_at_the_stated_price_and_keep_no_honest_one_out_for_good",
    ),
    "The desk lists all bulletins in force": (
        "tests/desk/neighbourhood/test_public_bulletins.py"
        "::test_the_feed_states_each_area_and_the_desk_asks_no_reader_for_a_place",
    ),
    "Each bulletin states its area in the feed": (
        "tests/desk/neighbourhood/test_public_bulletins.py"
        "::test_the_feed_states_each_area_and_the_desk_asks_no_reader_for_a_place",
    ),
    "The centre of a submission is rounded": (
        f"{NEIGHBOURS}::test_the_place_of_a_writer_is_rounded_before_anyone_reads_it",
        f"{NEIGHBOURS}::test_a_place_stays_within_the_smallest_circle_wherever_it_is",
        "tests/desk/web/test_the_map.py"
        "::test_the_map_reads_positions_as_the_desk_does_and_gives_back_the_circle_that_was_typed",
    ),
    "A moderator reads each notice": (
        f"{NEIGHBOURS}::test_a_notice_is_shown_after_a_moderator_and_verifies_without_the_desk",
    ),
    "The first report hides it": (
        f"{NEIGHBOURS}::test_a_defaming_notice_is_hidden_by_its_first_report_removed_and_gone_everywhere",
        f"{NEIGHBOURS}::test_reports_hide_a_notice_once_and_a_removed_one_returns_after_a_granted_appeal",
    ),
    "A removed notice is gone": (
        f"{NEIGHBOURS}::test_a_defaming_notice_is_hidden_by_its_first_report_removed_and_gone_everywhere",
    ),
    # Cryptography
    "On the doorbell and in the Python clients": (
        "custodian",
        "recorder",
        "uplink",
        f"{BOUNDS}::test_no_other_library_of_cryptography_is_imported",
    ),
    "The page uses WebCrypto": (f"{BOUNDS}::test_the_pages_libraries_of_cryptography_are_these_with_their_hashes",),
    "Segments are age v1 files": (
        f"{VAULT}::test_an_owner_opens_what_was_recorded_and_finds_its_context",
        f"{OTHER_AGE}::test_npm_age_opens_what_we_seal_to_hybrid_keys",
    ),
    "Signatures are Ed25519 in DSSE": (
        "tests/wire/test_envelope.py::test_the_pre_authentication_encoding_is_the_specifications_example",
        "tests/custodian/test_ipc_handlers.py::test_the_capture_key_signs_documents_of_onvif_and_nothing_else",
    ),
    "The connection to the broker for footage": (
        "tests/mqtt/test_faults.py::test_a_broker_that_cannot_tls_1_3_is_refused",
        "tests/mqtt/test_faults.py::test_a_refused_certificate_is_told_apart_and_not_retried_in_a_hurry",
        "tests/mqtt/test_faults.py::test_a_broker_of_another_authority_is_not_trusted_and_nothing_is_told_to_it",
        f"{PAGE}/test_listener.py::test_a_browser_without_tls_1_3_is_refused",
    ),
    "The Python age code is ours": (
        "tests/core/vault/age/test_age_public_vectors.py::test_all_vectors_are_there",
        "tests/core/vault/age/test_age_public_vectors.py::test_the_vector_ends_as_it_says",
        f"{OTHER_AGE}::test_we_open_what_stock_age_seals_to_x25519",
        f"{OTHER_AGE}::test_npm_age_opens_what_we_seal_to_hybrid_keys",
        f"{OTHER_AGE}::test_we_open_what_npm_age_seals_to_our_hybrid_key",
    ),
    "A file that does not open has one error": (
        "tests/core/vault/age/test_age_tampering.py::test_every_failure_to_open_reads_the_same",
        "tests/wire/test_envelope.py::test_every_failure_to_verify_is_one_message",
    ),
}
"""Sentences of analysis.md from "What an attacker gains from one process" on."""

PEERS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("broker", "uplink"): (
        "tests/mqtt/test_faults.py::test_of_a_large_packet_that_comes_at_once_nothing_is_taken",
        "tests/mqtt/test_faults.py::test_large_messages_that_nobody_takes_are_bounded_in_bytes",
        "tests/mqtt/test_faults.py::test_a_broker_that_sends_and_never_reads_is_left",
    ),
    ("broker", "requester's programs"): (
        "tests/mqtt/test_faults.py::test_of_a_large_packet_that_comes_at_once_nothing_is_taken",
        "tests/mqtt/test_inbound.py::test_what_waits_is_bounded_in_bytes",
    ),
    ("Home Assistant's broker", "uplink"): (
        "tests/mqtt/test_outbound_client.py::test_the_bus_for_the_home_takes_no_packet_larger_than_64_kib",
        f"{AT_HOME}::test_phone_home_and_prometheus_hear_of_the_door_and_of_nothing_else",
    ),
    ("a browser that was let in", "custodian"): (
        f"{PAGE}/test_answer_budget.py::test_one_session_takes_half_of_the_room_and_waits_for_more",
        f"{PAGE}/test_answer_budget.py::test_a_browser_that_asks_for_much_over_many_connections_and_reads_nothing",
        f"{PAGE}/test_listener_bounds.py::test_nobody_comes_in_beyond_the_room_without_another_going",
    ),
    ("a client of the link, and what carries it", "custodian"): (
        f"{LINK}::test_a_thousand_half_open_handshakes_hold_sixteen_and_keep_no_owner_out",
        f"{LINK}::test_a_handshake_may_take_ten_seconds_and_no_longer",
        f"{LINK}::test_many_handshakes_at_once_are_answered_a_few_a_second",
        f"{LINK}::test_the_ninth_session_ends_one_of_the_key_that_has_the_most",
        f"{LINK}::test_a_session_with_too_many_streams_ends",
        f"{LINK}::test_an_owners_request_may_fill_the_room_of_all_requests_to_the_last_byte",
        f"{LINK}::test_answers_of_all_sessions_wait_for_room",
        f"{LINK}::test_a_glance_keys_request_may_have_64_kib_and_not_a_byte_more",
    ),
    ("recorder or uplink", "custodian"): (
        "tests/ipc/test_rpc_server.py::test_there_is_room_for_so_many_and_again_when_one_leaves",
        "tests/ipc/test_rpc_server.py::test_garbage_closes_its_own_connection_and_no_other",
        "tests/custodian/test_live_buffer.py::test_the_shelf_holds_sixteen_megabytes_and_drops_the_oldest",
        "tests/custodian/test_live_buffer.py::test_small_pictures_are_bounded_apart_from_the_others",
        "tests/custodian/test_live_buffer.py::test_a_piece_that_no_gop_can_have_is_refused",
        "tests/custodian/test_live_buffer.py::test_the_largest_gop_is_taken_and_a_new_one_drops_what_was_not_complete",
    ),
    ("custodian", "recorder, uplink"): (
        "tests/ipc/test_rpc_client.py::test_what_is_no_answer_is_an_error_of_ours_and_costs_not_the_next_request",
        "tests/ipc/test_rpc_server.py::test_an_answer_too_large_for_its_client_is_refused_in_words",
    ),
    ("a user of the control socket", "custodian"): (
        "tests/ipc/test_rpc_server.py::test_there_is_room_for_so_many_and_again_when_one_leaves",
        "tests/ipc/test_rpc_server.py::test_garbage_closes_its_own_connection_and_no_other",
    ),
}
"""The rows of "What a peer can make a process hold". `test_security_bounds.py` compares their figures with the code."""

DESK_CANNOT: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("network between the desk and a database on another computer", "read or change what they say"): (
        "tests/desk/test_configuration.py::test_an_error_names_its_place_and_the_remedy",
    ),
    ("network between the desk and a database on another computer", "answer as the database"): (
        "tests/desk/storage/test_postgres_tls.py"
        "::test_with_an_authority_the_certificate_and_the_name_of_the_server_are_checked",
    ),
    ("operator", "make a door answer"): ("tests/core/test_consent.py::test_only_the_owners_approval_opens_anything",),
    ("operator", "rewrite the log before that checkpoint"): (
        "tests/desk/custody/test_audit.py"
        "::test_a_kept_checkpoint_shows_a_log_that_its_own_desk_rewrote_and_signed_again",
    ),
    ("operator", "read a key out of a token"): ("tests/desk/test_tokens.py::test_a_key_does_not_leave_the_token",),
    ("operator", "use a root's key without"): (
        "tests/desk/trust/test_trust.py::test_the_root_key_is_sealed_private_and_never_overwritten",
    ),
    ("operator", "sign for a root of several people"): (
        "tests/desk/trust/test_shared_root.py"
        "::test_a_stolen_desk_folder_and_one_passphrase_sign_nothing_that_doors_take",
    ),
    ("operator", "change a film so that"): (
        "tests/desk/export/test_bundle.py::test_an_answer_that_no_longer_verifies_is_named_and_the_others_go_on",
    ),
    ("admin of an organisation", "see requests, cases"): (
        f"{MATRIX}::test_a_role_reaches_exactly_the_pages_of_its_actions",
        f"{CASES}::test_a_role_that_may_not_gets_403",
        "tests/desk/custody/test_views.py::test_only_an_auditor_reads_the_log",
    ),
    ("admin of an organisation", "invent the second person"): (
        f"{CONFIRM}::test_an_invented_colleague_neither_asks_nor_approves",
        f"{CONFIRM}::test_a_recovery_link_alone_gives_no_supervisor",
        f"{CONFIRM}::test_the_rule_of_two_persons_ends_with_a_second_person_only",
    ),
    ("admin of an organisation", "guess the passphrase"): ("tests/desk/test_passphrase_tries.py",),
    ("admin of an organisation", "recover a person of two"): (
        f"{SIGN_IN}::test_an_admin_does_not_recover_a_person_of_two_organisations",
        f"{SIGN_IN}::test_a_recovery_link_ends_when_its_person_joins_another_organisation",
    ),
    ("admin of an organisation", "add a person of another"): (
        f"{CONFIRM}::test_a_person_of_another_organisation_comes_only_by_their_own_will",
    ),
    ("admin of an organisation", "use a link after"): (f"{SIGN_IN}::test_the_links_of_an_admin_end_with_the_role",),
    ("asker, supervisor", "approve their own request"): (
        "tests/desk/asking/test_requests.py::test_nobody_approves_their_own_request_not_even_through_the_address",
    ),
    ("asker, supervisor", "keep footage beyond"): (f"{CASES}::test_footage_is_not_kept_longer_than_promised",),
    ("asker, supervisor", "as an asker, end a legal hold"): (
        "tests/desk/tips/test_tip_retention.py::test_a_person_who_may_end_no_hold_takes_no_tip_out_of_a_held_case",
        f"{CASES}::test_a_role_that_may_not_gets_403",
    ),
    ("evidence officer", "write a request"): (f"{MATRIX}::test_a_role_reaches_exactly_the_pages_of_its_actions",),
    ("evidence officer", "share clips of another"): (f"{EXPORT}::test_a_link_to_clips_of_another_case_cannot_be_made",),
    ("evidence officer", "use a guest link of theirs"): (
        f"{EXPORT}::test_a_link_ends_when_its_maker_may_no_longer_share",
    ),
    ("viewer", "write a note or verdict"): (
        f"{CASES}::test_a_role_that_may_not_gets_403",
        f"{EXPORT}::test_only_the_named_roles_export_and_share_and_see_the_buttons",
    ),
    ("auditor", "watch footage or change"): (
        f"{CASES}::test_an_auditor_sees_the_case_but_no_player",
        f"{MATRIX}::test_a_role_reaches_exactly_the_pages_of_its_actions",
    ),
    ("auditor", "see the log of another"): (
        "tests/desk/custody/test_views.py::test_an_auditor_sees_the_log_of_their_own_organisation_only",
    ),
    ("guest", "open a page of the desk"): (
        f"{EXPORT}::test_a_guest_has_no_page_of_the_desk_and_a_person_who_opens_a_link_is_signed_out",
    ),
    ("guest", "take other clips"): (
        f"{EXPORT}::test_a_guest_sees_and_takes_the_chosen_clips_only",
        f"{EXPORT}::test_a_guest_plays_no_other_clip_and_no_other_session_plays_the_film",
    ),
    ("guest", "use the link after"): (
        f"{EXPORT}::test_a_link_ends_when_it_is_revoked_or_expires_and_never_works_for_another_token",
        "tests/desk/export/test_footage_is_in_the_log.py::test_footage_leaves_by_no_address_without_its_entry",
    ),
    ("moderator", "open an answer to"): (
        f"{NEIGHBOURS}::test_an_answer_is_opened_by_the_neighbours_key_and_by_no_person_of_the_desk",
    ),
    ("moderator", "learn who wrote"): (f"{NEIGHBOURS}::test_the_row_names_no_person_and_no_minute",),
    ("moderator", "send a request alone"): (f"{NEIGHBOURS}::test_one_moderator_alone_sends_no_request_to_doors",),
    ("moderator", "decide an appeal"): (
        f"{NEIGHBOURS}::test_a_notice_that_accuses_a_person_is_rejected_and_another_moderator_hears_the_appeal",
    ),
    ("moderator", "see cases, footage"): (f"{MATRIX}::test_a_role_reaches_exactly_the_pages_of_its_actions",),
    ("neighbour without an account", "reach a door or a reader"): (
        f"{NEIGHBOURS}::test_a_request_waits_for_a_moderator_and_reaches_no_door_before",
        f"{SPAM}::test_clients_without_end_fill_the_lists_at_the_stated_price_and_keep_no_honest_one_out_for_good",
    ),
    ("neighbour without an account", "see another neighbour's"): (
        f"{NEIGHBOURS}::test_an_answer_is_opened_by_the_neighbours_key_and_by_no_person_of_the_desk",
    ),
    ("neighbour without an account", "write without computing"): (
        f"{NEIGHBOURS}::test_a_submission_without_work_or_with_anothers_work_is_refused",
        f"{SPAM}::test_clients_without_end_fill_the_lists_at_the_stated_price_and_keep_no_honest_one_out_for_good",
    ),
    ("program with a token", "approve, audit or manage"): (
        "tests/desk/api/test_api.py::test_a_token_never_has_a_role_that_approves_audits_or_manages",
    ),
    ("program with a token", "export unseen"): (
        "tests/desk/api/test_api.py::test_an_export_by_a_program_is_in_the_log_with_the_programs_name",
    ),
    ("receiver of a web hook", "read footage, words"): (
        "tests/desk/api/test_hooks.py::test_a_program_gets_each_event_in_order_with_ids_and_times_only",
    ),
    ("receiver of a web hook", "be an address"): (
        "tests/desk/api/test_hooks.py::test_no_hook_goes_to_this_computer_or_a_private_network",
    ),
    ("person of another organisation", "see that an object exists"): (
        f"{MATRIX}::test_an_object_of_another_organisation_is_not_found",
    ),
}
"""(person, beginning) of each thing that a person at a desk cannot do."""

FRONT: Final[dict[str, tuple[str, ...]]] = {
    "A thief who takes the doorbell": (
        f"{THIEF}::test_after_everything_that_can_become_of_requests_no_file_has_a_word_of_them",
        "tests/scenarios/test_demo.py",
    ),
    "The operator of the broker or": (f"{LINE}::test_a_listener_cannot_tell_any_no_from_a_nothing_here", f"{SILENCE}"),
    "A requester who asks for too much": (
        f"{INBOX}::test_what_is_over_a_limit_never_reaches_the_owner_but_is_listed_and_recorded",
        f"{INBOX}::test_a_requester_who_takes_anothers_id_first_silences_nobody",
    ),
    "A person at a requester's desk": (
        f"{MATRIX}::test_a_role_reaches_exactly_the_pages_of_its_actions",
        "tests/desk/custody/test_audit.py"
        "::test_a_kept_checkpoint_shows_a_log_that_its_own_desk_rewrote_and_signed_again",
    ),
    "Us: there is no cloud": (
        f"{BOUNDS}::test_an_installation_names_no_address_that_the_owner_did_not_configure",
        "tests/custodian/test_updates.py::test_without_an_owners_setting_no_update_is_chosen",
    ),
    "An update is signed by two": (
        f"{ATTACKS}::test_an_updater_that_was_taken_over_and_stages_an_attack_gives_root_nothing",
        f"{PUBLISHED}::test_a_release_lacking_a_signature_is_not_published",
    ),
    "All 78 provisions": (
        "tests/conformity/test_en_303_645.py::test_all_seventy_eight_provisions_are_assessed_once_and_in_order",
        "tests/conformity/test_en_303_645.py::test_each_has_a_verdict_and_a_reason_and_what_it_names_exists",
    ),
    "How to check that a package": (
        "tests/releasing/test_build.py"
        "::test_a_package_is_the_same_whatever_the_time_zone_locale_umask_path_and_order_of_files",
        f"{PUBLISHED}::test_two_people_sign_the_same_statement",
    ),
    "Judged vulnerabilities of our parts": (
        "tests/releasing/test_build.py"
        "::test_each_judged_vulnerability_is_complete_and_a_repair_is_in_the_pinned_version",
    ),
    "Assessments for the market": (
        "tests/conformity/test_conformity_pages.py::test_a_verdict_of_met_names_what_shows_it",
    ),
}
"""Sentences of SECURITY.md."""
FRONT_WORDS: Final = (
    "Three pages, each for one sitting",
    "It is our own assessment",
    "Please report privately",
    "Describe what you did",
    "A failing test is the best",
    "You get an answer within 2 days",
    "Each minor version gets",
)
"""How to read the page, and what people promise: limits.md says that no test can hold that."""

LIMITS: Final[dict[str, tuple[str, ...]]] = {
    "Without it, an answer hides that but for one case in 128": (
        f"{TELLS}::test_each_number_of_padding_entries_is_as_likely_as_the_others",
    ),
    "A doorbell that has just started": (
        "tests/uplink/test_trust_reading.py"
        "::test_whatever_roots_publish_a_connection_reads_no_more_than_its_budget_and_the_rest_in_time",
    ),
    "A revocation that was signed while the doorbell": (
        "tests/uplink/test_trust_reading.py"
        "::test_whatever_roots_publish_a_connection_reads_no_more_than_its_budget_and_the_rest_in_time",
        "tests/uplink/test_reading_at_a_reconnect.py"
        "::test_a_doorbell_reads_no_more_than_its_budget_whatever_requesters_and_roots_have_left",
    ),
    "The old subscription ends within 45 minutes of a message": (
        "tests/uplink/test_uplink.py::test_subscriptions_of_an_earlier_process_leave_the_session_at_a_moment_of_chance",
    ),
    "Brokers without sessions for doorbells can refuse": (
        "tests/scale/test_rights_in_a_cluster.py"
        "::test_the_operators_line_takes_the_client_id_from_the_certificates_name",
    ),
    "Everything else is Ed25519 only": (
        "tests/clients/owner/test_sealed_footage.py"
        "::test_records_of_the_last_hour_are_told_as_signed_once_and_take_the_place_of_none",
    ),
    "One that the browser saw replaced is refused": (
        "tests/web/test_ownerless.py::test_a_doorbell_that_lost_its_owners_is_claimed_again_only_by_a_clear_decision",
    ),
    "Then it refuses the root's own": (
        "tests/wire/test_trust_package.py"
        "::test_a_reader_that_a_thief_of_the_name_key_reaches_first_follows_only_another_name_key",
    ),
    # Footage
    "Each segment states the quality of the clock": (
        "tests/recorder/test_vault_time.py::test_what_nobody_saw_end_stays_uncertain",
        f"{VAULT}::test_an_owner_opens_what_was_recorded_and_finds_its_context",
    ),
    "The time of *recording* is bounded": (f"{TIME}::test_an_approval_lies_between_two_beats",),
    "So does a clock in 1970": (f"{BEATS}::test_a_clock_in_1970_and_one_that_jumps_change_no_beat",),
    "If a disk of an earlier day is put back": (
        f"{BEATS}::test_a_disk_that_was_put_back_is_found_by_the_witness",
        "tests/cli/test_check_witnesses.py::test_an_address_that_confirmed_nothing_is_told_with_its_reason",
    ),
    "It keeps a 256th of its room": (f"{CHAPTERS}::test_what_a_vault_gives_to_history_is_a_256th_of_it",),
    "The ledger that your client remembers does": (
        "tests/clients/owner/test_sync.py::test_a_ledger_rolled_back_is_refused_and_the_memory_stays",
    ),
    "Durable footage while the manifest is read": (
        f"{FIRST}::test_footage_that_comes_meanwhile_is_stored_whole_and_has_no_gap",
    ),
    "Until the end of that, the newest footage": (
        f"{FIRST}::test_footage_that_the_memory_cannot_hold_is_told_as_a_gap",
    ),
    "They stay sealed": (f"{VAULT}::test_nobody_else_opens_it",),
    "Its signed request states for how long": (
        "tests/clients/requester/test_messages.py::test_a_request_says_what_was_asked_and_is_signed",
    ),
    "Both clients say so before you approve": (
        f"{OWNER}::test_before_the_yes_an_owner_reads_how_long_it_is_kept_and_who_may_get_it",
        f"{LEFT}::test_an_owner_reads_exactly_what_was_approved_with_the_times_of_its_records",
    ),
    "An honest requester who runs": (
        "tests/clients/requester/test_messages.py::test_with_a_deletion_goes_the_key_to_every_answer",
    ),
    "Revoking works until the first byte": (
        "tests/custodian/test_statement_handler.py"
        "::test_a_yes_can_be_taken_back_until_the_first_byte_and_stopped_after_it",
    ),
    "The rhythm of a covered film": (f"{REDACT}::test_times_and_length_of_a_film_stay",),
    "Keyframes tell nothing": (f"{REDACT}::test_two_films_that_differ_only_in_their_keyframes_become_the_same_bytes",),
    "An encoder spreads its bits": (
        f"{REDACT}::test_two_sounds_that_differ_only_in_the_muted_stretch_become_the_same_bytes",
    ),
    "`doorward owner approve --redact` encodes": (
        f"{REDACT}::test_two_sounds_that_differ_only_in_the_muted_stretch_become_the_same_bytes",
    ),
    "Covers count from the first picture": (
        f"{REDACT}::test_a_film_that_begins_late_is_covered_by_its_first_picture",
        f"{REDACT}::test_a_cover_that_lasts_to_the_end_covers_also_pictures_that_come_hours_later",
    ),
    "The report tells the requester": (
        "tests/clients/requester/test_redacted_answers.py::test_report_certificate_and_bundle_say_what_was_redacted",
    ),
    "The other films of the answer stay": (
        f"{REDACTION}::test_a_redacted_segment_leaves_as_a_new_film_and_the_others_bit_for_bit",
    ),
    "A capture signature on everything": (
        "tests/media/test_capture_signature.py::test_every_picture_of_a_recording_is_proven_in_each_segment_and_in_all_together",
        "tests/media/test_capture_signature.py::test_each_structural_manipulation_is_noticed",
    ),
    "The true name of a camera that signs its stream": (
        "tests/clients/requester/test_capture_signatures.py"
        "::test_a_film_that_its_camera_signed_names_the_camera_and_shows_whether_its_key_signed_the_pictures",
    ),
    "Signatures that resist quantum computers, but": (
        "tests/core/test_disclosure.py::test_a_manifest_without_the_devices_second_signature_is_refused_by_name",
        "tests/core/test_disclosure.py::test_a_second_signature_by_another_key_or_over_other_bytes_is_refused_by_name",
    ),
    "A requester who has met the doorbell before": (
        f"{DOORS}::test_a_thief_who_has_the_doorbells_key_cannot_give_consent_in_its_owners_place",
    ),
    # People
    "The ledger records all of it": (
        "tests/custodian/test_holds.py"
        "::test_a_deletion_is_in_the_ledger_before_anything_is_touched_and_done_only_when_the_vault_says_so",
        "tests/custodian/test_enrolment.py"
        "::test_a_list_in_force_is_in_the_journal_and_the_ledger_and_survives_a_restart",
        f"{NONCES}::test_every_owner_is_told_when_owners_or_settings_change",
    ),
    "A requester who has heard from this doorbell": (
        f"{DOORS}::test_a_thief_who_has_the_doorbells_key_cannot_give_consent_in_its_owners_place",
        f"{DOORS}::test_a_notice_makes_the_owners_known_before_the_doorbell_ever_answered",
        f"{DOORS}::test_answers_of_a_stolen_doorbell_do_not_verify_but_those_approved_before_do",
    ),
    "For any other requester, the report says": (
        f"{DOORS}::test_what_is_first_seen_is_called_so_and_nothing_more_is_claimed",
    ),
    "A requester who knows the later list refuses": (
        f"{DOORS}::test_who_has_left_approves_nothing_by_a_list_that_was_followed_before",
        f"{DOORS}::test_an_approval_counts_up_to_ten_minutes_after_the_next_list_was_signed",
    ),
    "The browser's kit is listed": (
        "tests/clients/owner/test_enrolment.py::test_what_a_kit_may_do_is_an_owners_to_change",
    ),
    "Text without look-alike letters": (
        "tests/wire/test_text.py::test_words_that_pretend_are_refused",
        "tests/wire/test_text.py::test_what_cannot_be_seen_is_taken_out",
    ),
    "The requester's name and kind come from": (
        f"{REVIEW}::test_the_requesters_name_comes_from_the_bundle_and_never_from_the_request",
        f"{REVIEW}::test_a_kind_that_the_bundle_does_not_give_the_requester_is_not_shown_as_sound",
    ),
    "You are told of each new requester": (
        "tests/custodian/test_owners_and_trust.py::test_every_change_of_roots_and_bundles_is_told_to_the_owner",
    ),
    "A revocation counts as soon as": (
        f"{TRUST}::test_a_revoked_key_is_out_at_once_without_an_owner_and_the_ledger_says_so",
    ),
    "The owner is told when the newest timestamp": (
        f"{TRUST}::test_freeze_the_owner_is_told_once_and_an_ended_package_cannot_be_agreed_to",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "A doorbell that is restored from a backup": (
        f"{TRUST}::test_an_old_journal_from_a_backup_takes_the_newest_package_and_no_older_one_than_it_knew",
    ),
    # The doorbell
    "They cannot open older footage": (f"{GETS}::test_nothing_that_is_installed_can_open_footage",),
    "An installation keeps its services out": (
        f"{UNITS}::test_what_a_role_has_in_memory_goes_neither_into_swap_nor_into_a_core_dump",
        "tests/cli/test_doctor.py::test_a_kernel_that_holds_no_limit_of_memory_is_said_with_the_line_to_add",
    ),
    "Secrecy of the fact that you were asked": (
        f"{THIEF}::test_after_everything_that_can_become_of_requests_no_file_has_a_word_of_them",
        f"{THIEF}::test_what_the_device_goes_by_is_gone_once_a_request_has_ended",
    ),
    "Privacy of pictures on a lock screen": (
        "tests/custodian/alerts/test_push_channels.py"
        "::test_the_glance_key_of_a_browser_that_is_not_used_rests_until_an_owner_uses_it_also_after_a_restart",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "Its glance key opens nothing": (
        f"{LINK}::test_a_glance_key_reaches_what_is_at_the_door_now_and_nothing_else",
        "tests/custodian/test_enrolment.py"
        "::test_what_is_sealed_opens_for_each_owner_and_with_the_kit_and_for_nobody_else",
    ),
    "The other owners see who watches": (
        "tests/custodian/test_live_buffer.py::test_viewers_are_told_of_the_others_while_these_look",
    ),
    "A person who photographs your code": (f"{SETUP}::test_a_code_ends_after_a_quarter_of_an_hour_of_the_boot_clock",),
    "With an owner, no QR code counts": (
        f"{SETUP}::test_with_an_owner_every_code_is_ignored_and_root_is_told_once",
        f"{SETUP}::test_a_code_on_the_memory_card_lets_one_browser_in_also_with_an_owner",
    ),
    "A browser that refuses a relay for ever": (
        "tests/browser/test_set_up_on_a_hostile_network.py"
        "::test_a_doorbell_that_was_replaced_by_one_of_the_same_name_is_explained_and_can_be_trusted",
    ),
    "They cannot make another authority": (
        f"{PAGE}/test_certificate_authority.py::test_the_roots_key_is_destroyed_at_once",
        f"{PAGE}/test_certificate_authority.py"
        "::test_a_thief_with_the_intermediates_key_can_make_no_other_authority_and_none_for_the_internet",
    ),
    "It cannot open a conversation": (
        f"{TALK}::test_only_the_key_that_asked_opens_the_offer_and_a_stranger_gets_none",
    ),
    "If that process stops, the last known": (
        f"{UNITS}::test_a_role_is_restarted_for_ever_and_watched",
        "tests/recorder/test_panel_handler.py::test_a_bridge_that_goes_leaves_the_switch_as_it_was",
        "tests/recorder/test_panel_handler.py"
        "::test_a_bridge_that_stays_away_for_a_minute_no_longer_vouches_for_the_privacy_switch",
    ),
    "Masks on a network camera": (
        "tests/recorder/capture/test_camera_rtsp.py::test_privacy_zones_are_refused_rather_than_ignored",
    ),
    "A false time that stands for three days": (
        f"{CLOCK}::test_after_a_month_in_a_drawer_old_footage_goes_once_the_time_has_stood_for_three_days",
        "tests/core/test_clock_trust.py::test_a_jump_is_believed_after_its_time_and_not_before",
    ),
    "Footage of a false *past*": (
        f"{CLOCK}::test_what_was_recorded_under_a_false_past_outlives_the_return_of_the_right_time",
    ),
    "Approval always needs": ("tests/core/test_consent.py::test_only_the_owners_approval_opens_anything",),
    "The memory that a stream may use": (
        "tests/core/test_preroll.py::test_memory_is_the_harder_bound_and_the_span_is_then_shorter",
        "tests/recorder/test_camera_queues.py::test_a_late_writer_loses_the_oldest_gop_and_keeps_the_newer_one_whole",
    ),
    # The network
    "A doorbell that no flood reaches": (
        "tests/clients/broker/test_broker_acl.py"
        "::test_the_broker_keeps_no_more_of_one_requester_in_a_cell_than_there_are_slots",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "With a digest service a doorbell reads": (
        f"{READING}::test_no_more_than_the_budget_is_read_at_a_connection_and_every_page_comes_in_the_end",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "So does a doorbell if its line is full": (
        f"{READING}::test_a_page_waits_two_seconds_behind_each_other_message_and_twenty_at_most",
        f"{READING}::test_a_line_that_is_full_for_minutes_makes_no_doorbell_read_more_once_it_has_read_a_digest",
    ),
    "Requesters take turns, so a flood": (
        "tests/custodian/test_a_flood.py::test_a_request_sent_in_the_middle_of_a_flood_is_heard",
        "tests/custodian/test_a_flood.py"
        "::test_a_request_among_all_that_a_crowd_can_leave_behind_is_heard_by_a_doorbell_that_comes_later",
    ),
    "If a flood keeps the broker's whole queue": (f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",),
    "They receive nothing that was for it": (
        "tests/clients/broker/test_relay_acl.py"
        "::test_an_account_can_end_the_connection_of_another_client_and_hears_nothing_that_was_for_it",
    ),
    "They cannot read, change or open one": ("tests/properties/test_link_model.py",),
    "Make a new password after": ("tests/clients/broker/test_relay_acl.py::test_a_new_password_ends_the_old_one",),
    "An area that hides the home": (
        f"{AREA}::test_whatever_counts_does_so_with_all_of_a_disc_of_60_m",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "The review draws the outline": (
        "tests/web/test_the_program.py::test_the_page_draws_the_outline_to_scale_with_the_door_at_its_place",
    ),
    "The report tells nothing of footage": (
        f"{HEALTH}::test_footage_requests_and_decisions_change_neither_words_nor_length",
        f"{HEALTH}::test_a_request_that_really_came_leaves_the_report_as_it_was",
    ),
    "The table shows two with one name": (
        "tests/clients/fleet/test_inventory.py::test_two_doorbells_with_one_name_are_both_shown_and_neither_is_believed",
        "tests/clients/fleet/test_inventory.py::test_a_doorbell_that_takes_the_name_of_another_is_not_believed",
    ),
    "Backups without a trace": ("tests/cli/test_own_backups.py::test_a_backup_is_as_long_after_a_request_as_before",),
    "Only owners open a backup": (
        "tests/cli/test_change_of_owner.py::test_a_backup_opens_for_the_owner_only_and_has_no_footage",
    ),
    "A broker's certificate for a thief": (
        "tests/clients/broker/test_est_server.py::test_a_stolen_token_gives_nothing_to_a_second_doorbell",
    ),
    "Anyone who reaches `doorward broker est`": (
        "tests/clients/broker/test_est_server.py::test_clients_that_say_nothing_keep_no_other_client_out",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "Doorbells hidden from the operators": (
        "tests/clients/requester/test_cell_brokers.py::test_a_receipt_goes_where_the_upload_came_from",
    ),
    "A receipt for a doorbell that has sent nothing": (
        "tests/clients/requester/test_cell_brokers.py"
        "::test_a_receipt_for_a_doorbell_that_has_sent_nothing_yet_goes_to_all",
    ),
    "Alerts without a trace": (
        "tests/core/alerts/test_notice_delay.py"
        "::test_it_is_never_shorter_than_the_shortest_nor_longer_than_the_longest_and_the_same_when_asked_again",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "The observer's advantage (0": (
        "tests/core/alerts/test_notice_delay.py::test_what_a_watcher_gains_is_the_number_that_security_states",
    ),
    "Full anonymity of a tip": (
        "tests/uplink/test_uplink_turns.py::test_a_tip_is_published_and_answered_under_no_name",
        f"{TIPS}::test_words_alone_take_no_footage_along_and_open_for_the_requester_alone",
    ),
    "Another doorbell at the same broker": (
        "tests/clients/broker/test_broker_acl.py::test_everything_else_is_refused_and_nobody_hears_it",
        f"{TIPS}::test_words_alone_take_no_footage_along_and_open_for_the_requester_alone",
    ),
    "An open list of requests grows": (
        f"{PAGE}/test_who_may_what.py::test_what_open_pages_ask_every_few_seconds_has_one_length_whatever_waits",
    ),
    "Access for a new browser during a flood": (
        f"{PAGE}/test_listener_bounds.py::test_strangers_begin_sixty_four_handshakes_at_once_and_thirty_two_in_a_second",
    ),
    "Recording goes on": (
        f"{PAGE}/test_listener.py::test_1100_idle_connections_stop_no_recording_and_keep_no_owner_out",
    ),
    "A guesser with many addresses": (
        f"{PAGE}/test_sessions.py::test_a_guesser_with_many_addresses_keeps_nobody_from_a_code_that_is_printed",
        f"{BOUNDS}::test_the_limits_state_the_figures_of_the_code",
    ),
    "A neighbour who deletes what you shared": (
        f"{NEIGHBOURS}::test_an_answer_is_opened_by_the_neighbours_key_and_by_no_person_of_the_desk",
        f"{NEIGHBOURS}::test_a_sealed_answer_and_its_request_are_deleted_when_their_days_are_over",
    ),
    "After that, a role that asks": (
        f"{CONFIRM}::test_an_invented_colleague_neither_asks_nor_approves",
        f"{CONFIRM}::test_neither_the_maker_nor_the_invented_person_confirms",
    ),
    "The custody log tells of each": (
        "tests/desk/api/test_api.py::test_an_admin_makes_a_token_that_is_shown_once_and_revokes_it",
        f"{SIGN_IN}::test_a_recovered_person_loses_every_earlier_passkey_password_and_session",
        f"{CONFIRM}::test_the_first_two_people_come_without_a_third_and_an_auditor_sees_it",
    ),
    "A checkpoint that an auditor keeps": (
        "tests/desk/custody/test_audit.py"
        "::test_a_kept_checkpoint_shows_a_log_that_its_own_desk_rewrote_and_signed_again",
    ),
    "A list of vulnerabilities that is complete": (
        "tests/releasing/test_build.py::test_the_vex_of_a_release_says_each_judgement_again_and_is_the_same_each_time",
    ),
}
"""Sentences of limits.md that say what is given in spite of the limit, or state a figure of the code."""

WORDS: Final = (
    "A relay could drop the answer alone",
    "The size of a sealed file bounds",
    "Nothing makes a requester keep them",
    "This page explains the mechanism",
    "Numbers are those of",
    "Altered software could show its owner one ledger",
    "A network camera's own microphone",
    # How to read the later sections, limits that they repeat, and the lists of files under a section
    "Suppose one of them",
    "A *contract* is",
    "Three weak points",
    "Root is outside of all sandboxes",
    "While no doorbell runs, `doorward doctor`",
    "Tests with large items",
    "Risk: A neural network errs",
    "Shown by `",
    "Secrets: Channel addresses",
    "The custodian hands them to the uplink",
    "Metrics have no password",
    "It runs as the same user",
    "Content Credentials, only with",
    "Four doorbells that work together",
    "The desk (`desk`, decision",
    "The operator is the person",
    "A stranger's request holds little of a desk.",
    "Links from a tip to its sender",
    "The advantage is 0 for a guess",
    "*n* people send a tip",
    "Its own log of writes was not read",
    "These measurements found three faults",
    "The third: each tip was listed",
    "A server of PostgreSQL that logs each statement",
    "The write-ahead log of SQLite kept",
    "So was that by size at the broker",
    "On a disk that keeps overwritten blocks",
    "A request, notice or report of a neighbour is stored",
    "Place of readers.",
    "Place of writers.",
    "In open country such a piece of ground",
    "A flood.",
    "So a thousand clients can fill",
    "Defamation.",
    "A reader who copied it keeps",
)
"""Sentences that say a limit, or how to read the page. The limits are in limits.md, too."""

LIMIT_WORDS: Final = (
    "With the daily copy of the index",
    "If the copy is lost too",
    "Costs of a better scheme",
    "Plaintext that never reaches",
    "Short case numbers can be guessed",
    "They get a doorbell without footage",
    "It can refuse or delay talk",
    "So a flood may delay a request",
    "Deadlines that a test holds",
    "A second key of a doorbell that a reader",
)
"""Sentences of limits.md with a figure that is an estimate, or words of a protection inside a limit."""
