"""Real clients at work while a nemesis maltreats the broker, its disk, its clock and the network.

`scripts/chaos` runs it, in rounds; each round has a directory, a broker and a seed of its own:

    site, volume, proxy   what can be maltreated: a process, an ext4 in a file, the way to clients
    faults/               one class a fault: what it needs, how it begins, how it is healed
    nemesis               draws faults from the seed, one draw in four is no fault
    load                  who works meanwhile: `producers`, `readers`, `crew`, `movers`, `keeper`
                          and the transactional writers of `proof.appends`
    judge                 what all that was told must have in common with the log in the end

The workload is made after Jepsen's one for Kafka: what was acknowledged, what was seen and what
stands in the log are compared, and sends without an answer may be there or not.
"""
