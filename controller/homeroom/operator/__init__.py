"""The process that runs in the cluster: watching, work queue, status writing, leadership, metrics, probes.

::

    kopf's thread                       our event loop
    +-----------+  events   +---------+  changes   +---------+  keys   +-------+  key   +----------+
    | watch     | --------> | cache   | ---------> | routes  | ------> | queue | -----> | handlers |
    +-----------+           +---------+            +---------+         +-------+        +----------+
          |                      ^  ^ own writes                                             |
          | answers              |  +------------- cluster (api, events) <-------------------+
          v                      |
    +-----------+   full lists   |
    | kinds     | ---------------+        lease: who leads    health: probes, metrics    logs: JSON, redacted
    +-----------+

`runtime.main` is the one entry point. Above it stands the command line; below it `homeroom.reconcile`, whose ports
(`Cluster`, `Clock`, `Metrics`) are implemented here.
"""
