"""Channels in buckets: one index, one way to send, and modules for the protocol of each service."""
