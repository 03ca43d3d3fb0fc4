"""Addresses of the public numbers."""

from __future__ import annotations

from django.urls import path

from desk.numbers import views

app_name = "numbers"
urlpatterns = [path("", views.numbers_page, name="numbers"), path(".csv", views.as_csv, name="csv")]
