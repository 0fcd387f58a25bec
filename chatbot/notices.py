"""What the owner is told, in words."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from chatbot import ledger
from chatbot.models import Budget, Notice
from chatbot.provider_check import explain
from workspace.models import Workspace

ABOUT_MODELS = (Notice.Kind.BUDGET_WARNING, Notice.Kind.BUDGET_SPENT, Notice.Kind.PROVIDER_FAILS)


def unread(workspace: Workspace | int) -> list[tuple[Notice, str]]:
    """Notices about budgets and providers that nobody has waved away yet, with their sentences, the newest first."""
    key = workspace if isinstance(workspace, int) else workspace.pk
    return [(notice, say(notice)) for notice in ledger.unread_notices(key, ABOUT_MODELS)]


def understood(workspace: Workspace, notice: int) -> None:
    """It need not be shown any more."""
    Notice.objects.of(workspace).filter(pk=notice, read_at=None).update(read_at=timezone.now())


def say(notice: Notice) -> str:
    """One or two sentences: what happened, what to do."""
    detail = notice.detail
    match notice.kind:
        case Notice.Kind.BUDGET_WARNING:
            return _("The budget of %(budget)s is nearly spent. From now on answers may become shorter.") % {
                "budget": _budget(detail)
            }
        case Notice.Kind.BUDGET_SPENT:
            return _(
                "The budget of %(budget)s is spent. Answers go down its ladder until the period ends or the amount is raised."
            ) % {"budget": _budget(detail)}
        case Notice.Kind.PROVIDER_FAILS:
            return _("%(provider)s refuses to answer. %(why)s") % {
                "provider": detail.get("provider", ""),
                "why": explain(str(detail.get("failure", ""))),
            }
    return str(notice)


def _budget(detail: dict[str, Any]) -> str:
    """Such as: 50 USD a month for Shop."""
    amount = f"{detail.get('amount', '')} {detail.get('currency', '')}"
    words = {
        Budget.Period.DAY: _("%(amount)s a day") % {"amount": amount},
        Budget.Period.MONTH: _("%(amount)s a month") % {"amount": amount},
    }
    period = words.get(detail.get("period", ""), amount)
    inbox = detail.get("inbox")
    return _("%(budget)s for %(inbox)s") % {"budget": period, "inbox": inbox} if inbox else period
