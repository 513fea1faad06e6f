"""One module a kind of server; base says what a channel is, registry finds the one for a URL."""
