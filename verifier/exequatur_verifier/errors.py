"""The errors of the kernel.

    ExequaturError
    ├── MalformedError          the bytes are not what the specification says; every parser raises this and nothing else
    │   └── UnsupportedError    well formed, but of a version or an algorithm that this build does not know
    └── NotProvenError          well formed, but a signature, a path or a proof does not hold

Misuse by a programmer (a wrong type, a key of the wrong role) is a ``ValueError`` or ``TypeError``, never one of these.
"""


class ExequaturError(Exception):
    """The base of every error that input can cause."""


class MalformedError(ExequaturError):
    """The bytes are not what the specification says."""


class UnsupportedError(MalformedError):
    """The bytes follow a version, kind or algorithm that this build does not know."""


class NotProvenError(ExequaturError):
    """The bytes are well formed, but what they claim is not proven."""
