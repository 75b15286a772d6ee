"""What every command of the command line has in common."""

# For click's context: -h everywhere.
HELP = {"help_option_names": ["-h", "--help"]}
