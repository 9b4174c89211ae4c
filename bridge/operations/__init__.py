"""What a person repairs with: retry and discard a delivery, replay an event, resume a destination.

Also what a person proves with: a test charge that is followed to the deal (`trial`), and why it did not get there
(`diagnosis`).

Each change takes the lane's row lock first, so that it never crosses a worker in the same line.
"""
