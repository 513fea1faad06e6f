"""Credentials: what they are, where they are kept, and which one belongs to a URL.

``kinds`` says what a credential is and how it goes onto a request, ``stores`` where credentials are kept, ``lookup``
which of them a URL gets. The modules are imported by name, so that nobody pays for what is not used.
"""
