"""A short share of the desk's tests on a real PostgreSQL and a real S3 store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lengths import LONG
from tests.postgres import postgres_programs
from tests.seaweed import seaweed_program

ROOT = Path(__file__).resolve().parents[3]
LIFE = (
    "receiving/test_receiver_thread.py::test_a_desk_that_is_killed_while_an_answer_arrives_has_it_once_in_the_end[1]",
    "cases/test_viewing.py::test_a_film_comes_whole_or_in_pieces_and_is_never_stored",
    "cases/test_deletion.py::test_footage_is_deleted_on_its_day_and_the_deletion_is_signed_for_publication",
    "export/test_views.py::test_an_export_is_in_the_log_before_it_leaves_and_its_folder_is_wiped",
    "test_hostile_words.py::test_a_nul_in_an_address_or_a_cookie_is_refused_on_each_page",
    "people/test_confirmations.py::test_a_second_person_who_spoke_to_the_colleague_confirms",
    "storage/locks_at_work.py",
    "storage/workers_at_work.py",
    "storage/backups_at_work.py",
)
"""An answer arrives while the desk is killed, and is played, deleted and exported. Two workers share answers.

The stores have their own tests on a real PostgreSQL and S3 store in `make test` (this folder). `make test-grown` runs
all of the desk's tests on them, except those of a browser.
"""


@pytest.mark.broker
@pytest.mark.timeout(1800)  # with the rounds of `make prove-crash`, beside other work
@LONG
def test_an_answer_lives_on_a_desk_with_postgresql_and_s3(tmp_path: Path) -> None:
    postgres_programs()
    seaweed_program()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'grown'}"]
    done = subprocess.run(
        [*command, *(f"tests/desk/{each}" for each in LIFE)],
        env=os.environ | {"DOORWARD_TEST_DESK": "grown"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "14 passed" in done.stdout
