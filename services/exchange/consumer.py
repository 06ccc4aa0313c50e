"""Events in."""

from shared.inbox import Consumer

consumer = Consumer("exchange")
