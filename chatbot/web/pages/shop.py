"""The demo shop's page: what a business's own site looks like with the one script line in it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_GET

from conversations.models import Inbox
from workspace.models import Workspace

DEMO = "Northwind Coffee Gear"
PRODUCTS = (
    ("grinder", "Gale H2", _("Hand grinder, 38 mm steel burrs"), "498"),
    ("grinder", "Gale H3 Pro", _("Hand grinder for pour-over and espresso"), "798"),
    ("electric", "Squall 54", _("Electric grinder for several pour-overs a day"), "1,480"),
    ("beans", "Harbour Blend", _("Beans, medium-dark, 250 g"), "68"),
)
QUESTIONS = (
    _("Can I return a grinder I have already used?"),
    _("How many clicks for pour-over on the H2?"),
    _("How long does shipping to Singapore take?"),
    _("I want to talk to a person"),
)


@require_GET
def shop(request: HttpRequest) -> HttpResponse:
    workspace = Workspace.objects.filter(name=DEMO).first()
    inbox = Inbox.objects.of(workspace).filter(kind=Inbox.Kind.WIDGET).first() if workspace else None
    if inbox is None:
        raise Http404
    chinese = (get_language() or "").startswith("zh")
    context = {
        "inbox": inbox,
        "language": "zh-hans" if chinese else "en",
        "products": [dict(zip(("picture", "name", "about", "price"), row, strict=True)) for row in PRODUCTS],
        "questions": QUESTIONS,
    }
    return render(request, "shop/shop.html", context)
