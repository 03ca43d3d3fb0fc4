"""Addresses of the trust root's page."""

from __future__ import annotations

from django.urls import path

from desk.trust import views

app_name = "trust"
urlpatterns = [
    path("trust", views.bundles_page, name="bundles"),
    path("trust/key", views.make_key, name="key"),
    path("trust/propose", views.propose, name="propose"),
    path("trust/<int:pk>/sign", views.sign, name="sign"),
    path("trust/<int:pk>/withdraw", views.withdraw, name="withdraw"),
    path("trust/<int:pk>/bundle", views.download, name="download"),
    path("trust/<int:pk>/brokers", views.download_brokers, name="brokers"),
]
