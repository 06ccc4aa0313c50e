"""Events in: identity consumes none."""

from shared.messaging.inbox import Consumer

consumer = Consumer("identity")
