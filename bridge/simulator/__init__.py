"""A simulated Asaas and a simulated Clint over real HTTP, for `bridge demo`, benches and tests.

They keep their state in memory and import nothing of the bridge. README.md lists what is known of the real services.
"""
