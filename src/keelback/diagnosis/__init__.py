"""What credentials there are, which one a URL gets, whether its server takes it, and what is wrong with any of it.

``stores`` opens every store, also where one is broken; ``survey`` lists what is in them; ``checkup`` asks a server;
``exchanging`` tries trusted publishing with it; ``mistakes`` knows what people get wrong. Nothing here prints.
"""
