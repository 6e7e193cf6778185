"""Who gets how many seats of a pool, and which students hold them: pure, no Kubernetes, no clock, no database.

`arbiter` shares a pool out to its licences, `assignment` seats students within what each licence was granted, `usage`
says who uses the seats and which are idle, `forecast` when none will be left.
Both are given what was before and what is wanted now, and answer for all at once, so that the order of events never
matters. Neighbour on the same floor: `homeroom.roster`, which knows who learns where; nothing is imported from there,
frames of row numbers are what passes between the two. In words for people: docs/seats.md.
"""
