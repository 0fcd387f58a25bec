"""The visitor's cookie: HttpOnly, bound to this host, kept apart for each site that shows the widget."""

import http.cookies

from django.http import HttpResponse

from chatbot.tokens import VISITOR_DAYS

# Python before 3.14 does not know the attribute
http.cookies.Morsel._reserved.setdefault("partitioned", "Partitioned")  # type: ignore[attr-defined]
http.cookies.Morsel._flags.add("partitioned")  # type: ignore[attr-defined]


def cookie_name(inbox: str) -> str:
    return f"__Host-baton-{inbox}"


def set_visitor_cookie(response: HttpResponse, inbox: str, token: str) -> None:
    """Browsers keep it on https, and on localhost; elsewhere the widget holds the token in memory."""
    response.set_cookie(
        cookie_name(inbox), token, max_age=VISITOR_DAYS * 86_400, secure=True, httponly=True, samesite="None"
    )
    response.cookies[cookie_name(inbox)]["partitioned"] = True


def clear_visitor_cookie(response: HttpResponse, inbox: str) -> None:
    """Browsers drop a partitioned cookie only for one with the same attributes."""
    set_visitor_cookie(response, inbox, "")
    response.cookies[cookie_name(inbox)]["max-age"] = 0
    response.cookies[cookie_name(inbox)]["expires"] = "Thu, 01 Jan 1970 00:00:00 GMT"
