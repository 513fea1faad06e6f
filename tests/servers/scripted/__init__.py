"""Scripted servers: one per protocol, on real loopback sockets, strict about every byte and rude on demand."""

from .anaconda import AnacondaServer
from .artifactory import ArtifactoryServer
from .engine import ScriptedServer, Trap, route
from .exchange import Exchange, Recorded, json_answer
from .faults import KINDS, Fault
from .prefix import PrefixServer
from .quetz import QuetzServer
from .shelf import Body, Shelf, Stored
from .wire import Answer

__all__ = [
    "KINDS",
    "AnacondaServer",
    "Answer",
    "ArtifactoryServer",
    "Body",
    "Exchange",
    "Fault",
    "PrefixServer",
    "QuetzServer",
    "Recorded",
    "ScriptedServer",
    "Shelf",
    "Stored",
    "Trap",
    "json_answer",
    "route",
]
