"""What people do with the bridge, for commands and console alike.

A change of a delivery or an event takes the row lock of its lane first, so that it never crosses a worker.
"""
