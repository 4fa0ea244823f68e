"""Signers whose key is not in this process: in a token (``pkcs11``), or held by a daemon (``daemon``, ``remote``).

Both are the kernel's ``Signer``, as is a key file (``exequatur_issuer.signer``); ``reference`` names any of the three.
"""
