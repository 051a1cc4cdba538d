"""Bearer tokens of the doors: who gets one for which secret, and whether one is good.

Open, the default of a broker that has no clients configured: everybody gets a token, and every
token, or none, is good. With clients (`headrace.token.clients`: a file of `ID:SECRET` lines) a
token is needed, and is

    base64url(ID) "." expiry in seconds since 1970 "." hex(HMAC-SHA-256(SECRET, all before))

so it needs no memory, is good on after a restart, and ends when its client's secret is changed.
The file is read when the broker starts. What must not enter: HTTP, gRPC.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["TOKEN_LIFE_S", "ClientsFileError", "Tokens", "read_clients"]

TOKEN_LIFE_S: Final = 3600
CLIENTS_MAX: Final = 10_000
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
OPEN_TOKEN: Final = "open"  # noqa: S105 - says that there is nothing to keep


class ClientsFileError(Exception):
    """The clients cannot be read: where and why, for a person; never with a secret."""


def read_clients(path: str) -> dict[str, str]:
    """Secrets by client id; lines that are empty or begin with # are left out. Raises
    ClientsFileError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ClientsFileError(f"{path} cannot be read: {error}") from None
    if len(text) > FILE_BYTES_MAX:
        raise ClientsFileError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    clients: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        client_id, colon, secret = line.partition(":")
        if not colon or not client_id or not secret:
            raise ClientsFileError(f"{path}, line {number}: expected ID:SECRET")
        clients[client_id] = secret
    if len(clients) > CLIENTS_MAX:
        raise ClientsFileError(f"{path} has more than {CLIENTS_MAX} clients")
    return clients


class Tokens:
    """`clients` None: open. `now_s` is in seconds since 1970."""

    def __init__(self, clients: Mapping[str, str] | None, now_s: Callable[[], float]) -> None:
        self._clients = clients
        self._now_s = now_s

    @property
    def is_open(self) -> bool:
        return self._clients is None

    def issue(self, client_id: str, secret: str) -> str | None:
        """A token for TOKEN_LIFE_S; None: these are not a client's."""
        if self._clients is None:
            return OPEN_TOKEN
        known = self._clients.get(client_id, "")
        if not hmac.compare_digest(known.encode(), secret.encode()) or not known:
            return None
        name = base64.urlsafe_b64encode(client_id.encode()).decode()
        said = f"{name}.{int(self._now_s()) + TOKEN_LIFE_S}"
        return f"{said}.{_seal(known, said)}"

    def accepts(self, token: str) -> bool:
        """Whether it is good now."""
        if self._clients is None:
            return True
        said, _, seal = token.rpartition(".")
        name, _, expiry = said.partition(".")
        try:
            client_id = base64.b64decode(name, altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeError, ValueError):
            return False
        known = self._clients.get(client_id)
        if known is None or not (expiry.isascii() and expiry.isdigit() and len(expiry) < 16):
            return False
        is_ours = hmac.compare_digest(_seal(known, said).encode(), seal.encode())
        return is_ours and self._now_s() < int(expiry)


def _seal(secret: str, said: str) -> str:
    return hmac.digest(secret.encode(), said.encode(), "sha256").hex()
