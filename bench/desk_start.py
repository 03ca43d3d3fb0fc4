"""Start of a desk's receiver with n answers: its comparison before it connects, beside the names of the folder alone.

`python -m bench desk_start [ANSWERS …]` (default 1000 10000 100000). The answers have rows, a folder and a place in
the index, and no files: a start reads none. `first start` follows all changes of the index, as after it was made again.
`later start` follows none. Milliseconds of CPU.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clients.requester.answer_index import AnswerState, ReceivedAnswer, _store
from agent.platform import files
from bench.desk_pages import _fill

if TYPE_CHECKING:
    from agent.clients.requester.folder_index import IndexConnection
    from agent.clients.requester.identity import Requester
    from desk.people.models import Organisation


def main() -> None:
    sizes = [int(each) for each in sys.argv[1:]] or [1000, 10_000, 100_000]
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
    from desk.people.organisations import requester_of
    from desk.receiving.answer_rows import AnswerRecorder
    from desk.receiving.models import Receiver
    from desk.receiving.reconcile import reconcile
    from tests.desk.agencies import make_agency

    organisation = make_agency("rijnstad-police", "Rijnstad Police").organisation
    requester = requester_of(organisation)
    print("| answers | names of the folder alone | first start | later start |\n|---|---|---|---|")
    filled = 0
    for size in sizes:
        _fill(organisation, filled // 2, size // 2)
        _list(organisation, requester)
        filled = size
        Receiver.objects.all().delete()

        def start() -> None:
            again = requester_of(organisation)
            reconcile(organisation, again, AnswerRecorder(organisation, again))

        names = _cpu_ms(lambda: files.names_in(requester.folder / "disclosures"))
        print(f"| {size} | {names:.0f} ms | {_cpu_ms(start):.0f} ms | {_cpu_ms(start):.0f} ms |", flush=True)


def _list(organisation: Organisation, requester: Requester) -> None:
    """Gives each row a folder and a place in the index, all in one transaction."""
    from desk.cases.models import Answer

    rows = list(Answer.objects.filter(case__organisation=organisation).values_list("disclosure_id", "request_id"))
    folder = requester.folder / "disclosures"
    folder.mkdir(exist_ok=True)
    new = [row for row in rows if not (folder / row[0]).exists()]

    def add(to: IndexConnection) -> None:
        for disclosure, request in new:
            _store(to, ReceivedAnswer(disclosure, "5e" * 8, request, AnswerState.COMPLETE, size_bytes=1, parts=1))

    requester.index.write(add)
    for disclosure, _request in new:
        (folder / disclosure).mkdir()


def _cpu_ms(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1000


if __name__ == "__main__":
    main()
