"""Signed tokens: who a visitor is, and who we are to a model gateway (HS256); whom a site vouches for (HS256 or RS256)."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings

ALGORITHM = "HS256"
VISITOR_DAYS = 30
CLIENT_TOKEN_S = 24 * 3600
CLIENT_BACKDATE_S = 30  # a verifier whose clock is behind refuses a token from the future
LONGEST_SUBJECT = 200
SMALLEST_RSA_BITS = 2048
_AUDIENCE = "baton/visitor"


class BadToken(Exception):
    """The token is missing, forged, expired or meant for something else."""


@dataclass(frozen=True)
class Visitor:
    """A contact on the wire, and the conversation it may see."""

    inbox: str
    contact: str
    conversation: str


@dataclass(frozen=True)
class Identity:
    """A person as the site knows them."""

    subject: str
    name: str = ""
    email: str = ""


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


def read_identity(token: str, *, secret: str | None, public_key: str, inbox: str) -> Identity:
    """Whom a site vouches for: HS256 with the inbox's identity secret, or RS256 with the private key of its public one;
    ``aud`` the inbox's id, ``exp`` and ``sub`` required. The token chooses between the two, never what a key is used for.

    Raises `BadToken`, whatever is wrong with it, also where the inbox has no such key.
    """
    try:
        algorithm = str(jwt.get_unverified_header(token).get("alg"))
        key = {ALGORITHM: secret, "RS256": public_key}.get(algorithm)
        if not key:
            raise BadToken
        claims = jwt.decode(
            token, key, algorithms=[algorithm], audience=inbox, options={"require": ["aud", "sub", "exp"]}
        )
        name, email = claims.get("name") or "", claims.get("email") or ""
        if not isinstance(name, str) or not isinstance(email, str) or not 0 < len(claims["sub"]) <= LONGEST_SUBJECT:
            raise BadToken
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        raise BadToken from None
    return Identity(claims["sub"], name[:200], email[:200])


def is_rsa_public_key(text: str) -> bool:
    """Whether `text` is a public RSA key in PEM of 2,048 bits and more. A private one is not."""
    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, RSAPublicKey) and key.key_size >= SMALLEST_RSA_BITS


def client_token(client_id: str, secret: str, *, now: int) -> str:
    """A gateway's token: ``iss``, ``iat`` and ``exp``, 24 hours apart, and nothing else. `now` in seconds since 1970."""
    issued = now - CLIENT_BACKDATE_S
    return jwt.encode({"iss": client_id, "iat": issued, "exp": issued + CLIENT_TOKEN_S}, secret, algorithm=ALGORITHM)


def client_of_token(token: str, secrets: Mapping[str, str]) -> str:
    """Whose token it is, by client id; `secrets` by client id. Raises `BadToken`, whatever is wrong with it."""
    try:
        claimed = jwt.decode(token, options={"verify_signature": False}).get("iss", "")
        claims = jwt.decode(
            token,
            secrets[claimed],
            algorithms=[ALGORITHM],
            leeway=60,
            options={"require": ["iss", "iat", "exp"]},
        )
        if claims["exp"] - claims["iat"] > CLIENT_TOKEN_S + 60:
            raise BadToken
    except (jwt.PyJWTError, KeyError, TypeError):
        raise BadToken from None
    return str(claimed)


def _key() -> str:
    return f"visitor:{settings.SECRET_KEY}"
