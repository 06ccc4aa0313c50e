"""The facts that services publish: frozen, versioned types, the only types two services share."""
