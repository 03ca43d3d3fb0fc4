"""Addresses of the start page, people and the organisation."""

from __future__ import annotations

from django.urls import path

from desk.people import views

app_name = "people"
urlpatterns = [
    path("", views.start, name="start"),
    path("link/<str:token>", views.one_time_link, name="one-time-link"),
    path("no-organisation", views.no_organisation, name="no-organisation"),
    path("organisation/new", views.new_organisation, name="new-organisation"),
    path("organisation", views.organisation_page, name="organisation"),
    path("people", views.people_page, name="people"),
]
