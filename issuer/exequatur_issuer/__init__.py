"""The authority: it turns a request into a decision, and an allowed request into an authorization.

A decision is a pure function of the request, the policy set, its schema, the entities, the engine's version
and the time, so that anyone can compute it again from the log (specs/09). Importing the package loads nothing; the
policy engine behind it needs `exequatur[issuer]`.
"""
