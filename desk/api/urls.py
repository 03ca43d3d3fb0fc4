"""Addresses of the page of tokens and web hooks, and of the interface for programs."""

from __future__ import annotations

from django.urls import path

from desk.api import views

app_name = "integrations"
urlpatterns = [
    path("integrations", views.tokens_page, name="tokens"),
    path("integrations/<int:pk>/revoke", views.revoke, name="revoke"),
    path("integrations/hooks", views.new_hook, name="new-hook"),
    path("integrations/hooks/<int:pk>/remove", views.remove_hook, name="remove-hook"),
    path("integrations/hooks/<int:pk>/resume", views.resume_hook, name="resume-hook"),
]
