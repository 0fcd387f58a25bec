"""Every setting, in one plain file, read from the environment. Nothing set at all gives the trial on one machine."""

import os
import secrets
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from chatbot import env
from workspace.keys import keys_from_file

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = env.folder("BATON_HOME", BASE_DIR / "var")  # the trial's database, keys, index and uploads

PRODUCTION = env.flag("BATON_PRODUCTION")
DEBUG = env.flag("BATON_DEBUG")

if PRODUCTION:
    _missing = [name for name in ("BATON_SECRET_KEY", "BATON_HOSTS", "DATABASE_URL", "REDIS_URL") if not env.text(name)]
    if _missing or DEBUG:
        raise ImproperlyConfigured(
            f"BATON_PRODUCTION=on needs {', '.join(_missing)}."
            if _missing
            else "BATON_DEBUG must be off in production."
        )


def _secret_from_file(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(60))
    return path.read_text()


# --- secrets ---------------------------------------------------------------------------------------------------------
SECRET_KEY = env.text("BATON_SECRET_KEY") or _secret_from_file(HOME / "secret_key")
BATON_KEYS = env.text("BATON_KEYS") or ("" if PRODUCTION else keys_from_file(HOME / "keys"))  # see workspace.checks

# --- the web ---------------------------------------------------------------------------------------------------------
ALLOWED_HOSTS = env.words("BATON_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
PUBLIC_URL = env.text("BATON_PUBLIC_URL")  # how the world reaches this server, for webhooks; https://chat.example.com
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if PRODUCTION]
ROOT_URLCONF = "chatbot.urls"
ASGI_APPLICATION = "chatbot.asgi.application"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
VISITOR_FILE_MAX_BYTES = env.integer("BATON_VISITOR_FILE_MAX_BYTES", 10 * 1024 * 1024)
UPLOAD_MAX_BYTES = env.integer("BATON_UPLOAD_MAX_BYTES", 20 * 1024 * 1024)

INSTALLED_APPS = [
    "chatbot.apps.ChatbotConfig",
    "conversations.apps.ConversationsConfig",
    "knowledge.apps.KnowledgeConfig",
    "workspace.apps.WorkspaceConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "django_htmx",
    "ninja",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-src": [SELF],
        "frame-ancestors": [NONE],
    },
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.flag("BATON_SSL_REDIRECT", True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)$"]
    SECURE_HSTS_SECONDS = env.integer("BATON_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- static files ----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_USE_FINDERS = not PRODUCTION
if not PRODUCTION:
    STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "chatbot.web.static_files.HashedModules"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
MEDIA_ROOT = HOME / "uploads"  # what visitors send, sealed; never served as files

# --- database --------------------------------------------------------------------------------------------------------
_database = dj_database_url.parse(
    env.text("DATABASE_URL") or f"sqlite:///{HOME / 'baton.sqlite3'}",
    conn_max_age=0,
    conn_health_checks=False,
)
if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
else:
    _database["ENGINE"] = "workspace.postgresql"
    _database["OPTIONS"] = {
        "pool": {
            "min_size": 1,
            "max_size": max(10, env.integer("BATON_DB_POOL", 16)),  # six are kept by the threads of `chatbot.crossing`
            "timeout": 4,  # a restart is waited for; after that a page says 503
            "reconnect_timeout": 1,  # the pauses between its tries would double; given up, the next who asks is a new try
        }
    }
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: channel layer, cache, job queue; in process when there is none ---------------------------------------------
REDIS_URL = env.text("REDIS_URL")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "baton"},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
CELERY_BROKER_URL = REDIS_URL or None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {"sweep": {"task": "chatbot.tasks.sweep", "schedule": 1.0, "options": {"expires": 2}}}

# --- people ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "workspace.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "desk"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- languages -------------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.text("BATON_TIME_ZONE", "UTC")

