"""Addresses of tips and bulletins."""

from __future__ import annotations

from django.urls import path

from desk.tips import views

app_name = "tips"
urlpatterns = [
    path("", views.tips_page, name="inbox"),
    path("<int:pk>", views.tip_page, name="tip"),
    path("<int:pk>/files/<int:number>", views.tip_file, name="file"),
    path("<int:pk>/assign", views.assign_tip, name="assign"),
    path("<int:pk>/deletion", views.tip_deletion, name="deletion"),
    path("<int:pk>/hold", views.tip_hold, name="hold"),
    path("<int:pk>/release", views.tip_release, name="release"),
    path("<int:pk>/delete", views.tip_delete, name="delete"),
    path("bulletins", views.bulletins_page, name="bulletins"),
    path("bulletins/new", views.new_bulletin, name="new-bulletin"),
    path("bulletins/<int:pk>", views.bulletin_page, name="bulletin"),
    path("bulletins/<int:pk>/publish", views.publish_bulletin, name="publish"),
]
