"""How long something still takes, in the words of a person who does not pretend to know exactly."""

from django import template
from django.utils.translation import gettext, ngettext

register = template.Library()


@register.filter
def about_left(seconds: float) -> str:
    """ "about 2 minutes left"; below a minute in tens of seconds."""
    if seconds < 10:
        return gettext("a few seconds left")
    if seconds < 55:
        return gettext("about %d seconds left") % (round(seconds / 10) * 10)
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return ngettext("about %d minute left", "about %d minutes left", minutes) % minutes
    hours = round(minutes / 60)
    return ngettext("about %d hour left", "about %d hours left", hours) % hours
