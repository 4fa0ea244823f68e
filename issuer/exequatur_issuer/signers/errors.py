"""What goes wrong with a signer that is somewhere else.

SignerUnavailableError   nobody knows whether it signed; repeating the call is safe    (an OSError)
SignerRefusedError       it will not sign this, or is not as it was described          (an ExequaturError)
"""

from exequatur_verifier.errors import ExequaturError


class SignerUnavailableError(OSError):
    """The signer gave no answer: which, why, and what to do. A second signature over the same bytes does no harm."""


class SignerRefusedError(ExequaturError):
    """The signer refuses, or is set up wrongly: why, and what to do."""
