"""Forms of exports and guest links."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from agent.clients.requester.content_credentials import has_c2pa
from agent.wire.fields import clean_text
from desk.cases.case_page import time_words
from desk.cases.door_letters import door_letters
from desk.cases.models import Case, Clip
from desk.export.certificates import JURISDICTIONS
from desk.export.models import GuestLink
from desk.people.models import LANGUAGES

__all__ = ["ExportForm", "ShareForm", "clip_choices"]

_DAYS: Final = ((1, _("1 day")), (7, _("7 days")), (30, _("30 days")), (90, _("90 days")))


def clip_choices(case: Case) -> list[tuple[str, str]]:
    """Returns the clips of complete answers, in the order of their times."""
    clips = Clip.objects.filter(answer__case=case, answer__state="complete").select_related("answer")
    doors = door_letters(case)
    return [
        (f"{clip.answer.disclosure_id}:{clip.index}", _clip_words(clip, doors))
        for clip in clips.order_by("from_ms", "pk")
    ]


def _clip_words(clip: Clip, doors: dict[str, str]) -> str:
    start, end = time_words(clip.from_ms), time_words(clip.to_ms, date=False)
    place = {"door": doors[clip.answer.door], "start": start, "end": end}
    return str(_("Door %(door)s, %(start)s to %(end)s")) % place


class ExportForm(forms.Form):
    """Choices of an export of a case."""

    language = forms.ChoiceField(label=_("Language of the report"), choices=LANGUAGES)
    jurisdictions = forms.MultipleChoiceField(
        label=_("Certificates to fill in"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        choices=[(each.id, each.label) for each in JURISDICTIONS],
        help_text=_("Templates. A person must read, correct and sign them. They are no legal advice."),
    )
    with_keys = forms.BooleanField(
        label=_("Include the keys"),
        required=False,
        help_text=_(
            "With them a third party can open the sealed files of these requests, without this desk. "
            "It takes age 1.3 or newer, because the keys are post-quantum. The films in the export need no key."
        ),
    )
    with_credentials = forms.BooleanField(
        label=_("Add copies with Content Credentials (C2PA)"),
        required=False,
        help_text=_(
            "For newsrooms and platforms. Each film, sound and still also comes as a copy that your organisation's key "
            "signs, with its history. A published copy names the doorbell and the request. The evidence stays as it is."
        ),
    )

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if not has_c2pa():
            del self.fields["with_credentials"]


class ShareForm(forms.Form):
    """A guest link to chosen clips."""

    recipient = forms.CharField(label=_("For whom"), max_length=100, help_text=_("Name and office"))
    party = forms.ChoiceField(label=_("Party"), choices=GuestLink.PARTIES)
    days = forms.TypedChoiceField(label=_("The link works for"), coerce=int, choices=_DAYS, initial=7)
    clips = forms.MultipleChoiceField(label=_("Clips"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, case: Case, **more: Any) -> None:
        super().__init__(*args, **more)
        clips = self.fields["clips"]
        assert isinstance(clips, forms.MultipleChoiceField)  # noqa: S101 (declared above)
        clips.choices = clip_choices(case)

    def clean_recipient(self) -> str:
        recipient = clean_text(self.cleaned_data["recipient"])
        if not recipient:
            raise forms.ValidationError(_("Give a name."))
        return recipient

    def clean_clips(self) -> list[tuple[str, int]]:
        """Returns disclosure and number of each clip. The choices are the case's own, so no other clip passes."""
        chosen = (each.partition(":") for each in self.cleaned_data["clips"])
        return [(disclosure, int(number)) for disclosure, _colon, number in chosen]
