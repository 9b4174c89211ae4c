"""The command line: what an operator types, and what the Procfile runs.

`entry` holds the root and turns every error into one line and a status; each other module is one group or command.
Commands import what they need when they run, so that `--help` and the lists do not wait for Flask, RQ and all.
"""
