"""The fields of an area, and plain words: what the forms of a request and of a bulletin share."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from agent.errors import DoorwardError, FormatError
from agent.wire.area import Area
from agent.wire.fields import check_text, clean_text
from desk.asking import shapes
from desk.asking.words import error_text
from desk.reasons import in_words

__all__ = ["AreaForm"]

_FIRST_RADIUS_M: Final = 200


class AreaForm(forms.Form):
    """An area as a circle or a polygon, typed, drawn or uploaded. `area` is None if it cannot be read."""

    shape = forms.ChoiceField(
        label=_("Area"),
        choices=[("circle", _("circle")), ("polygon", _("polygon"))],
        widget=forms.RadioSelect,
        initial="circle",
    )
    centre = forms.CharField(label=_("Centre: latitude, longitude"), required=False, max_length=60)
    radius_m = forms.CharField(label=_("Radius in metres"), required=False, max_length=6, initial=str(_FIRST_RADIUS_M))
    corners = forms.CharField(
        label=_("Corners: latitude, longitude on each line"), required=False, max_length=4000, widget=forms.Textarea
    )
    upload = forms.FileField(label=_("Polygon from a GeoJSON file"), required=False)

    area: Area | None = None

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        self._read_area(values)
        return values

    def plain(self, name: str, words: str, most: int) -> str:
        """Returns the cleaned words. Adds an error if owners' doors would refuse them."""
        cleaned = clean_text(words)
        try:
            check_text(name, cleaned, most)
        except FormatError as error:
            self.add_error(
                name,
                f"{_('Owners get plain words only: no links, no special characters.')} ({in_words(error.message)})",
            )
        return cleaned

    def _read_area(self, values: dict[str, Any]) -> None:
        upload = values.get("upload")
        try:
            if isinstance(upload, UploadedFile):
                # One byte more than allowed, so that the parser sees that it is too large.
                self.area = shapes.polygon_from_file(upload.read(shapes.MAP_FILE_LIMIT_BYTES + 1))
                values["shape"], values["corners"] = "polygon", shapes.corners_of(self.area)
            elif values.get("shape") == "polygon":
                if values.get("corners", "").strip():
                    self.area = shapes.polygon_from_text(values["corners"])
                else:
                    self.add_error("corners", _("Draw the area on the map, or write its corners."))
            elif values.get("centre", "").strip():
                self.area = shapes.circle_from_text(values["centre"], values.get("radius_m", ""))
            else:
                self.add_error("centre", _("Draw the area on the map, or write its centre."))
        except DoorwardError as error:
            name = "upload" if upload else "corners" if values.get("shape") == "polygon" else "centre"
            self.add_error(name, error_text(error))
