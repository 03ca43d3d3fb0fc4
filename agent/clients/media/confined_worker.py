"""Worker process of `confined`: opens one item after the other, within its limits, until the socket closes.

`confined` starts it in an isolated interpreter and passes the number of a socket's descriptor. A job over the limits
ends the process, which `confined` takes for an answer.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.clients.media.confined import READY
from agent.core.vault.redactions import Place, Redaction
from agent.errors import DoorwardError, StorageError

__all__ = ["limit_process", "main"]

_MEMORY_BYTES: Final = 1 << 30
"""Memory limit in bytes. Decoding 4K takes a quarter of it beyond the libraries."""
_JOB_CPU_S: Final = 60
_ANSWER_BYTES: Final = 16 << 20
_CPU_BYTES_PER_S: Final = 4 << 20


def main(descriptor: int) -> None:
    limit_process()
    # Imported within the limits. If a decoder is missing here, this machine is at fault instead of the first film.
    import agent.media.playable  # noqa: F401 (`_check` uses it)

    with socket.socket(fileno=descriptor) as link:
        link.sendall(READY)
        while True:
            asked, handles, _, _ = socket.recv_fds(link, 1, 2)
            if not asked:
                return
            question, matter = handles
            job = json.loads(os.pread(question, os.fstat(question).st_size, 0))
            _allow(int(job.get("most_bytes", 0)), int(job.get("more_s", 0)))
            done = _done(job, os.pread(matter, os.fstat(matter).st_size, 0))
            made = done.pop("made", None)
            if made is not None:  # written over the job's media, because an answer in JSON is small
                os.ftruncate(matter, 0)
                done["size"] = _write(matter, made)
            answer = json.dumps(done).encode()
            os.ftruncate(question, 0)
            os.pwrite(question, answer, 0)
            for handle in handles:
                os.close(handle)
            link.sendall(b"!")


def limit_process() -> None:
    """Sets the limits for all jobs. Core dumps are off, because they would contain pictures."""
    for limit, most in (
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (most, most))


def _allow(output_bytes: int, more_s: int) -> None:
    """Sets the limits on time and output size from here on. `more_s`: time beyond that for the size."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + _JOB_CPU_S + more_s + output_bytes // _CPU_BYTES_PER_S
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_ANSWER_BYTES + output_bytes, resource.RLIM_INFINITY))


def _done(job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    try:
        return _JOBS[job["job"]](job, matter)
    except StorageError as error:
        return {"storage": error.message}
    except DoorwardError as error:
        return {"reason": error.message}
    except ImportError as error:  # a library of this machine, so the film is not at fault
        return {"library": str(error)}
    except Exception as error:  # noqa: BLE001 (whatever a decoder does with a stranger's bytes, the next job goes on)
        return {"reason": f"It does not open ({type(error).__name__})."}


def _check(job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    # Imported here, within the limits and only if there is a job.
    from agent.media import playable

    {"segment": playable.check_film, "sound": playable.check_sound, "poster": playable.check_still}[job["content"]](
        matter
    )
    return {}


def _join(job: dict[str, Any], _matter: bytes) -> dict[str, Any]:
    from agent.clients.media.join import join_mp4

    segments = [Path(path) for path in job["segments"]]
    sounds = [Path(path) if path else None for path in job["sounds"]]
    return {"seconds": join_mp4(segments, Path(job["out"]), sounds=sounds).seconds}


def _still(job: dict[str, Any], _matter: bytes) -> dict[str, Any]:
    from agent.media.poster import poster_of_media

    return {"still": base64.b64encode(poster_of_media(Path(job["film"]).read_bytes())).decode()}


def _redact(job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    from agent.clients.media.redact import cover_film, mute_sound, require_exact

    redactions, length_ms = _redactions(job), int(job["length_ms"])
    if job["content"] == "sound":
        return {"made": mute_sound(matter, redactions, length_ms)}
    made = cover_film(matter, redactions, length_ms, exact=bool(job["exact"]))
    if job["exact"]:
        require_exact(matter, made, redactions)
    return {"made": made}


def _check_redacted(job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    from agent.clients.media.redact import require_covered, require_muted

    if job["content"] == "sound":
        require_muted(matter, _redactions(job))
    else:
        require_covered(matter, _redactions(job), exact=bool(job["exact"]))
    return {}


def _compare(job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    from agent.clients.media.redact import compare_films

    found = compare_films(matter[: job["size"]], matter[job["size"] :], _redactions(job))
    return {"found": [found.pictures, found.values, found.changed, found.greatest]}


def _suggest(job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    from agent.clients.media.suggest import suggest_covers

    people, vehicles = (Path(job[what]) if job[what] else None for what in ("people", "vehicles"))
    covers = suggest_covers(_films(job, matter), plates=job["plates"], people=people, vehicles=vehicles)
    return {"covers": msgspec.to_builtins(covers)}


def _follow(job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    from agent.clients.media.follow import follow_region

    hand = msgspec.convert(job["hand"], list[Place])
    followed = follow_region(_films(job, matter), hand, int(job["from_ms"]), int(job["until_ms"]))
    return {"followed": msgspec.to_builtins(followed)}


def _films(job: dict[str, Any], matter: bytes) -> list[tuple[bytes, int]]:
    """The films of a job, and the length of each by its record, in ms."""
    films, at = [], 0
    for size, length_ms in job["films"]:
        films.append((matter[at : at + size], int(length_ms)))
        at += size
    return films


def _is_colourless(_job: dict[str, Any], matter: bytes) -> dict[str, Any]:
    from agent.clients.media.suggest import is_colourless_film

    return {"found": is_colourless_film(matter)}


def _sign_copy(job: dict[str, Any], _matter: bytes) -> dict[str, Any]:
    from agent.clients.media.credentials_writer import sign_copy

    out = Path(job["out"])
    # c2pa-rs puts a file of over 512 MB on the disk while it works. That is open footage, so it stays beside the copy.
    os.environ["TMPDIR"] = str(out.parent)
    sign_copy(Path(job["source"]), out, job["manifest"], job["parts"], (job["chain"], job["key"]))
    return {}


def _redactions(job: dict[str, Any]) -> tuple[Redaction, ...]:
    return msgspec.convert(job["redactions"], tuple[Redaction, ...])


def _write(handle: int, data: bytes) -> int:
    view, at = memoryview(data), 0
    while view:
        done = os.pwrite(handle, view, at)
        view, at = view[done:], at + done
    return at


_JOBS: Final[dict[str, Callable[[dict[str, Any], bytes], dict[str, Any]]]] = {
    "check": _check,
    "join": _join,
    "still": _still,
    "redact": _redact,
    "check_redacted": _check_redacted,
    "compare": _compare,
    "suggest": _suggest,
    "follow": _follow,
    "is_colourless": _is_colourless,
    "sign_copy": _sign_copy,
}


if __name__ == "__main__":
    main(int(sys.argv[1]))
