"""The form of a request. Each part is read on its own, so that the live check judges what is there already."""

from __future__ import annotations

import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from agent.errors import FormatError, RequestError
from agent.wire.area import Circle
from agent.wire.fields import check_text, clean_text
from agent.wire.messages import MAX_CASE_CHARACTERS, MAX_DESCRIPTION_CHARACTERS, Contact
from desk.asking import places, shapes
from desk.asking.area_form import AreaForm
from desk.asking.drafts import case_of
from desk.asking.incidents import INCIDENTS, ONWARD, Preset, incident_name
from desk.asking.live_check import Question
from desk.asking.models import Draft, Template
from desk.asking.windows import DoubleHour, LocalWindow, WindowError, local_window, utc_window
from desk.asking.words import error_text
from desk.people.models import LANGUAGES, Organisation, Person

__all__ = ["PreferencesForm", "RequestForm", "TemplateForm", "first_values"]

_DAY_S: Final = 86_400
_STEP_MINUTES: Final = 5
INCIDENT_CHOICES: Final = [("", _("Choose …")), *((each.value, words.name) for each, words in INCIDENTS.items())]


class RequestForm(AreaForm):
    """A request: its incident, case, place, time, words and promises."""

    incident = forms.ChoiceField(label=_("What happened?"), choices=INCIDENT_CHOICES)
    case = forms.CharField(label=_("Case number"), max_length=MAX_CASE_CHARACTERS)
    day = forms.DateField(
        label=_("Day"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        validators=[MinValueValidator(datetime.date(2000, 1, 1)), MaxValueValidator(datetime.date(9998, 1, 1))],
    )
    since = forms.TimeField(label=_("From"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
    until = forms.TimeField(label=_("Until"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
    double_hour = forms.ChoiceField(
        label=_("If the clocks are set back that night"),
        choices=[("", _("not said")), ("first", _("before the change")), ("second", _("after the change"))],
        required=False,
    )
    description = forms.CharField(
        label=_("Words to the owners"), max_length=MAX_DESCRIPTION_CHARACTERS, widget=forms.Textarea
    )
    contact_name = forms.CharField(label=_("Contact"), max_length=100)
    contact_phone = forms.CharField(label=_("Telephone"), max_length=40, required=False)
    contact_email = forms.EmailField(label=_("E-mail address"), required=False)
    days = forms.IntegerField(label=_("Days to answer"), min_value=1, max_value=30, initial=7)
    retention_days = forms.IntegerField(label=_("Days to keep the footage"), min_value=1, max_value=36_525)
    onward = forms.MultipleChoiceField(
        label=_("Law or policy may make you pass footage on to"),
        choices=list(ONWARD.items()),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    onward_basis = forms.CharField(label=_("Name of that law or policy"), max_length=120, required=False)
    language = forms.ChoiceField(label=_("Language of your words"), choices=LANGUAGES)

    def __init__(self, *args: Any, organisation: Organisation, zone: ZoneInfo, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organisation = organisation
        self.zone = zone
        self.window: tuple[int, int] | None = None

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        self._read_window(values)
        for name, most in (("description", MAX_DESCRIPTION_CHARACTERS), ("case", MAX_CASE_CHARACTERS)):
            if values.get(name):
                values[name] = self.plain(name, values[name], most)
        if values.get("onward_basis"):
            values["onward_basis"] = self.plain("onward_basis", values["onward_basis"], 120)
        self._check_contact(values)
        return values

    def clean_onward(self) -> list[str]:
        return sorted(self.cleaned_data["onward"])

    @property
    def question(self) -> Question:
        """Returns what can be judged already."""
        values = getattr(self, "cleaned_data", {})
        days = values.get("days")
        from_s, to_s = self.window or (None, None)
        now_s = int(datetime.datetime.now(datetime.UTC).timestamp())
        not_after_s = now_s + days * _DAY_S if days else None
        return Question(self.area, from_s, to_s, not_after_s, values.get("case", ""), values.get("retention_days"))

    def write_to(self, draft: Draft, person: Person) -> Draft:
        """Puts the words into a draft, for the caller to store. Makes the case if its number is new."""
        values = self.cleaned_data
        draft.case = case_of(self.organisation, values["case"], person, incident_name(values["incident"]))
        draft.organisation, draft.author = self.organisation, person
        draft.area = shapes.area_to_json(self.area) if self.area else None
        draft.from_s, draft.to_s = self.window or (None, None)
        for name in (
            *("incident", "description", "contact_name", "contact_phone", "contact_email"),
            *("days", "retention_days", "onward", "onward_basis", "language"),
        ):
            setattr(draft, name, values[name])
        return draft

    # Parts

    def _read_window(self, values: dict[str, Any]) -> None:
        if not all(values.get(name) is not None for name in ("day", "since", "until")):
            return
        written = LocalWindow(
            values["day"], values["since"], values["until"], DoubleHour(values.get("double_hour") or "")
        )
        try:
            self.window = utc_window(written, self.zone)
        except WindowError as error:
            self.add_error("since" if error.at.time().replace(fold=0) == written.since else "until", error_text(error))

    def _check_contact(self, values: dict[str, Any]) -> None:
        name = clean_text(values.get("contact_name") or "")
        values["contact_name"] = name
        if not name:
            return
        try:
            Contact(name=name, email=values.get("contact_email") or None, phone=values.get("contact_phone") or None)
        except FormatError as error:
            self.add_error("contact_phone", error_text(error))


def first_values(organisation: Organisation, person: Person, preset: Preset | None, zone: ZoneInfo) -> dict[str, Any]:
    """Returns what a new form holds, so that a first-time user only adds what the desk cannot know."""
    now = datetime.datetime.now(zone)
    until = now.replace(minute=now.minute // _STEP_MINUTES * _STEP_MINUTES, second=0, microsecond=0)
    since = until - datetime.timedelta(minutes=preset.minutes if preset else 60)
    before = Draft.objects.filter(organisation=organisation, author=person).order_by("-pk").first()
    return {
        "incident": preset.incident if preset else "",
        "day": since.date(),
        "since": since.time(),
        "until": until.time(),
        "description": preset.description if preset else "",
        "contact_name": before.contact_name if before else (person.get_full_name() or organisation.name),
        "contact_phone": before.contact_phone if before else "",
        "contact_email": before.contact_email if before else person.email,
        "days": preset.days if preset else 7,
        "retention_days": preset.retention_days if preset else organisation.retention_days,
        "onward": list(preset.onward) if preset else [],
        "onward_basis": preset.onward_basis if preset else "",
        "language": preset.language if preset else organisation.language,
    }


def values_of(draft: Draft, zone: ZoneInfo) -> dict[str, Any]:
    """Returns what the form of a stored draft holds."""
    values: dict[str, Any] = {
        name: getattr(draft, name)
        for name in (
            *("incident", "description", "contact_name", "contact_phone", "contact_email"),
            *("days", "retention_days", "onward", "onward_basis", "language"),
        )
    }
    values["case"] = draft.case.number
    if draft.area:
        area = shapes.area_from_json(draft.area)
        if isinstance(area, Circle):
            values |= {"shape": "circle", "centre": f"{area.lat}, {area.lon}", "radius_m": area.radius_m}
        else:
            values |= {"shape": "polygon", "corners": shapes.corners_of(area)}
    if draft.from_s is not None and draft.to_s is not None:
        window = local_window(draft.from_s, draft.to_s, zone)
        values |= {"day": window.day, "since": window.since, "until": window.until}
        values["double_hour"] = window.double_hour.value
    return values


class TemplateForm(forms.ModelForm[Template]):
    """An organisation's own words for one kind of incident."""

    incident = forms.ChoiceField(label=_("What happened?"), choices=INCIDENT_CHOICES)
    onward = forms.MultipleChoiceField(
        label=_("Law or policy may make you pass footage on to"),
        choices=list(ONWARD.items()),
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    days = forms.IntegerField(label=_("Days to answer"), min_value=1, max_value=30, initial=7)
    retention_days = forms.IntegerField(
        label=_("Days to keep the footage"), min_value=1, max_value=36_525, required=False
    )
    minutes = forms.IntegerField(label=_("Minutes around the incident"), min_value=15, max_value=720, initial=60)

    class Meta:
        model = Template
        fields = (
            *("name", "incident", "description", "minutes", "days"),
            *("retention_days", "onward", "onward_basis", "language"),
        )

    def clean_onward(self) -> list[str]:
        return sorted(self.cleaned_data["onward"])

    def clean_description(self) -> str:
        cleaned = clean_text(self.cleaned_data["description"])
        if cleaned:
            try:
                check_text("description", cleaned, MAX_DESCRIPTION_CHARACTERS)
            except FormatError as error:
                raise ValidationError(error_text(error)) from error
        return cleaned


class PreferencesForm(forms.Form):
    """Time zone and places of an organisation."""

    time_zone = forms.ChoiceField(
        label=_("Time zone"), choices=[(each, each) for each in sorted(available_timezones())]
    )
    places = forms.FileField(
        label=_("File of places"),
        required=False,
        help_text=_("CSV with the columns name, latitude and longitude, or GeoJSON with named points."),
    )

    def clean_places(self) -> list[Any] | None:
        upload = self.cleaned_data["places"]
        if not isinstance(upload, UploadedFile):
            return None
        try:
            # One byte more than allowed, so that the parser sees that it is too large.
            return places.to_json(places.parse_places(upload.read(places.PLACES_LIMIT_BYTES + 1)))
        except RequestError as error:
            raise ValidationError(error_text(error)) from error
