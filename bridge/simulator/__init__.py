"""The two other sides: an Asaas and a Clint to try the bridge against, over real HTTP.

They keep their state in memory and know nothing of the bridge: no module here imports anything of it. What is known
of the real services and what is only assumed stands in the docstrings of `asaas` and `clint`.
Used by `bridge demo`, by benches and by tests; never by the bridge at work.
"""
