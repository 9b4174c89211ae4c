"""The web process: the door for Asaas, the console, and what a host asks of it (alive, ready, metrics)."""
