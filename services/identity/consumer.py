"""Events in: identity listens to nobody."""

from shared.inbox import Consumer

consumer = Consumer("identity")
