"""Where the parts of peers are kept, and what is said when they are not there."""

import os

__all__ = ["NotInstalled", "cache"]


class NotInstalled(Exception):
    """A peer was asked for and cannot be started; says what to do."""


def cache(*names: str) -> str:
    """A path below $HEADRACE_CACHE, else below headrace/ in the user's cache directory."""
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(os.environ.get("HEADRACE_CACHE") or os.path.join(user, "headrace"), *names)
