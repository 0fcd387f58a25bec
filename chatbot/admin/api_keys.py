"""Keys for programs: shown once, stored as a hash."""

import hashlib
import secrets
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext

from chatbot.admin.owned import OwnedAdmin
from workspace.models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(OwnedAdmin):
    list_display = ("name", "hint", "created_at", "used_at", "revoked_at")
    fields = ("workspace", "name", "revoked_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            secret = f"btn_{secrets.token_urlsafe(32)}"
            obj.secret_hash, obj.hint = hashlib.sha256(secret.encode()).hexdigest(), secret[-4:]
            messages.success(request, gettext("The key, shown this once: %s") % secret)
        super().save_model(request, obj, form, change)
