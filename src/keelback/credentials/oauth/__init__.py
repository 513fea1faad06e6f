"""Logins by OAuth: made in the browser, kept good by renewal, ended by revocation.

``settings`` says with what a login is asked for; ``login`` makes one, by ``device`` or by ``authcode``; ``renewal``
renews the access token of one that is stored, ``revocation`` ends it. Below them, ``discovery`` finds a server's
endpoints, ``tokens`` asks for tokens, ``idtoken`` reads who logged in, ``loopback`` listens for the browser, and
``endpoints`` sends what they all send.
"""
