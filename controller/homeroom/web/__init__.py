"""`homeroom web`: the pages on which teachers connect to school licences. A process of its own, beside the operator.

::

    browser --> `server` (limits of connections) --> `gate` (what every request has to pass) --> `site` (the pages)
                                                                                                   |
              mailbox <-- `desk` (who gets a link, out of sight of the asker) <--------------------+
                             |
                          `staff` (teachers of the served records)

It reads and writes the store only: it has no access to the cluster and no credentials of any target. What somebody
does here counts from the next run of the pool on. Neighbours: `homeroom.store`, `homeroom.seats.keys`, `words` (all
texts), `limits` (how often somebody may try).
"""
