"""What the owner is told, in words."""

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from chatbot import ledger
from chatbot.models import Budget, Notice
from chatbot.provider_check import explain
from workspace.models import Workspace

ABOUT_MODELS = (Notice.Kind.BUDGET_WARNING, Notice.Kind.BUDGET_SPENT, Notice.Kind.PROVIDER_FAILS)


def unread(workspace: int) -> list[Notice]:
    """Notices about budgets and providers that nobody has waved away yet, the newest first."""
    return ledger.unread_notices(workspace, ABOUT_MODELS)


def understood(workspace: Workspace, notice: int) -> None:
    """It need not be shown any more."""
    Notice.objects.of(workspace).filter(pk=notice, read_at=None).update(read_at=timezone.now())


def say(notice: Notice) -> str:
    """What happened, and what to do or to expect."""
    return _("%(what)s %(more)s") % {"what": headline(notice), "more": _more(notice)}


def headline(notice: Notice) -> str:
    """One short sentence: what happened."""
    match notice.kind:
        case Notice.Kind.BUDGET_WARNING:
            return _("The budget of %(budget)s is nearly spent.") % {"budget": _budget(notice.detail)}
        case Notice.Kind.BUDGET_SPENT:
            return _("The budget of %(budget)s is spent.") % {"budget": _budget(notice.detail)}
        case Notice.Kind.PROVIDER_FAILS:
            return _("%(provider)s refuses to answer.") % {"provider": notice.detail.get("provider", "")}
    return str(notice)


def _more(notice: Notice) -> str:
    match notice.kind:
        case Notice.Kind.BUDGET_WARNING:
            return _("From now on answers may become shorter.")
        case Notice.Kind.BUDGET_SPENT:
            return _("Answers go down its ladder until the period ends or the amount is raised.")
        case Notice.Kind.PROVIDER_FAILS:
            return str(explain(str(notice.detail.get("failure", ""))))
    return ""


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
