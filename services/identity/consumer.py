"""Events in: identity consumes none."""

from shared.messaging.consumer import Consumer

consumer = Consumer("identity")
