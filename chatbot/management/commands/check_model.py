"""``manage.py check_model``: does each model provider work as it is set up? Exit code 1 if one does not."""

import asyncio
import textwrap
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from chatbot import ledger
from chatbot.llm.profile import Profile
from chatbot.llm.provider import Balance, Call
from chatbot.management.workspaces import add_workspace_argument, chosen_workspace
from chatbot.models import ModelCall, Provider
from chatbot.provider_check import PURPOSE, Check, check, explain
from workspace.models import Workspace

SHOWN_MODELS = 12


class Command(BaseCommand):
    help = "Test the model providers: models, balance, and one tiny answer with its times, tokens and cost."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--provider", default="", metavar="NAME", help="name or public id; else all that are active"
        )
        add_workspace_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = chosen_workspace(options["workspace"])
        profiles = _profiles(workspace, options["provider"])
        failed = [profile.name for profile in profiles if not self._works(workspace, profile)]
        if failed:
            raise CommandError(f"{len(failed)} of {len(profiles)} failed: {', '.join(failed)}.")

    def _works(self, workspace: Workspace, profile: Profile) -> bool:
        self.stdout.write(f"{profile.name}: {profile.model} at {profile.base_url}")
        self.stdout.flush()
        calls: list[Call] = []
        found = asyncio.run(check(profile, calls.append))
        ledger.record_calls([(workspace.pk, call) for call in calls])
        self._line("models", _models(found))
        for name in found.missing:
            self._line("", f"{name} is set up here, but not among them")
        self._line("balance", _balance(found))
        if found.failure:
            self._line("answer", f"failed: {found.failure}")
        else:
            first = "" if found.first_ms is None else f"first text after {found.first_ms:,.0f} ms, "
            self._line("answer", f"{first}whole after {found.total_ms:,.0f} ms{_tries(found.tries)}")
        if found.usage:
            about = ", estimated" if found.usage.estimated else ""
            usage = found.usage
            self._line("tokens", f"{usage.prompt} in ({usage.cached} from the cache), {usage.completion} out{about}")
            self._line("cost", _cost(workspace, profile))
        for code in _codes(found):
            self._line(code, str(explain(code)))
        self.stdout.write(f"  {'It works.' if found.passed else 'It does not work.'}\n")
        return found.passed

    def _line(self, name: str, text: str) -> None:
        self.stdout.write(textwrap.fill(text, 100, initial_indent=f"  {name:9}", subsequent_indent=" " * 11))


def _profiles(workspace: Workspace, name: str) -> list[Profile]:
    """Those that are asked. Raises `CommandError` where there is none."""
    if name:
        rows = Provider.objects.of(workspace)
        profiles = [ledger.profile_of(row) for row in rows] or [each.profile for each in ledger.environment_account()]
        named = [profile for profile in profiles if name in {profile.name, profile.id}]
        if not named:
            there = ", ".join(profile.name for profile in profiles) or "none yet"
            raise CommandError(f"There is no provider {name!r}. Providers: {there}.")
        return named
    accounts = ledger.plan_of(workspace.pk).accounts
    if not accounts:
        raise CommandError(
            "No model provider is set up: answers quote the documents. Add one in the admin, or set DEEPSEEK_API_KEY."
        )
    return [account.profile for account in accounts]


def _models(found: Check) -> str:
    if isinstance(found.models, str):
        return f"failed: {found.models}"
    more = len(found.models) - SHOWN_MODELS
    return ", ".join(found.models[:SHOWN_MODELS]) + (f" and {more} more" if more > 0 else "") or "none listed"


def _balance(found: Check) -> str:
    if isinstance(found.balance, str):
        return f"failed: {found.balance}"
    if not isinstance(found.balance, Balance):
        return "the provider does not tell"
    amounts = ", ".join(f"{currency} {amount}" for currency, amount in found.balance.amounts.items()) or "not told"
    return amounts if found.balance.available else f"{amounts}; too little for the next call"


def _codes(found: Check) -> list[str]:
    """What failed, each code once."""
    steps = (found.failure, found.models, found.balance)
    return list(dict.fromkeys(step for step in steps if isinstance(step, str) and step))


def _tries(tries: int) -> str:
    return f", on try {tries}" if tries > 1 else ""


def _cost(workspace: Workspace, profile: Profile) -> str:
    """As the ledger has it."""
    calls = ModelCall.objects.of(workspace).filter(purpose=PURPOSE, provider_name=profile.name)
    call = calls.filter(Q(provider=None) | Q(provider__public_id=profile.id)).order_by("-pk").first()
    if call is None or call.cost is None:
        return "unknown: no price of this model is set"
    return f"{call.currency} {call.cost.normalize():f}{' (peak hours)' if call.peak else ''}"
