"""One error for everything that a person at the keyboard can mend."""


class TestbedError(Exception):
    """What happened, to which object, and what to do next, in one message."""

    __test__ = False
