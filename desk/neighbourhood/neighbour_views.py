"""Pages for neighbours without an account: notices, the two forms, and the page of one's own submission.

The page of one's own submission has its secret behind the "#" of its address, which browsers do not send. Its program
asks for the submission with a token from that secret, and opens answers with the key from it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from agent.clients.requester.area_sketch import sketch
from agent.errors import DoorwardError, RequestError
from agent.wire.messages import MAX_DESCRIPTION_CHARACTERS, MAX_TITLE_CHARACTERS
from desk.asking.incidents import INCIDENTS as INCIDENT_WORDS
from desk.asking.words import error_text
from desk.cases.models import Answer
from desk.neighbourhood import cap, feed, moderation, notices, proof, submissions
from desk.neighbourhood import proof_of_work as work
from desk.neighbourhood.models import Submission
from desk.neighbourhood.published import PublishedBulletin
from desk.neighbourhood.views import for_all
from desk.people.models import LANGUAGES, Organisation
from desk.people.organisations import requester_of
from desk.streaming import attachment, stream_pieces

__all__ = [
    "appeal",
    "ask_page",
    "mine_page",
    "mine_part",
    "mine_state",
    "notice_cap",
    "notice_page",
    "notice_proof",
    "notices_feed",
    "notices_page",
    "report",
    "send",
    "token",
    "withdraw",
    "write_page",
]

_TOO_MANY: Final = 429


# Pages


@require_safe
def notices_page(request: HttpRequest, taker: str) -> HttpResponse:
    """The notices in force, and what a neighbour can do here."""
    organisation = _taker(taker)
    return _page(request, "neighbours", organisation, notices=notices.current(organisation, timezone.now()))


@require_safe
def notice_page(request: HttpRequest, taker: str, notice: str) -> HttpResponse:
    """One notice, how to check it, and how to report it."""
    found = _notice(taker, notice)
    area = found.message.area
    context = {"notice": found, "outline": sketch(area) if area else None, "command": proof.COMMAND}
    return _page(request, "notice", found.organisation, **context)


@require_safe
def ask_page(request: HttpRequest, taker: str) -> HttpResponse:
    """The form with which a neighbour asks doors for footage."""
    incidents = [(each.value, INCIDENT_WORDS[each].name) for each in submissions.INCIDENTS]
    return _page(request, "ask", _taker(taker), incidents=incidents, **_form())


@require_safe
def write_page(request: HttpRequest, taker: str) -> HttpResponse:
    """The form with which a neighbour writes a notice."""
    return _page(request, "write", _taker(taker), **_form())


@require_safe
def mine_page(request: HttpRequest, taker: str) -> HttpResponse:
    """One's own submission. The server does not learn whose it is before the program asks."""
    return _page(request, "mine", _taker(taker))


def _form() -> dict[str, Any]:
    return {
        "radii": submissions.RADII_M,
        "languages": LANGUAGES,
        "most": MAX_DESCRIPTION_CHARACTERS,
        "most_title": MAX_TITLE_CHARACTERS,
    }


def _page(request: HttpRequest, name: str, organisation: Organisation, **context: Any) -> HttpResponse:
    response = render(request, f"neighbourhood/{name}.html", {"taker": organisation, **context})
    response["Referrer-Policy"] = "no-referrer"
    return response


# Feeds and files of notices


@require_safe
def notices_feed(_request: HttpRequest, taker: str) -> HttpResponse:
    """The notices in force as an Atom feed."""
    organisation, address = _taker(taker), settings.DESK.address
    made = feed.atom(
        notices.current(organisation, timezone.now()),
        title=organisation.name,
        address=address + reverse("neighbourhood:neighbours", args=(taker,)),
        feed=address + reverse("neighbourhood:notices-feed", args=(taker,)),
        page_of=lambda notice: address + reverse("neighbourhood:notice", args=(taker, notice)),
    )
    return for_all(HttpResponse(made, content_type="application/atom+xml; charset=utf-8"))


@require_safe
def notice_cap(_request: HttpRequest, taker: str, notice: str) -> HttpResponse:
    """One notice for warning systems."""
    address = settings.DESK.address + reverse("neighbourhood:notice", args=(taker, notice))
    made = cap.alert(_notice(taker, notice), host=settings.DESK.web.names[0], address=address)
    return for_all(HttpResponse(made, content_type="application/cap+xml"))


@require_safe
def notice_proof(_request: HttpRequest, taker: str, notice: str) -> HttpResponse:
    """One notice with its signature, to check offline."""
    made = proof.zipped(_notice(taker, notice))
    return for_all(attachment(made, name=f"notice-{notice[:8]}.zip", content_type="application/zip"))


# Addresses that the programs of the pages call


@require_safe
def token(_request: HttpRequest, taker: str) -> JsonResponse:
    """The token for the proof of work: the same for every neighbour of these minutes."""
    organisation, now_s = _taker(taker), int(time.time())
    bits = work.bits_at(submissions.waiting(organisation))
    return JsonResponse({"bits": bits, "token": work.make_token(_secret(), _purpose(taker), now_s, bits)})


@csrf_exempt  # no cookie gives a right here
@require_POST
def send(request: HttpRequest, taker: str) -> HttpResponse:
    """Takes a request or a notice with its proof of work."""
    organisation, refused = _worked(request, taker)
    if refused is not None:
        return refused
    try:
        submissions.take(organisation, request.body, int(time.time()))
    except RequestError as error:
        full = submissions.waiting(organisation) >= submissions.MOST_WAITING
        return _refused(error_text(error), _TOO_MANY if full else 400)
    return HttpResponse(status=202)


