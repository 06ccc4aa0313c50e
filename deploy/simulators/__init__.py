"""The other side of what the platform is connected to, as processes of their own."""
