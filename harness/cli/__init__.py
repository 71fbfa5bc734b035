"""The command line: verbs, what they print, and exit codes (docs of `main`)."""
