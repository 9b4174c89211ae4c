"""The web process: the door for Asaas, the console, and the routes that a host asks (alive, ready, metrics)."""
