"""Address of the page about receiving."""

from __future__ import annotations

from django.urls import path

from desk.receiving import views

app_name = "receiving"
urlpatterns = [path("", views.receiver, name="receiver")]
