"""The founded home, for every test of this area."""

from tests.support.founded import founded, home, opened

__all__ = ["founded", "home", "opened"]
