"""Signing in by password or by a one-time link."""

from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from workspace.login_links import BadLink, use_login_link


class SignIn(LoginView):
    template_name = "signing_in/login.html"
    redirect_authenticated_user = True


@never_cache
@require_http_methods(["GET", "POST"])
def login_link(request: HttpRequest, secret: str) -> HttpResponse:
    """A page with one button: programs that look at links before people do must not use them up."""
    if request.method == "GET":
        return render(request, "signing_in/link.html")
    try:
        user = use_login_link(secret)
    except BadLink as bad:
        return render(request, "signing_in/link.html", {"bad": bad}, status=410)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("desk")


def home(request: HttpRequest) -> HttpResponseRedirect:
    return redirect("desk")
