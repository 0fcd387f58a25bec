"""Signed tokens: who a visitor is. HS256, this server's own secret, one purpose each."""

import datetime as dt
from dataclasses import dataclass

import jwt
from django.conf import settings

ALGORITHM = "HS256"
VISITOR_DAYS = 30
_AUDIENCE = "baton/visitor"


class BadToken(Exception):
    """The token is missing, forged, expired or meant for something else."""


@dataclass(frozen=True)
class Visitor:
    """A contact on the wire, and the conversation it may see."""

    inbox: str
    contact: str
    conversation: str


def visitor_token(visitor: Visitor, *, now: dt.datetime | None = None) -> str:
    now = now or dt.datetime.now(dt.UTC)
    return jwt.encode(
        {
            "aud": _AUDIENCE,
            "sub": visitor.contact,
            "inbox": visitor.inbox,
            "cnv": visitor.conversation,
            "iat": now,
            "exp": now + dt.timedelta(days=VISITOR_DAYS),
        },
        _key(),
        algorithm=ALGORITHM,
    )


def read_visitor_token(token: str, *, inbox: str) -> Visitor:
    """Raises `BadToken`; a token of another inbox is a bad token."""
    try:
        claims = jwt.decode(
            token,
            _key(),
            algorithms=[ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["aud", "sub", "iat", "exp"]},
        )
        visitor = Visitor(str(claims["inbox"]), str(claims["sub"]), str(claims["cnv"]))
    except (jwt.PyJWTError, KeyError, TypeError):
        raise BadToken from None
    if visitor.inbox != inbox:
        raise BadToken
    return visitor


def _key() -> str:
    return f"visitor:{settings.SECRET_KEY}"
