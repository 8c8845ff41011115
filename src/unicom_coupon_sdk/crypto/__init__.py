"""Keys, signatures and ciphers. No platform is named here; adapters put these together.

Signing and verification: ``rsa``, ``sm2``. Ciphers: ``aead`` (AES-GCM), ``sm4``. Digests: ``sm3``. What keys are and
where they come from: ``certificates``, ``keyring``, ``providers``. Storage at rest: ``fields``.
"""
