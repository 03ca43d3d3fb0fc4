"""Addresses of the start page, people and the organisation."""

from __future__ import annotations

from django.urls import path

from desk.people import confirmation_views, organisation_views, signing_key_views, views

app_name = "people"
urlpatterns = [
    path("", views.start, name="start"),
    path("link/<str:token>", views.one_time_link, name="one-time-link"),
    path("no-organisation", views.no_organisation, name="no-organisation"),
    path("organisation/new", organisation_views.new_organisation, name="new-organisation"),
    path("organisation", organisation_views.organisation_page, name="organisation"),
    path("organisation/trust-root", organisation_views.trust_root, name="trust-root"),
    path("organisation/request.csr", organisation_views.certificate_request, name="certificate-request"),
    path("organisation/tips.recipient", organisation_views.tips_recipient, name="tips-recipient"),
    path("signing-key", signing_key_views.signing_key, name="signing-key"),
    path("signing-key/seal", signing_key_views.seal_key, name="seal-key"),
    path("organisation/times", organisation_views.time_trust, name="time-trust"),
    path("organisation/certificate", organisation_views.certificate, name="certificate"),
    path("organisation/broker-password", organisation_views.broker_password, name="broker-password"),
    path("people", views.people_page, name="people"),
    path("people/<int:pk>", views.member_page, name="member"),
    path("people/<int:pk>/remove", views.remove_member, name="remove-member"),
    path("people/<int:pk>/recover", views.recover_member, name="recover-member"),
    path("people/confirmations", confirmation_views.confirmations_page, name="confirmations"),
    path("people/confirmations/<int:pk>/confirm", confirmation_views.confirm, name="confirm"),
    path("people/confirmations/<int:pk>/refuse", confirmation_views.refuse, name="refuse"),
    path("invitations/<int:pk>/withdraw", views.withdraw_invitation, name="withdraw-invitation"),
    path("account", views.account, name="account"),
    path("account/sign-out-everywhere", views.sign_out_everywhere, name="sign-out-everywhere"),
    path("organisation/<int:pk>/choose", views.choose, name="choose"),
]