# --- the model -------------------------------------------------------------------------------------------------------
DEEPSEEK_API_KEY = env.text("DEEPSEEK_API_KEY")
DEEPSEEK_BASE_URL = env.text("DEEPSEEK_BASE_URL", "https://api.deepseek.com")
DEEPSEEK_MODEL = env.text("DEEPSEEK_MODEL", "deepseek-flash")
DEEPSEEK_CURRENCY = env.text("DEEPSEEK_CURRENCY", "USD")  # what the account is billed in: USD or CNY
DEEPSEEK_MAX_TOKENS = env.integer("DEEPSEEK_MAX_TOKENS", 1024)
DEEPSEEK_TEMPERATURE = env.number("DEEPSEEK_TEMPERATURE", 0.5)
DEEPSEEK_FIRST_TOKEN_S = env.number("DEEPSEEK_FIRST_TOKEN_TIMEOUT", 25)
DEEPSEEK_IDLE_S = env.number("DEEPSEEK_IDLE_TIMEOUT", 20)
DEEPSEEK_TOTAL_S = env.number("DEEPSEEK_TOTAL_TIMEOUT", 120)
DEEPSEEK_MAX_STREAMS = env.integer("DEEPSEEK_MAX_CONCURRENCY", 200)

NEW_VISITORS_A_MINUTE = env.integer("BATON_NEW_VISITORS_A_MINUTE", 30)  # from one address; see chatbot.web.newcomers
MAX_ANSWERS = env.integer("BATON_MAX_ANSWERS", 200)  # that one process writes at a time; see chatbot.admission

# --- knowledge -------------------------------------------------------------------------------------------------------
QDRANT_URL = env.text("QDRANT_URL")
QDRANT_API_KEY = env.text("QDRANT_API_KEY")
INDEX_DIR = HOME / "index"
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # ours is the only progress line; read at the first import
ENCODER = env.text("BATON_ENCODER", "all-MiniLM-L6-v2")  # the one that ships, or any sentence-transformers name or path
RERANKER = env.text("BATON_RERANKER")  # a sentence-transformers cross-encoder, by name or path; see knowledge.reranking
RERANKER_TIMEOUT_S = env.number("BATON_RERANKER_TIMEOUT", 1.0)
# what the FAQ holds is answered in its words, no model asked
FAQ_WITHOUT_MODEL = env.flag("BATON_FAQ_WITHOUT_MODEL", True)
REWRITE = env.flag(
    "BATON_REWRITE", True
)  # leaning and foreign questions are put in other words by the model; see chatbot.rewriting
REWRITE_TIMEOUT_S = env.number("BATON_REWRITE_TIMEOUT", 1.5)
EMBEDDINGS_URL = env.text("BATON_EMBEDDINGS_URL")  # an OpenAI-style endpoint in place of it: https://host/v1
EMBEDDINGS_MODEL = env.text("BATON_EMBEDDINGS_MODEL")
EMBEDDINGS_API_KEY = env.text("BATON_EMBEDDINGS_API_KEY")
EMBEDDINGS_LANGUAGES = env.words("BATON_EMBEDDINGS_LANGUAGES")  # that it understands, of en and zh; empty: both

# --- what may be fetched inside the owner's own network ("host:port") --------------------------------------------------
BATON_FETCH_ALLOW = frozenset(env.words("BATON_FETCH_ALLOW"))

# --- jobs ------------------------------------------------------------------------------------------------------------
# of processor time for one file, and twice as long on the clock
PARSER_SECONDS = env.integer("BATON_PARSER_SECONDS", 60)
PARSER_MEMORY_BYTES = env.integer("BATON_PARSER_MEMORY_MB", 1024) * 1024 * 1024
WORKER_THREADS = env.integer("BATON_WORKER_THREADS", 0 if REDIS_URL else 2)
JOBS_AT_ONCE = env.integer("BATON_JOBS_AT_ONCE", 4)  # in each process of a Celery worker

# --- logs: never a visitor's text, a token or a key --------------------------------------------------------------------
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "chatbot.log_lines.Line"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("BATON_LOG_LEVEL", "WARNING")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "sentence_transformers": {"level": "WARNING"},
        # these come with handlers of their own, which would print addresses with the secrets in them
        "uvicorn": {"handlers": ["stderr"], "propagate": False},
        "uvicorn.access": {"handlers": ["stderr"], "propagate": False},
        "django": {"handlers": []},
        "django.server": {"handlers": ["stderr"], "propagate": False},
    },
}
