"""What the live probes ask of the wire: an adapter speaks, the engine says with whom."""

from collections.abc import Callable
from dataclasses import dataclass

from meshinstall.model.wire import Probe, Seen, WireTarget
from meshinstall.ports import Stream

# Speaks on a stream to the client's listener, blocking, for use in a thread; raises OSError when the way there is broken.
Talk = Callable[[Stream], "Heard"]
# What to say for one probe of one port.
Dial = Callable[[WireTarget, Probe], Talk]
# The same for a mesh, given its roots in PEM and the SPIFFE name of the client.
Dialling = Callable[[str, str], Dial]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one connection brought.

    ``connected``: there was a TCP connection. ``held``: after the handshake it stayed open, as it does when something
    serves behind a proxy. ``again`` is another way to try that this one showed to be needed.
    """

    seen: Seen
    connected: bool = True
    held: bool = True
    again: Talk | None = None
