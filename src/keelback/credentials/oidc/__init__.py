"""Trusted publishing: the identity that a CI system makes, and the short-lived tokens that servers give for it."""
