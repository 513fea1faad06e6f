"""Credentials: what they are, where they are kept, and which one belongs to a URL.

``kinds`` says what a credential is and how it goes onto a request, ``stores`` where credentials are kept; ``hosts`` and
``keys`` under which keys one for a URL may be found, ``lookup`` which of them it gets, ``deadkeys`` which keys never
lead to one. The modules are imported by name, so that nobody pays for what is not used.
"""
