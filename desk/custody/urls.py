"""Addresses of the auditor's pages."""

from __future__ import annotations

from django.urls import path

from desk.custody import views

app_name = "custody"
urlpatterns = [
    path("custody", views.log_page, name="log"),
    path("custody/entries/<int:number>", views.entry_page, name="entry"),
    path("custody/entries/<int:number>/extract", views.entry_extract, name="extract"),
    path("custody/log", views.download, name="download"),
    path("custody/checkpoint", views.checkpoint, name="checkpoint"),
    path("custody/compare", views.compare, name="compare"),
]
