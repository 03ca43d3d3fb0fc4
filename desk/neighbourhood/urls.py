"""Addresses of the public bulletins."""

from __future__ import annotations

from django.urls import path

from desk.neighbourhood import views

app_name = "neighbourhood"
urlpatterns = [
    path("", views.bulletins_page, name="bulletins"),
    path(".atom", views.bulletins_feed, name="feed"),
    path("/<str:bulletin_id>.cap", views.bulletin_cap, name="cap"),
    path("/<str:bulletin_id>.zip", views.bulletin_proof, name="proof"),
    path("/<str:bulletin_id>", views.bulletin_page, name="bulletin"),
]
