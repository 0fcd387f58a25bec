"""Django's handle on this package."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save
from django.utils.translation import gettext_lazy as _


class ChatbotConfig(AppConfig):
    name = "chatbot"
    verbose_name = _("Bot")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        for model in ("chatbot.Intent", "chatbot.IntentExample"):
            for signal in (post_save, post_delete):
                signal.connect(_intents_changed, sender=model)


def _intents_changed(instance: Any, **_: Any) -> None:
    from chatbot.wiring import recogniser

    recogniser().look_again(instance.workspace_id)
