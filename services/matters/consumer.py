"""Events in: matters listens to nobody."""

from shared.inbox import Consumer

consumer = Consumer("matters")
