"""A simulated Asaas: its API under `/v3`, its webhooks, page and controls; ../README.md says what is assumed."""
