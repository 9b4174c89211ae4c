"""Alerts: open notices become few messages to people, each with what to do.

`plan` decides what is wrong and when to tell it; `send` writes the message and sends it in a process of its own.
"""