@csrf_exempt
@require_POST
def report(request: HttpRequest, taker: str, notice: str) -> HttpResponse:
    """Takes a reader's words about a notice, with a proof of work."""
    organisation, refused = _worked(request, taker)
    if refused is not None:
        return refused
    found = Submission.objects.filter(
        organisation=organisation, kind="notice", message_id=notice, state="published"
    ).first()
    if found is None:
        raise Http404
    try:
        submissions.report(found, request.body, int(time.time()))
    except RequestError as error:
        return _refused(error_text(error), 400)
    return HttpResponse(status=202)


@csrf_exempt
@require_POST
def mine_state(request: HttpRequest, taker: str) -> JsonResponse:
    """The state of a submission, for the browser that has its token."""
    row = _mine(request, taker)
    said: dict[str, Any] = {
        "kind": row.kind,
        "state": row.state,
        "words": str(dict(Submission.STATES)[row.state]),
        "remark": row.remark,
        "appeal": row.appeal_state,
        "hidden": row.hidden,
        "answers": [],
    }
    if row.kind == "request" and row.message_id:
        requester = requester_of(row.organisation)
        said["request"] = requester.sent_request(row.message_id).envelope.decode("ascii")
        said["key"] = requester.key.text
        said["answers"] = [_answer(each) for each in _answers(row)]
    return JsonResponse(said)


@csrf_exempt
@require_POST
def mine_part(request: HttpRequest, taker: str, disclosure: str, number: int) -> HttpResponseBase:
    """One sealed part of an answer, for the browser that has the token. It is opened there."""
    row = _mine(request, taker)
    answer = _answers(row).filter(disclosure_id=disclosure).first()
    if answer is None:
        raise Http404
    stored = requester_of(row.organisation).answer(disclosure)
    if number not in stored.sealed():
        raise Http404

    def pieces() -> Generator[bytes, None, None]:
        yield from stored.pieces_of(number)

    return stream_pieces(request, pieces(), content_type="application/octet-stream")


@csrf_exempt
@require_POST
def appeal(request: HttpRequest, taker: str) -> HttpResponse:
    """Takes a neighbour's words against a rejection or removal."""
    row = _mine(request, taker)
    try:
        submissions.appeal(row, request.body.decode("utf-8", "replace"))
    except RequestError as error:
        return _refused(error_text(error), 400)
    return HttpResponse(status=202)


@csrf_exempt
@require_POST
def withdraw(request: HttpRequest, taker: str) -> HttpResponse:
    """Takes a submission back."""
    row = _mine(request, taker)
    try:
        moderation.withdraw(row)
    except RequestError as error:
        return _refused(error_text(error), 400)
    except DoorwardError:  # for example the signing key is locked. Its words are for the operator
        return _refused("Try again later.", 503)
    return HttpResponse(status=202)


def _answers(row: Submission) -> Any:
    if not row.message_id:
        return Answer.objects.none()
    return Answer.objects.filter(case__organisation=row.organisation, request_id=row.message_id, state="complete")


def _answer(answer: Answer) -> dict[str, Any]:
    stored = requester_of(answer.case.organisation).answer(answer.disclosure_id)
    return {"id": answer.disclosure_id, "device": answer.device, "parts": len(stored.sealed())}


def _mine(request: HttpRequest, taker: str) -> Submission:
    # In a header, because an address stays in logs and in the history of a browser.
    found = submissions.find(_taker(taker), request.headers.get("Neighbour-Token", ""))
    if found is None:
        raise Http404
    return found


def _notice(taker: str, notice: str) -> PublishedBulletin:
    found = notices.find(_taker(taker), timezone.now(), notice)
    if found is None:
        raise Http404
    return found


def _worked(request: HttpRequest, taker: str) -> tuple[Organisation, HttpResponse | None]:
    """Returns the neighbourhood, and a refusal if the proof of work for the body is missing."""
    organisation = _taker(taker)
    # By the stated length, before a byte of the body is read.
    if int(request.headers.get("Content-Length") or 0) > submissions.MOST_BYTES:
        return organisation, _refused("This is no request or notice of this page.", 400)
    sent, nonce = request.headers.get("Work-Token", ""), request.headers.get("Work-Nonce", "")
    now_s, waiting = int(time.time()), submissions.waiting(organisation)
    refused = work.refusal(_secret(), _purpose(taker), sent, nonce, request.body, now_s=now_s, waiting=waiting)
    return organisation, None if refused is None else _refused(work.REFUSED, refused)


def _taker(requester_id: str) -> Organisation:
    """Returns the neighbourhood if this desk has one of that name, and a root vouches for it."""
    found = Organisation.objects.filter(requester_id=requester_id, kind="neighbour").exclude(trust_root="").first()
    if found is None or not settings.DESK.public.neighbours:
        raise Http404
    return found


def _purpose(taker: str) -> str:
    return f"{taker} neighbours"


def _secret() -> bytes:
    return salted_hmac("desk.neighbourhood.submissions", "", algorithm="sha256").digest()


def _refused(words: str, status: int) -> HttpResponse:
    return HttpResponse(words, status=status, content_type="text/plain; charset=utf-8")
