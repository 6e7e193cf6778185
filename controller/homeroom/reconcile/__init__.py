"""The loop per root: gather (Kubernetes, source, target, store), let the pure floors decide, apply, record, report.

`ports` says what the loop needs from the outside and what it gives back; `run` is the shell around every run of a
root (gates, suspend, deletion, errors to conditions, one status write); `district`, `learningapp` and `school` are the
roots; `executor` is the only place that changes anything in a target; `routes` tells which root an event concerns.
"""
