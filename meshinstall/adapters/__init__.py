"""The outside world behind ports; every SDK is imported inside functions."""
