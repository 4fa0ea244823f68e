"""The authority over HTTP: requests, dry runs, AuthZEN 1.0, and the approvals that are waited for (specs/12).

``app`` puts it together; ``authorize``, ``authzen`` and ``approvals`` are the surfaces, ``office`` what they ask of an
authority, ``desk`` the one thread that it works in, ``asked`` the form of a request with what opens it,
``evaluation`` how AuthZEN's words become an action, ``settings`` who may ask for whom, ``problems`` how it refuses.
Nothing else of this package imports a web framework.
"""
