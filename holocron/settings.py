"""Django's settings, and the only reader of the environment.

Each variable is declared in ``holocron.environment`` and explained in ``.env.example``. A value that cannot be used
stops the start with one line and exit code 2, whatever program was starting.
"""

import hmac
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.utils.functional import SimpleLazyObject

from holocron.alert_settings import read_alert_settings
from holocron.database_url import read_database_url, read_password, with_short_timeouts
from holocron.environment import SettingsError, read_environment
from holocron.ollama_access import read_api_key, read_ollama_access
from holocron.secret_key import MIN_CHARACTERS, read_or_make_secret_key

if TYPE_CHECKING:
    from derive.model_servers.endpoints import EndpointSettings
    from derive.model_servers.settings import ModelSettings

BASE_DIR = Path(__file__).resolve().parent.parent

try:
    _values: dict[str, Any] = read_environment(os.environ)
    HOLOCRON_VAR = BASE_DIR / _values["HOLOCRON_VAR"]
    _password_file = BASE_DIR / _values["DATABASE_PASSWORD_FILE"] if _values["DATABASE_PASSWORD_FILE"] else None
    _database = read_database_url(
        _values["DATABASE_URL"],
        var_folder=HOLOCRON_VAR,
        password=read_password(_values["DATABASE_PASSWORD"], file=_password_file),
    )
    # "lease" is the connection of the workers' heartbeats, which must not wait for anything else.
    DATABASES: dict[str, Any] = {"default": _database, "lease": with_short_timeouts(_database)}
    # Django keeps its connections itself. The pool of SQL Server's driver would reuse broken connections, and in a
    # forked process the sockets of its parent.
    DATABASE_CONNECTION_POOLING = False
    _key_file = BASE_DIR / _values["OLLAMA_API_KEY_FILE"] if _values["OLLAMA_API_KEY_FILE"] else None
    _ollama_url, _ollama_authorization = read_ollama_access(
        _values["OLLAMA_BASE_URL"], api_key=read_api_key(_values["OLLAMA_API_KEY"], file=_key_file)
    )
    ALERTS = read_alert_settings(_values, folder=BASE_DIR)
    SECRET_KEY: str = _values["SECRET_KEY"] or read_or_make_secret_key(HOLOCRON_VAR)
    if len(SECRET_KEY) < MIN_CHARACTERS:
        raise SettingsError(f"SECRET_KEY is too short: write {MIN_CHARACTERS} characters or more, or leave it empty")
except SettingsError as _error:
    # A traceback would hide the line that says what to do.
    print(f"holocron: {_error}", file=sys.stderr)
    raise SystemExit(2) from None

# Passed to the other layers, which never read the environment.
# Keys the delimiters around evidence in prompts, so that no author of evidence can know them.
DELIMITER_KEY: bytes = hmac.digest(SECRET_KEY.encode(), b"holocron.evidence.delimiter", "sha256")
LAKE_URL: str = _values["LAKE_URL"] or str(HOLOCRON_VAR / "lake")
if "://" not in LAKE_URL:
    LAKE_URL = str(BASE_DIR / LAKE_URL)
INTERROGATIONS_FOLDER: Path | None = (
    BASE_DIR / _values["HOLOCRON_INTERROGATIONS"] if _values["HOLOCRON_INTERROGATIONS"] else None
)
# Uploads that are not yet queued; private to the web server.
UPLOADS_FOLDER: Path = HOLOCRON_VAR / "uploads"
# The newest plan and application of each derivation that were asked for in the admin.
PLANS_FOLDER: Path = HOLOCRON_VAR / "plans"
REDACTION_FILE: Path | None = BASE_DIR / _values["HOLOCRON_REDACTIONS"] if _values["HOLOCRON_REDACTIONS"] else None


