"""Addresses of requests."""

from __future__ import annotations

from django.urls import path

from desk.asking import views
from desk.asking.tile_file import tile_file

app_name = "asking"
urlpatterns = [
    path("", views.requests_page, name="requests"),
    path("state", views.requests_state, name="list-state"),
    path("new", views.new_request, name="new"),
    path("check", views.check_request, name="check"),
    path("places", views.find_places, name="places"),
    path("tiles.pmtiles", tile_file, name="tiles"),
    path("preferences", views.preferences, name="preferences"),
    path("<int:pk>", views.request_page, name="request"),
    path("<int:pk>/state", views.request_state, name="state"),
    path("<int:pk>/edit", views.edit_request, name="edit"),
    path("<int:pk>/submit", views.submit_request, name="submit"),
    path("<int:pk>/approve", views.approve_request, name="approve"),
    path("<int:pk>/return", views.return_request, name="return"),
    path("<int:pk>/withdraw", views.withdraw_request, name="withdraw"),
]
