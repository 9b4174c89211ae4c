"""What the bridge tells of itself: counters and histograms of all its processes, and traces where they are asked for.

The stages say what they did once for each event or attempt, when it is committed. Nothing here may fail or hold them
up: a number that is lost is no harm, an event would be.
"""

from bridge.observing.done import Attempted, Processed
from bridge.observing.observer import UNSEEN, Observer

__all__ = ["UNSEEN", "Attempted", "Observer", "Processed"]
