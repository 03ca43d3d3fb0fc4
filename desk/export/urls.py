"""Addresses of exports and guest links."""

from __future__ import annotations

from django.urls import path

from desk.export import views

app_name = "export"
urlpatterns = [
    path("cases/<int:pk>/export", views.export_page, name="case"),
    path("cases/<int:pk>/report.pdf", views.report_pdf, name="report"),
    path("cases/<int:pk>/share", views.share_page, name="share"),
    path("guest-links/<int:pk>/revoke", views.revoke, name="revoke"),
    path("guest", views.guest_page, name="guest"),
    path("guest/download", views.guest_download, name="guest-download"),
    path("guest/play/<str:disclosure>/<int:number>", views.guest_play, name="guest-play"),
    path("guest/films/<str:token>", views.guest_film, name="guest-film"),
    path("guest/<str:token>", views.guest_door, name="guest-door"),
]
