"""Django's settings, made from `desk.toml` (`desk.config`). Importing this module changes nothing on the disk."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import django_stubs_ext
from django.utils.translation import gettext_lazy as _

from agent.platform import files
from desk import config

django_stubs_ext.monkeypatch()

_HERE: Final = Path(__file__).parent
_FILE: Final = config.locate()
DESK: Final = config.load(_FILE) if _FILE else config.DeskConfig()
"""The configuration. `doorward-desk serve` refuses to run without a file; checks and migrations need none."""
DATA: Final = DESK.data
ORGANISATIONS: Final = DATA / "organisations"
_SECRET: Final = DATA / "secret.key"

# A process without a data folder (a check of types, `makemigrations`) gets a key that ends with it.
SECRET_KEY = _SECRET.read_text().strip() if files.is_file(_SECRET) else secrets.token_hex(32)
DEBUG = False
ALLOWED_HOSTS = list(DESK.web.names)
ROOT_URLCONF = "desk.urls"
ASGI_APPLICATION = "desk.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "people.Person"

APPS: Final = (
    "people",
    "asking",
    "cases",
    "receiving",
    "tips",
    "custody",
    "export",
    "trust",
    "api",
    "numbers",
    "neighbourhood",
    "reminders",
)
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    *(f"desk.{app}" for app in APPS),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "desk.people.middleware.SecurityHeaders",
    "desk.people.middleware.WholeTexts",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "desk.people.middleware.SessionLimits",
    "desk.people.middleware.PersonLanguage",
    "allauth.account.middleware.AccountMiddleware",
    "desk.people.middleware.ExplainedErrors",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [_HERE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "desk.people.navigation.navigation",
            ],
            "libraries": {"reasons": "desk.reasons.templatetags.reasons"},
        },
    }
]


def _database() -> dict[str, Any]:
    chosen = DESK.database
    if chosen.kind == "sqlite":
        # WAL lets readers go on beside one writer; FULL makes a commit survive a power cut.
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        # IMMEDIATE takes the lock for writing at the beginning. A transaction that reads first and then writes would
        # fail at once, without the timeout, if another one has written meanwhile.
        options = {"init_command": pragmas, "transaction_mode": "IMMEDIATE", "timeout": 20}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA / "desk.sqlite3", "OPTIONS": options}
    from desk.storage.postgres_servers import LIMITS, tls_parameters  # PostgreSQL's client stays unloaded beside SQLite

    return {
        "ENGINE": "desk.storage.postgres_backend",
        "HOST": chosen.host,
        "PORT": chosen.port,
        "NAME": chosen.name,
        "USER": chosen.user,
        "PASSWORD": config.read_secret(chosen.password_file),
        "OPTIONS": LIMITS | tls_parameters(chosen.authority),
    }


DATABASES = {"default": _database()}
CACHES: Final = {
    # Counts attempts to sign in. Several processes must count together, so they count in their database.
    "default": {
        **(
            {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
            if DESK.database.kind == "sqlite"
            else {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "desk_cache"}
        ),
        # Django keeps 300 entries by default: attempts from as many addresses would push out the count at one account.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# Django writes errors nowhere unless it is told: the operator finds them on standard error. A line names the page and
# the fault, never what a form held.
LOGGING: Final = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        # A page that is not there, or not for this person, is no fault of the desk.
        "django.request": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
    },
}

# --- Sign-in

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "people:start"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "desk.people.adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "desk.people.adapters.SocialAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = "username"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
# A link on a foreign page could otherwise end the session.
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https"
ACCOUNT_RATE_LIMITS = {
    # Attempts: from one address, and at one account from anywhere. Each further one is refused unread.
    "login_failed": "10/m/ip,5/300s/key",
    "login": "30/m/ip",
    "reauthenticate": "5/m/user",
    "change_password": "5/m/user",
}
FAILED_SIGN_IN_S = 0.25
"""A failed sign-in is answered after this many seconds, longer than its entries in the custody logs take."""
ALLAUTH_TRUSTED_PROXY_COUNT = 0  # uvicorn has put the proxy's word in REMOTE_ADDR
MFA_ADAPTER = "desk.people.adapters.PasskeyAdapter"
MFA_SUPPORTED_TYPES = ["webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # an admin vouches for the address of an invitation
MFA_FORMS = {"add_webauthn": "desk.people.forms.AddPasskeyForm"}
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        # An intercepted code of the provider is worth nothing without the secret in this session.
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": provider.id,
                "name": provider.name,
                "client_id": provider.client_id,
                "secret": config.read_secret(provider.client_secret_file),
                "settings": {"server_url": provider.issuer, "email_domains": list(provider.email_domains)},
            }
            for provider in DESK.oidc
        ],
    }
}
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
# A person of the desk signs in by a provider if the provider vouches for their address (`email_verified`).
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True

# --- Cookies and headers

# `__Host-`: browsers take the cookie over HTTPS only, and from no neighbouring host of the same domain.
SESSION_COOKIE_NAME = "__Host-desk"
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"  # Strict would drop the session on the way back from an identity provider
SESSION_COOKIE_AGE = int(timedelta(hours=DESK.sign_in.session_hours).total_seconds())
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_COOKIE_NAME = "__Host-csrf"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if DESK.web.tls == "proxy":
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Languages, times, files

LANGUAGE_CODE = DESK.language
LANGUAGES = [("en", _("English")), ("nl", _("Dutch"))]
LANGUAGE_COOKIE_NAME = "__Host-language"
LANGUAGE_COOKIE_SECURE = True
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
USE_I18N = True
USE_TZ = True
TIME_ZONE = DESK.zone
STATIC_URL = "/static/"
STATICFILES_DIRS = [_HERE / "static"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
