"""The loop per root: gather (Kubernetes, source, target, store), let the pure floors decide, apply, record, report.

`ports` says what the loop needs from the outside and what it gives back; `run` is the shell around every run of a
root (gates, suspend, deletion, errors to conditions, one status write); `district`, `learningapp` and `school` are the
roots, `roots` makes them ready; `decide` leads to a plan, `executor` is the only place that changes anything in a
target, `outcome` puts what came of it into words; `connect` makes sources and targets from what is declared; `routes`
tells which root an event concerns.
"""
