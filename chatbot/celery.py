"""The Celery application: ``celery -A chatbot worker`` and ``celery -A chatbot beat``."""

import os

from celery import Celery
from kombu.transport.redis import Channel

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")

# When Redis goes away, kombu would put back what was delivered and not begun, fails to, and the worker ends "unrecoverable".
# Our messages are bells and nothing else: none of them is worth putting back, and the sweep finds every row.
Channel.do_restore = False

app = Celery("baton")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["chatbot"])
