"""What `manage.py check`, every command and every worker look at before they begin: can the keys be used?"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from workspace.keys import parse_keyring


@register(Tags.security)
def check_keys(**_: Any) -> list[CheckMessage]:
    problem = problem_with_keys()
    return [Error(problem, id="workspace.E001")] if problem else []


def problem_with_keys() -> str:
    """What is wrong with ``BATON_KEYS``, in a sentence that holds no key; "" when nothing is."""
    try:
        parse_keyring(settings.BATON_KEYS)
    except ImproperlyConfigured as problem:
        return str(problem)
    return ""
