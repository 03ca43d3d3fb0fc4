"""Time of the desk's pages with many cases: the list, a filter, a search, a far page and one case, beside its queries.

`python -m bench desk_pages [CASES …]` (default 100 1000 10000). Each case has two answers with a clip, on SQLite in a
temporary folder. The pages are asked through Django with sessions, permissions and templates, offline. The
column `first page` measures in the same run what SQLite takes for the 50 rows alone. Each cell has the median wall and
CPU milliseconds: on a busy machine only the CPU time says something. The goal is 200 ms for the list.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from desk.people.models import Organisation

REPEATS: Final = 7


def main() -> None:
    sizes = [int(each) for each in sys.argv[1:]] or [100, 1000, 10_000]
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "desk.toml"
        configuration.write_text('data = "data"\n')
        os.environ["DOORWARD_DESK_CONFIG"] = str(configuration)
        from desk.cli import migrate, prepare_data, start_django

        prepare_data(Path(folder) / "data")
        start_django()
        migrate()
        _measure(sizes)


def _measure(sizes: list[int]) -> None:
    from desk.people.roles import Role
    from tests.desk.agencies import make_agency

    agency = make_agency("rijnstad-police", "Rijnstad Police")
    client = agency.client(Role.VIEWER)
    print("| cases | list | with new answers | search | far page | one case | first page, SQLite alone |")
    print("|---|---|---|---|---|---|---|")
    filled = 0
    for size in sizes:
        _fill(agency.organisation, filled, size)
        filled = size

        def page(path: str) -> str:
            return _median_ms(lambda: _require(client.get(path).status_code))

        middle, newest = _keys(agency.organisation)
        row = [
            page("/cases/"),
            page("/cases/?footage=new"),
            page("/cases/?q=2027-00001"),
            page(f"/cases/?after={middle}"),
            page(f"/cases/{newest}"),
            _median_ms(lambda: _bare_rows(agency.organisation)),
        ]
        print(f"| {size} | " + " | ".join(row) + " |", flush=True)


def _fill(organisation: Organisation, first: int, last: int) -> None:
    """Adds cases with two answers and two clips each. Most answers have a verdict."""
    from django.utils import timezone

    from desk.cases.models import Answer, Case, Clip, SignedRequest

    now = timezone.now()
    cases = Case.objects.bulk_create(
        Case(organisation=organisation, number=f"2027-{number:06}", title="Bicycle taken", category="theft")
        for number in range(first, last)
    )
    SignedRequest.objects.bulk_create(
        SignedRequest(
            case=case, request_id=f"{case.pk:032x}", from_ms=0, to_ms=3_600_000, not_after=now, retention_days=90
        )
        for case in cases
    )
    answers = Answer.objects.bulk_create(
        Answer(
            case=case,
            request_id=f"{case.pk:032x}",
            disclosure_id=f"{2 * case.pk + each:032x}",
            device=f"{each:016x}",
            state="complete",
            verdict="relevant" if case.pk % 50 else "",
            due_at=now,
            from_ms=0,
            to_ms=4000,
        )
        for case in cases
        for each in range(2)
    )
    Clip.objects.bulk_create(
        Clip(answer=answer, index=1, from_ms=0, to_ms=4000, clock_quality="synced", segments=[[0, 4000]])
        for answer in answers
    )


def _keys(organisation: Organisation) -> tuple[int, int]:
    """Returns the keys of the case in the middle of the list and of the newest."""
    from desk.cases.models import Case

    keys = list(Case.objects.filter(organisation=organisation).order_by("pk").values_list("pk", flat=True))
    return keys[len(keys) // 2], keys[-1]


def _bare_rows(organisation: Organisation) -> None:
    from desk.cases.models import Case

    list(Case.objects.filter(organisation=organisation).order_by("-pk").values_list()[:50])


def _median_ms(act: Callable[[], object]) -> str:
    act()
    wall, cpu = [], []
    for _ in range(REPEATS):
        began_wall, began_cpu = time.perf_counter(), time.process_time()
        act()
        wall.append((time.perf_counter() - began_wall) * 1000)
        cpu.append((time.process_time() - began_cpu) * 1000)
    return f"{statistics.median(wall):.1f} / {statistics.median(cpu):.1f} ms"


def _require(status: int) -> None:
    if status != 200:
        raise SystemExit(f"A page answered {status}.")


if __name__ == "__main__":
    main()
