"""Addresses of the case pages."""

from __future__ import annotations

from django.urls import path

from desk.cases import views

app_name = "cases"
_ANSWER = "<int:pk>/answers/<int:answer_pk>"
urlpatterns = [
    path("", views.cases, name="cases"),
    path("new", views.new_case, name="new"),
    path("<int:pk>", views.case, name="case"),
    path("<int:pk>/note", views.note, name="note"),
    path("<int:pk>/assign", views.assign, name="assign"),
    path("<int:pk>/close", views.close, name="close"),
    path("<int:pk>/reopen", views.reopen, name="reopen"),
    path("<int:pk>/hold", views.hold, name="hold"),
    path("<int:pk>/release", views.release, name="release"),
    path(f"{_ANSWER}/verdict", views.answer_triage, name="answer-verdict"),
    path(f"{_ANSWER}/note", views.answer_note, name="answer-note"),
    path(f"{_ANSWER}/keep", views.answer_keep, name="answer-keep"),
    path(f"{_ANSWER}/proof", views.answer_proof, name="answer-proof"),
    path(f"{_ANSWER}/time", views.answer_time, name="answer-time"),
    path(f"{_ANSWER}/delete", views.answer_delete, name="answer-delete"),
    path(f"{_ANSWER}/stills", views.open_stills, name="open-stills"),
    path(f"{_ANSWER}/clips/<int:index>", views.open_clip, name="open-clip"),
    path("films/<str:token>", views.film, name="film"),
]
