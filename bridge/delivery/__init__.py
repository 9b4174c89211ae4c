"""One delivery: a try (`attempt`), what follows from its answer (`retry`), when a destination rests (`circuit`),
and what is said of a delivery that is given up (`dead_letter`). All but `attempt` are pure: data and `now` in,
decision out.
"""
