"""Events in: identity listens to nobody."""

from shared.messaging.inbox import Consumer

consumer = Consumer("identity")
