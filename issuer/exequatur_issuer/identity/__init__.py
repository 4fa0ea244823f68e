"""Who asks over HTTP, by their credentials: OpenID tokens (``oidc``, ``keys``), API keys, and whom they may speak for.

Nobody is who a payload says. The names that this package gives out are those that a token's issuer signed or that the
authority's settings have for an API key (specs/12 §4).
"""
