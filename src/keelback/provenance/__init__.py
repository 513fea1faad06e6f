"""Signed statements of who published a package, and where to: made, kept and verified (CEP 27, Sigstore).

::

    statement.py     what is said: this file, with this hash, was published to that channel
    bundle.py        which bundles can be verified: the statement, its signature, and all that is needed for that
    certificate.py   who signed: the identity that a CI system gave to a job
    policy.py        whose signature is wanted
    trust.py         whom Sigstore's own signatures have to be by
    verifying.py     whether an attestation holds
    searching.py     the first that does, of all that there are for a file
    signing.py       makes attestations
    failures.py      what goes wrong meanwhile
    files.py         attestations in files: beside packages, in folders, or given
    github.py        attestations kept by GitHub
    packages.py      attestations of packages: what the commands, and programs, call

Nothing here imports ``sigstore`` before it is needed: it comes with the extra ``provenance``.
"""
