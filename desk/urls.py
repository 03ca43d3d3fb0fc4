"""Addresses of the desk. Each app has its own list; sign-in is allauth's."""

from __future__ import annotations

from django.urls import include, path

from desk.api.routes import api

urlpatterns = [
    path("", include("desk.people.urls")),
    path("cases/", include("desk.cases.urls")),
    path("receiving/", include("desk.receiving.urls")),
    path("requests/", include("desk.asking.urls")),
    path("tips/", include("desk.tips.urls")),
    path("numbers", include("desk.numbers.urls")),
    path("", include("desk.neighbourhood.urls")),
    path("accounts/", include("desk.people.sign_in_urls")),
    path("", include("desk.custody.urls")),
    path("", include("desk.export.urls")),
    path("", include("desk.trust.urls")),
    path("", include("desk.api.urls")),
    path("api/v1/", api.urls),
]
handler500 = "desk.people.error_views.server_error"
