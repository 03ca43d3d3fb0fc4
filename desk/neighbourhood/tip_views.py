"""The page on which anyone writes a tip, and the two addresses that its program asks.

The program seals the words in the browser. The desk gets bytes of one size, no name, no cookie and no referrer.
"""

from __future__ import annotations

import re
import time
from typing import Final

import structlog
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from agent.errors import RequestError, StorageError
from agent.wire.disclosures import MAX_TIP_CHARACTERS, TIP_PADDED_BYTES
from desk.asking.words import error_text
from desk.neighbourhood import proof_of_work as work
from desk.neighbourhood import tip_relay
from desk.people.models import Organisation
from desk.people.organisations import requester_of

__all__ = ["send_tip", "tip_page", "tip_token"]

_TIP_ID: Final = re.compile(r"[0-9a-f]{32}")
_log: Final = structlog.get_logger(__name__)


@require_safe
def tip_page(request: HttpRequest, taker: str) -> HttpResponse:
    """The form. Its program seals and sends what was written."""
    organisation = _taker(taker)
    identity = requester_of(organisation).tips_identity()
    if identity is None:
        raise Http404
    context = {
        "taker": organisation,
        "recipient": str(identity.recipient()),
        "most": MAX_TIP_CHARACTERS,
        "padded": TIP_PADDED_BYTES,
    }
    response = render(request, "neighbourhood/tip.html", context)
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_safe
def tip_token(_request: HttpRequest, taker: str) -> JsonResponse:
    """The token for the proof of work: the same for every sender of these minutes."""
    organisation, now_s = _taker(taker), int(time.time())
    bits = work.bits_at(tip_relay.waiting(organisation, now_s))
    return JsonResponse({"bits": bits, "token": work.make_token(_secret(), taker, now_s, bits)})


@csrf_exempt  # no cookie gives a right here, so another site's form can do nothing that its visitor could not do alone
@require_POST
def send_tip(request: HttpRequest, taker: str, tip: str) -> HttpResponse:
    """Takes a sealed tip with its proof of work."""
    organisation, now_s = _taker(taker), int(time.time())
    # By the stated length, before a byte of the body is read.
    if not _TIP_ID.fullmatch(tip) or int(request.headers.get("Content-Length") or 0) > tip_relay.SEALED_BYTES:
        return _refused("This is not a sealed tip of this page.", 400)
    token, nonce, sealed = request.headers.get("Tip-Token", ""), request.headers.get("Tip-Nonce", ""), request.body
    waiting = tip_relay.waiting(organisation, now_s)
    # With the id: the same sealed bytes under another id are another tip, and would otherwise cost nothing.
    worked = tip.encode("ascii") + sealed
    refused = work.refusal(_secret(), taker, token, nonce, worked, now_s=now_s, waiting=waiting)
    if refused is not None:
        return _refused(work.REFUSED, refused)
    try:
        tip_relay.take(organisation, tip, sealed, now_s)
    except RequestError as error:
        return _refused(error_text(error), 429 if tip_relay.is_full(organisation, now_s) else 400)
    except StorageError as error:
        _log.error("tip_not_stored", error=str(error))
        return _refused("The tip cannot be stored now.", 503)
    return HttpResponse(status=202)


def _taker(requester_id: str) -> Organisation:
    """Returns the organisation if this desk takes tips and a root vouches for the organisation."""
    found = Organisation.objects.filter(requester_id=requester_id).exclude(trust_root="").first()
    if found is None or not settings.DESK.public.tips:
        raise Http404
    return found


def _secret() -> bytes:
    return salted_hmac("desk.neighbourhood.proof_of_work", "", algorithm="sha256").digest()


def _refused(words: str, status: int) -> HttpResponse:
    return HttpResponse(words, status=status, content_type="text/plain; charset=utf-8")
