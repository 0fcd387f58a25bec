"""What the owner was told, to be looked at."""

from django.contrib import admin

from chatbot.admin.owned import ReadOnlyAdmin
from chatbot.models import Notice


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "detail", "read_at")
    list_filter = ("kind", ("read_at", admin.EmptyFieldListFilter))
