"""Events for subscribers: log, subscriptions, deliveries by webhook, pull, redelivery."""