def READ_DATABASE_URL(url: str) -> dict[str, Any]:  # noqa: N802 - a setting, which sources are handed
    """Return the entry of DATABASES for the URL of a source's database; raise ValueError without its secrets."""
    try:
        return read_database_url(url, var_folder=HOLOCRON_VAR)
    except SettingsError as error:
        raise ValueError(str(error).replace("DATABASE_URL", "the URL")) from None


SOURCES_FILE: Path | None = BASE_DIR / _values["HOLOCRON_SOURCES"] if _values["HOLOCRON_SOURCES"] else None


def _ollama_settings() -> "ModelSettings":
    from derive.model_servers.settings import ModelSettings

    return ModelSettings(
        base_url=_ollama_url,
        authorization=_ollama_authorization,
        ca_file=str(BASE_DIR / _values["OLLAMA_CA_FILE"]) if _values["OLLAMA_CA_FILE"] else None,
        model=_values["OLLAMA_MODEL"],
        num_ctx=_values["OLLAMA_NUM_CTX"],
        num_predict=_values["OLLAMA_NUM_PREDICT"],
        temperature=_values["OLLAMA_TEMPERATURE"],
        seed=_values["OLLAMA_SEED"],
        keep_alive=_values["OLLAMA_KEEP_ALIVE"],
        connect_seconds=_values["OLLAMA_CONNECT_SECONDS"],
        first_byte_seconds=_values["OLLAMA_FIRST_BYTE_SECONDS"],
        idle_seconds=_values["OLLAMA_IDLE_SECONDS"],
        timeout_seconds=_values["OLLAMA_TIMEOUT_SECONDS"],
    )


# Created on first use: its validation imports Pydantic, which most commands do not need to start.
OLLAMA: Any = SimpleLazyObject(_ollama_settings)
ENDPOINTS_FILE: Path | None = BASE_DIR / _values["HOLOCRON_ENDPOINTS"] if _values["HOLOCRON_ENDPOINTS"] else None


def _endpoints() -> "tuple[EndpointSettings, ...]":
    from derive.model_servers.endpoints import read_endpoints

    return () if ENDPOINTS_FILE is None else read_endpoints(ENDPOINTS_FILE, environment=os.environ, defaults=OLLAMA)


# The model servers of the endpoints file, if any. Reading this setting raises ConfigurationError for an invalid file.
ENDPOINTS: Any = SimpleLazyObject(_endpoints)
# Passwords for the logins and the first superuser that `set_up_database` creates; empty: not created.
HOLOCRON_WORKER_PASSWORD: str = _values["HOLOCRON_WORKER_PASSWORD"]
HOLOCRON_WEB_PASSWORD: str = _values["HOLOCRON_WEB_PASSWORD"]
HOLOCRON_ADMIN_PASSWORD: str = _values["HOLOCRON_ADMIN_PASSWORD"]
WORKER_ID: str = _values["WORKER_ID"]
WORKER_CONCURRENCY: int = _values["WORKER_CONCURRENCY"]
WORKER_GRACE_SECONDS: float = _values["WORKER_GRACE_SECONDS"]
MODEL_AFFINITY: bool = _values["MODEL_AFFINITY"]
MODEL_QUANTUM_SECONDS: float | None = _values["MODEL_QUANTUM_SECONDS"]

TRACES_EXPORTER: str = _values["OTEL_TRACES_EXPORTER"] or ("otlp" if _values["OTEL_EXPORTER_OTLP_ENDPOINT"] else "none")

DEBUG: bool = _values["DEBUG"]
ALLOWED_HOSTS: list[str] = list(_values["ALLOWED_HOSTS"])
CSRF_TRUSTED_ORIGINS: list[str] = list(_values["CSRF_TRUSTED_ORIGINS"])
ROOT_URLCONF = "holocron.urls"
WSGI_APPLICATION = "holocron.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en-us"
# One language, and the same format of dates and numbers for people and programs.
USE_I18N = False
FORMAT_MODULE_PATH = "holocron.formats"

