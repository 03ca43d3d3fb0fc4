"""Addresses of the public bulletins, of tips from any browser, and of neighbours and their moderators."""

from __future__ import annotations

from django.urls import path

from desk.neighbourhood import moderation_views, neighbour_views, tip_views, views

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
    path("neighbours/<str:taker>", neighbour_views.notices_page, name="neighbours"),
    path("neighbours/<str:taker>/ask", neighbour_views.ask_page, name="ask"),
    path("neighbours/<str:taker>/write", neighbour_views.write_page, name="write"),
    path("neighbours/<str:taker>/mine", neighbour_views.mine_page, name="mine"),
    path("neighbours/<str:taker>/mine/state", neighbour_views.mine_state, name="mine-state"),
    path("neighbours/<str:taker>/mine/appeal", neighbour_views.appeal, name="appeal"),
    path("neighbours/<str:taker>/mine/withdraw", neighbour_views.withdraw, name="withdraw"),
    path("neighbours/<str:taker>/mine/<str:disclosure>/<int:number>", neighbour_views.mine_part, name="mine-part"),
    path("neighbours/<str:taker>/token", neighbour_views.token, name="neighbour-token"),
    path("neighbours/<str:taker>/send", neighbour_views.send, name="send"),
    path("neighbours/<str:taker>/notices.atom", neighbour_views.notices_feed, name="notices-feed"),
    path("neighbours/<str:taker>/notices/<str:notice>.cap", neighbour_views.notice_cap, name="notice-cap"),
    path("neighbours/<str:taker>/notices/<str:notice>.zip", neighbour_views.notice_proof, name="notice-proof"),
    path("neighbours/<str:taker>/notices/<str:notice>", neighbour_views.notice_page, name="notice"),
    path("neighbours/<str:taker>/notices/<str:notice>/report", neighbour_views.report, name="report"),
    path("moderation", moderation_views.moderation_page, name="moderation"),
    path("moderation/<int:pk>", moderation_views.submission_page, name="submission"),
    path("moderation/<int:pk>/accept", moderation_views.accept, name="accept"),
    path("moderation/<int:pk>/reject", moderation_views.reject, name="reject"),
    path("moderation/<int:pk>/remove", moderation_views.remove, name="remove"),
    path("moderation/<int:pk>/dismiss", moderation_views.dismiss, name="dismiss"),
    path("moderation/<int:pk>/decide", moderation_views.decide, name="decide"),
]
