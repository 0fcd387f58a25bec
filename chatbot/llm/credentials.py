"""What a provider is shown: an API key, or a token minted from a client id and secret."""

import time
from collections.abc import Callable
from typing import Protocol

from chatbot.llm.profile import Dialect, Profile
from chatbot.tokens import CLIENT_TOKEN_S, client_token

RENEW_BEFORE_S = 600.0


class Credentials(Protocol):
    def bearer(self) -> str: ...

    def renew(self) -> bool:
        """After a 401: whether something new can be shown."""


class ApiKey:
    """A key stays what it is."""

    def __init__(self, key: str) -> None:
        self._key = key

    def bearer(self) -> str:
        return self._key

    def renew(self) -> bool:
        return False


class ClientCredentials:
    """A token of 24 hours, minted here (HS256), kept until shortly before it ends. Minting does not wait for anything, so
    that many calls at once get one token."""

    def __init__(self, client_id: str, secret: str, now: Callable[[], float] = time.time) -> None:
        self._client_id, self._secret, self._now = client_id, secret, now
        self._token, self._until = "", 0.0
        self.minted = 0

    def bearer(self) -> str:
        if not self._token or self._now() >= self._until:
            self._mint()
        return self._token

    def renew(self) -> bool:
        self._mint()
        return True

    def _mint(self) -> None:
        now = int(self._now())
        self._token = client_token(self._client_id, self._secret, now=now)
        self._until = now + CLIENT_TOKEN_S - RENEW_BEFORE_S
        self.minted += 1


def credentials_of(profile: Profile) -> Credentials:
    if profile.dialect is Dialect.GATEWAY and profile.client_id:
        return ClientCredentials(profile.client_id, profile.client_secret)
    return ApiKey(profile.key.strip())
