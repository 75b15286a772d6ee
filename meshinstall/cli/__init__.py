"""The command line: options in, one call to the engine, output by a printer."""
