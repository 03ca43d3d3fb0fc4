"""Addresses of the tokens' page, and of the interface for programs."""

from __future__ import annotations

from django.urls import path

from desk.api import views

app_name = "integrations"
urlpatterns = [
    path("integrations", views.tokens_page, name="tokens"),
    path("integrations/<int:pk>/revoke", views.revoke, name="revoke"),
]