INSTALLED_APPS = [
    # Must precede django.contrib.admin, whose templates it replaces.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "holocron.apps.HolocronAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "axes",
    "django_q",
    "derive",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "holocron.static_files.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "derive.admin.site.addresses.StripNullMiddleware",
    "derive.admin.site.timezones.ViewerTimeZoneMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Must be last: it answers a log-in that was locked out.
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["derive.admin.display.template_tags"],
            "libraries": {"texts": "derive.admin.display.template_tags"},
        },
    }
]

AUTHENTICATION_BACKENDS = [
    # Must be first: it refuses before the password is checked.
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
# Log-ins are throttled by database rows, which all web processes share, per combination of name and address, so that
# a stranger who guesses passwords does not lock out the owner.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "derive.admin.site.refusals.locked_out"
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_DISABLE_ACCESS_LOG = True
AXES_ALLOWED_CORS_ORIGINS = None

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Without collectstatic (make demo) files are served from the apps; with it (the image) by hashed names.
_COLLECTED = (STATIC_ROOT / "staticfiles.json").exists()
WHITENOISE_USE_FINDERS = not _COLLECTED
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if _COLLECTED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# Browsers do not send secure cookies to http://127.0.0.1, the demo's address; behind TLS, an origin is configured.
_BEHIND_TLS = any(origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS)
SESSION_COOKIE_SECURE = _BEHIND_TLS
CSRF_COOKIE_SECURE = _BEHIND_TLS
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600  # seconds: a working day, as operators' sessions act on jobs
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # unfold bundles Alpine.js, which evaluates its attributes. None of our pages has an inline script; one that
        # needs it must use the request's nonce.
        "script-src": [SELF, NONCE, UNSAFE_EVAL],
        # unfold writes inline styles and does not support nonces.
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
CSRF_FAILURE_VIEW = "derive.admin.site.denied.csrf_failed"

Q_CLUSTER = {
    "name": "holocron",
    # Use the database as the broker; ours runs only the system tasks.
    "orm": "default",
    "broker_class": "derive.schedules.broker.SystemTaskBroker",
    "workers": 2,
    # Seconds; a task is restarted after `retry`, which must exceed the time-out that ends it.
    "timeout": 600,
    "retry": 660,
    "max_attempts": 1,
    "ack_failures": True,
    # A schedule that was missed several times while nothing ran is run once.
    "catch_up": False,
    # Seconds between polls of the queue: often enough for tasks that run every minute.
    "poll": 2,
    # Seconds between the guard's cycles: it checks for due schedules every 30 s, and with this also on start.
    "guard_cycle": 30,
    # Our own tables record successes; django-q2 would read all of its rows for each task.
    "save_limit": -1,
    "label": "Schedules",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"()": "holocron.log_lines.TextLine"},
        "json": {"()": "holocron.log_lines.JsonLine"},
    },
    "handlers": {
        "standard_error": {"class": "logging.StreamHandler", "formatter": _values["LOG_FORMAT"]},
    },
    "root": {"handlers": ["standard_error"], "level": "INFO"},
    "loggers": {
        # Removed, because they would print a second line for each line of the root handler.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        # A line per request to Ollama says less than the worker's own events.
        "httpx": {"level": "WARNING"},
        # Would log a line per successful log-in; lockouts are warnings.
        "axes": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # Would log four lines a minute even with nothing to do; the tasks log their own results.
        "django-q": {"level": "WARNING"},
    },
}

UNFOLD = {
    "SITE_TITLE": "Holocron",
    "SITE_HEADER": "Holocron",
    "SITE_SYMBOL": "deployed_code",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "holocron.admin_site.icon"}],
    "STYLES": ["holocron.admin_site.stylesheet"],
    "SCRIPTS": ["holocron.admin_site.script", "holocron.admin_site.palette_script"],
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "derive.admin.site.navigation.sidebar",
    },
}
