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

import sys

# Where rich is installed structlog loads it, and Pygments with it, for coloured tracebacks that our logs never show:
# 9 MB for as long as the process lives. So for this one import it is not installed.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # what the language provides for that
    import structlog as structlog

    del sys.modules["rich"]
