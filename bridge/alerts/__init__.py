"""Alerts: open notices become few messages to people, each with what to do.

`plan` decides what is wrong, who is told and when; `send` writes the message and starts `child`, which sends it;
`services` makes addresses of what people fill in; `summary` is the message of each morning.
"""
