"""A simulated Clint: webhooks of integrations and the API's read-only part; ../README.md says what is assumed."""
