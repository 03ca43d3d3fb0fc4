"""Addresses of the public bulletins, and of tips from any browser."""

from __future__ import annotations

from django.urls import path

from desk.neighbourhood import tip_views, views

app_name = "neighbourhood"
urlpatterns = [
    path("bulletins", views.bulletins_page, name="bulletins"),
    path("bulletins.atom", views.bulletins_feed, name="feed"),
    path("bulletins/<str:bulletin_id>.cap", views.bulletin_cap, name="cap"),
    path("bulletins/<str:bulletin_id>.zip", views.bulletin_proof, name="proof"),
    path("bulletins/<str:bulletin_id>", views.bulletin_page, name="bulletin"),
    path("tip-to/<str:taker>", tip_views.tip_page, name="tip"),
    path("tip-to/<str:taker>/token", tip_views.tip_token, name="tip-token"),
    path("tip-to/<str:taker>/<str:tip>", tip_views.send_tip, name="send-tip"),
]
