"""The errors of identity. None of them quotes a credential.

ExequaturError
├── CredentialError        no credential, or one that proves nothing
├── EntitlementError       a good credential that does not entitle to what is asked; it has a code
└── KeysUnavailableError   an issuer's keys cannot be had, so its tokens cannot be judged
"""

from exequatur_verifier.errors import ExequaturError


class CredentialError(ExequaturError):
    """There is no credential, or one that proves nothing."""


class EntitlementError(ExequaturError):
    """Who asks is known, and may not ask this: a code, and why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class KeysUnavailableError(ExequaturError):
    """An issuer's keys cannot be fetched, and those kept are too old. Asking again later is safe."""
