"""Tells people what needs them: open notices become messages, few and with what to do.

Given the open notices and what was told already, it leaves a message, or none. It must never tell a thousand failures
in a thousand messages, and never hold up the bridge: messages are sent by a process of their own.
"""
