"""The way of one event: a POST from Asaas becomes a POST to Clint.

`web/door` checks the POST, `intake` commits the event and the door answers 200. `worker/drain` leases the customer's
lane. `decide` turns the event into deliveries: `enrich` fetches what mappings need, `mapping/evaluate` filters and
builds the payload. `deliver` commits the attempt, posts, and commits the result, by the rules of `policy`.
"""
