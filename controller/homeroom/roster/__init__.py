"""School records as tables, and everything that is decided about them: pure, columnar, no object per row.

`tables` says what a roster is (integers instead of ids, so that a million students fit), `findings` what was wrong
with an export; `shared` applies the sharing rules of an app, `desired` says what a target should hold, and `diff` how
that differs from what it holds (`state` has both shapes). Neighbours: `homeroom.sources` makes rosters,
`homeroom.targets` takes what the diff says, `homeroom.reconcile` leads the one to the other.
"""
