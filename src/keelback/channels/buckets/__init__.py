"""Channels in buckets of object stores: one index, one way to send, and a module for each service's protocol."""
