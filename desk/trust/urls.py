"""Addresses of the trust root's page."""

from __future__ import annotations

from django.urls import path

from desk.trust import root_views, views

app_name = "trust"
urlpatterns = [
    path("trust", views.bundles_page, name="bundles"),
    path("trust/key", views.make_key, name="key"),
    path("trust/propose", views.propose, name="propose"),
    path("trust/<int:pk>/sign", views.sign, name="sign"),
    path("trust/<int:pk>/withdraw", views.withdraw, name="withdraw"),
    path("trust/<int:pk>/bundle", views.download, name="download"),
    path("trust/<int:pk>/brokers", views.download_brokers, name="brokers"),
    path("trust/<int:pk>/payload", root_views.bundle_payload, name="bundle-payload"),
    path("trust/keys/add", root_views.add_key, name="add-key"),
    path("trust/keys/<int:pk>/retire", root_views.retire_key, name="retire-key"),
    path("trust/keys/propose", root_views.propose_root, name="propose-root"),
    path("trust/keys/proposals/<int:pk>/sign", root_views.sign_root, name="sign-root"),
    path("trust/keys/proposals/<int:pk>/withdraw", root_views.withdraw_root, name="withdraw-root"),
    path("trust/keys/proposals/<int:pk>/payload", root_views.root_payload, name="root-payload"),
    path("trust/package", root_views.package, name="package"),
    path("trust/request.csr", root_views.certificate_request, name="certificate-request"),
    path("trust/certificate", root_views.certificate, name="certificate"),
    path("trust/broker-password", root_views.broker_password, name="broker-password"),
]
