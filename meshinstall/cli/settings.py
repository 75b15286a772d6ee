"""What every command of the command line has in common."""

# For click's context: -h everywhere.
HELP = {"help_option_names": ["-h", "--help"]}
# Of --timeout, which every command has that asks a cluster, a cloud or a registry.
SECONDS_HELP = "Seconds for the whole command."
