"""What is planned, and why, rule by rule. Worlds are written as in `states.world`."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from tests.unit.roster.states import (
    COACH,
    Account,
    Target,
    World,
    baseline,
    both,
    desired,
    told,
    world,
)

from homeroom.api import ClassRemoval, Duration, PersonRemoval, Removal
from homeroom.plan import Plan, Policy
from homeroom.roster.diff import Baseline, diff, expected, identity, is_current, sizes
from homeroom.roster.state import Actual
from homeroom.roster.tables import SCHEMAS, Roster

KEEP, ACCOUNT, SUSPEND = PersonRemoval.KEEP, PersonRemoval.KEEP_ACCOUNT, PersonRemoval.SUSPEND


def plan(
    want: World,
    target: Target | Actual,
    before: World | Baseline | None,
    *,
    removal: Removal | None = None,
    old_rules: World | None = None,
    roster: Roster | None = None,
) -> Plan:
    return diff(
        desired(want),
        target.actual() if isinstance(target, Target) else target,
        baseline=baseline(before) if isinstance(before, World) else before,
        removal=removal or Removal(),
        roster=roster,
        today=date(2027, 1, 15),
        intermediate=desired(old_rules) if old_rules else None,
    )


def run(
    want: World,
    target: Target,
    before: Baseline | None,
    *,
    removal: Removal | None = None,
    first: int | None = None,
    old_rules: World | None = None,
) -> tuple[list[str], Baseline]:
    """One run of an app: plan, remember, apply (only the `first` changes), remember. What was planned, the baseline."""
    actual = target.actual()
    changes = plan(want, actual, before, removal=removal, old_rules=old_rules)
    remembered = expected(desired(want), actual, changes, before=before)
    rest = target.apply(changes, first)
    return told(changes), remembered.settled(changes, identity(rest))


# -- coming ----------------------------------------------------------------------------------------------------------


def test_an_empty_target_gets_everything_parents_first() -> None:
    want = world("7a: ann tom*", rights=["tom"])
    assert told(plan(want, Target(), None)) == [
        "Create School s1: FirstSync",
        "Create Person ann: FirstSync",
        "Create Person tom: FirstSync",
        "Create Class 7a: FirstSync",
        "Create Membership 7a/ann Learner: FirstSync",
        "Create Membership 7a/tom Coach: FirstSync",
        "Create Right tom Administrator: FirstSync",
    ]


def test_what_is_as_it_should_be_gives_an_empty_plan() -> None:
    want = world("7a: ann tom*; 7b: ann", rights=["tom"])
    assert plan(want, Target.of(want), want).empty
    assert plan(want, Target.of(want), None).empty
    assert plan(World(), Target(), None).empty
    assert plan(World(), Target(), World()).empty


def test_the_records_gain_a_class_and_people() -> None:
    old, new = world("7a: ann"), world("7a: ann bob; 7b: bob tom*", rights=["tom"])
    assert told(plan(new, Target.of(old), old)) == [
        "Create Person bob: SourceAdded",
        "Create Person tom: SourceAdded",
        "Create Class 7b: SourceAdded",
        "Create Membership 7a/bob Learner: SourceAdded",
        "Create Membership 7b/bob Learner: SourceAdded",
        "Create Membership 7b/tom Coach: SourceAdded",
        "Create Right tom Administrator: SourceAdded",
    ]


def test_who_changes_class_is_added_before_being_removed() -> None:
    old, new = world("7a: ann bob; 7b: cid"), world("7a: bob; 7b: ann cid")
    assert told(plan(new, Target.of(old), old)) == [
        "Create Membership 7b/ann Learner: SourceAdded",
        "Remove Membership 7a/ann Learner: Moved",
    ]


def test_who_was_to_move_and_now_goes_nowhere_leaves() -> None:
    old, new, left = world("7a: ann bob; 7b: cid"), world("7a: bob; 7b: ann cid"), world("7a: bob; 7b: cid")
    target = Target.of(old)
    _, remembered = run(new, target, baseline(old), first=0)
    said, _ = run(left, target, remembered)
    assert said == ["Remove Membership 7a/ann Learner: LeftSource", "Suspend Person ann: LeftSource"]


def test_a_move_that_was_cut_in_the_middle_is_a_move_to_its_end() -> None:
    old, new = world("7a: ann; 7b: bob"), world("7b: ann bob")
    target = Target.of(old)
    whole, _ = run(new, copy.deepcopy(target), baseline(old))
    _, remembered = run(new, target, baseline(old), first=1)
    rest, _ = run(new, target, remembered)
    assert rest == whole[1:]
    assert "Remove Membership 7a/ann Learner: Moved" in rest


def test_a_move_whose_new_place_is_withdrawn_is_none() -> None:
    old, new, left = (world(text) for text in ("7a: ann; 7b: ann; 7c: bob", "7b: ann; 7c: ann bob", "7b: ann; 7c: bob"))
    target = Target.of(old)
    _, remembered = run(new, target, baseline(old), first=1)
    said, _ = run(left, target, remembered)
    assert "Remove Membership 7a/ann Learner: LeftSource" in said


def test_who_changes_role_in_a_class_gets_the_new_one_first() -> None:
    old, new = world("7a: ann tom"), world("7a: ann tom*")
    assert told(plan(new, Target.of(old), old)) == [
        "Create Membership 7a/tom Coach: SourceAdded",
        "Remove Membership 7a/tom Learner: LeftSource",
    ]


def test_who_changes_school_has_two_accounts() -> None:
    old = both(world("7a: ann bob"), world("8a: cid", school="s2"))
    new = both(world("7a: bob"), world("8a: cid ann", school="s2"))
    assert told(plan(new, Target.of(old), old)) == [
        "Create Person s2/ann: SourceAdded",
        "Create Membership s2/8a/ann Learner: SourceAdded",
        "Remove Membership 7a/ann Learner: Moved",
        "Suspend Person ann: Moved",
    ]


def test_who_returns_gets_the_same_account_back() -> None:
    full, less = world("7a: ann bob"), world("7a: bob")
    target = Target.of(full)
    account = target.account("ann")
    _, remembered = run(less, target, baseline(full))
    assert target.people[account].suspended
    said, remembered = run(full, target, remembered)
    assert said == ["Restore Person ann: SourceAdded", "Create Membership 7a/ann Learner: SourceAdded"]
    assert target.account("ann") == account
    assert target.shown() == replace(full, staff=frozenset())


def test_a_class_that_returns_is_restored_under_its_name() -> None:
    full, less = world("7a: ann; 7b: ann"), world("7a: ann")
    target = Target.of(full)
    _, remembered = run(less, target, baseline(full))
    target.rename_class("7b", "[archived] Class 7b")
    said, _ = run(full, target, remembered)
    assert said == ["Restore Class 7b: SourceAdded", "Create Membership 7b/ann Learner: SourceAdded"]
    assert target.shown() == full


def test_a_suspended_account_that_should_be_in_use_is_restored_as_drift() -> None:
    want = world("7a: ann")
    target = Target.of(want)
    number = target.account("ann")
    target.people[number] = replace(target.people[number], suspended=True)
    assert told(plan(want, target, want)) == ["Restore Person ann: Drift"]


# -- names -----------------------------------------------------------------------------------------------------------


def test_people_may_rename_a_class_and_a_school_until_the_records_do() -> None:
    want = world("7a: ann")
    target = Target.of(want)
    target.rename_class("7a", "The owls")
    target.schools["s1"] = "Our school"
    assert plan(want, target, want).empty
    renamed = world("7a: ann", names="7a s1")
    assert told(plan(renamed, target, want)) == ["Update School s1: SourceChanged", "Update Class 7a: SourceChanged"]
    assert plan(renamed, Target.of(renamed), want).empty


def test_without_a_baseline_a_name_stays() -> None:
    want = world("7a: ann")
    target = Target.of(want)
    target.rename_class("7a", "The owls")
    assert plan(want, target, None).empty


def test_the_name_of_a_person_belongs_to_the_records() -> None:
    want = world("7a: ann bob")
    target = Target.of(want)
    target.rename_person("ann", "Annie")
    assert told(plan(want, target, want)) == ["Update Person ann: Drift"]
    assert told(plan(world("7a: ann bob", names="bob"), target, want)) == [
        "Update Person ann: Drift",
        "Update Person bob: SourceChanged",
    ]


def test_a_rename_that_was_planned_and_not_done_is_planned_again() -> None:
    old, new = world("7a: ann"), world("7a: ann", names="7a s1")
    target = Target.of(old)
    said, remembered = run(new, target, baseline(old), first=0)
    assert said == ["Update School s1: SourceChanged", "Update Class 7a: SourceChanged"]
    again, remembered = run(new, target, remembered)
    assert again == said
    target.rename_class("7a", "The owls")
    assert plan(new, target, remembered).empty


# -- drift -----------------------------------------------------------------------------------------------------------


def test_what_was_taken_by_hand_comes_back() -> None:
    want = world("7a: ann tom*", rights=["tom"])
    target = Target.of(want)
    target.leave("7a", "ann")
    target.rights.clear()
    assert told(plan(want, target, want)) == [
        "Create Membership 7a/ann Learner: Drift",
        "Create Right tom Administrator: Drift",
    ]


def test_a_class_deleted_by_hand_comes_back_with_its_members() -> None:
    want = world("7a: ann")
    target = Target.of(want)
    target.leave("7a", "ann")
    del target.classes[target.section("7a")]
    assert told(plan(want, target, want)) == ["Create Class 7a: Drift", "Create Membership 7a/ann Learner: Drift"]


def test_whoever_was_added_by_hand_goes() -> None:
    want = world("7a: ann; 7b: bob tom*")
    target = Target.of(want)
    stranger = target.own_account("Guest")
    target.join("7a", "bob")
    target.join("7a", "tom", COACH)
    target.join("7a", stranger)
    target.rights.add(target.account("bob"))
    assert told(plan(want, target, want)) == [
        "Remove Right bob Administrator: Intruder",
        f"Remove Membership 7a/{stranger} Learner: Intruder",
        "Remove Membership 7a/bob Learner: Intruder",
        "Remove Membership 7a/tom Coach: Intruder",
    ]


def test_what_people_made_themselves_is_never_touched() -> None:
    want = world("7a: ann tom*")
    target = Target.of(want)
    stranger = target.account(target.own_account("Guest"))
    club = target.own_class("Chess")
    target.members |= {(club, stranger, COACH), (club, target.account("ann"), "Learner")}
    target.rights.add(stranger)
    target.schools |= {"elsewhere": "Not in the records"}
    assert plan(want, target, want).empty
    actual = target.actual()
    unowned = actual.schools.with_columns(key=pl.when(pl.col("key") != "elsewhere").then("key"))
    assert plan(want, replace(actual, schools=unowned), want).empty


def test_nothing_in_a_school_that_is_not_ours_is_touched() -> None:
    want = world("7a: ann")
    other = world("7a: ann bob*", school="s2", rights=["bob"])
    actual = Target.of(both(want, other)).actual()
    actual = replace(actual, schools=actual.schools.with_columns(key=pl.when(pl.col("key") == "s1").then("key")))
    assert plan(want, actual, both(want, other)).empty


def test_an_archived_class_is_kept_empty_and_a_suspended_person_out() -> None:
    want = world("7a: bob")
    target = Target.of(world("7a: ann bob; 7b: ann"))
    _, remembered = run(want, target, baseline(world("7a: ann bob; 7b: ann")))
    target.join("7b", "bob")
    target.join("7a", "ann")
    assert told(plan(want, target, remembered)) == [
        "Remove Membership 7a/ann Learner: Intruder",
        "Remove Membership 7b/bob Learner: Intruder",
    ]


# -- leaving ---------------------------------------------------------------------------------------------------------

FULL = world("7a: ann bob tom* eve* ; 7b: bob", rights=["eve"])
LESS = world("7a: bob; 7b: bob")


def test_by_default_students_are_suspended_teachers_keep_their_account_and_administrators_everything() -> None:
    target = Target.of(FULL)
    said, remembered = run(LESS, target, baseline(FULL))
    assert said == [
        "Remove Membership 7a/ann Learner: LeftSource",
        "Remove Membership 7a/tom Coach: LeftSource",
        "Suspend Person ann: LeftSource",
    ]
    for _ in range(2):  # also when the last applied state no longer knows them
        said, remembered = run(LESS, target, remembered)
        assert said == []


@pytest.mark.parametrize(
    ("removal", "going"),
    [
        (
            Removal(students=ACCOUNT, teachers=SUSPEND, administrators=ACCOUNT),
            [
                "Remove Right eve Administrator: LeftSource",
                "Remove Membership 7a/ann Learner: LeftSource",
                "Remove Membership 7a/eve Coach: LeftSource",
                "Remove Membership 7a/tom Coach: LeftSource",
                "Suspend Person tom: LeftSource",
            ],
        ),
        (
            Removal(students=KEEP, teachers=KEEP, administrators=SUSPEND),
            [
                "Remove Right eve Administrator: LeftSource",
                "Remove Membership 7a/eve Coach: LeftSource",
                "Suspend Person eve: LeftSource",
            ],
        ),
        (Removal(students=KEEP, teachers=KEEP, administrators=KEEP), []),
    ],
)
def test_leavers_are_treated_by_what_they_were(removal: Removal, going: list[str]) -> None:
    target = Target.of(FULL)
    said, remembered = run(LESS, target, baseline(FULL), removal=removal)
    assert said == going
    for _ in range(2):
        said, remembered = run(LESS, target, remembered, removal=removal)
        assert said == []


def test_keep_keeps_what_had_a_reason_and_nothing_else() -> None:
    keep = Removal(students=KEEP, teachers=KEEP, administrators=KEEP)
    target = Target.of(FULL)
    _, remembered = run(LESS, target, baseline(FULL), removal=keep)
    target.join("7b", "ann")
    target.rights.add(target.account("tom"))
    said, remembered = run(LESS, target, remembered, removal=keep)
    assert said == ["Remove Right tom Administrator: Intruder", "Remove Membership 7b/ann Learner: Intruder"]
    assert run(LESS, target, remembered, removal=keep)[0] == []


def test_a_right_made_by_hand_protects_nobody_who_leaves() -> None:
    target = Target.of(FULL)
    target.rights.add(target.account("ann"))
    assert told(plan(LESS, target, FULL)) == [
        "Remove Right ann Administrator: Intruder",
        "Remove Membership 7a/ann Learner: LeftSource",
        "Remove Membership 7a/tom Coach: LeftSource",
        "Suspend Person ann: LeftSource",
    ]


def test_a_right_that_the_records_revoke_stays_or_goes_as_administrators_do() -> None:
    less = world("7a: ann bob tom* eve*; 7b: bob")
    target = Target.of(FULL)
    assert plan(less, target, FULL).empty
    gone = plan(less, target, FULL, removal=Removal(administrators=ACCOUNT))
    assert told(gone) == ["Remove Right eve Administrator: LeftSource"]


def test_a_class_that_leaves_is_emptied_and_archived() -> None:
    old, new = world("7a: ann; 7b: ann"), world("7a: ann")
    assert told(plan(new, Target.of(old), old)) == [
        "Remove Membership 7b/ann Learner: LeftSource",
        "Archive Class 7b: LeftSource",
    ]


def test_an_archived_class_is_empty_whoever_is_kept() -> None:
    keep = Removal(students=KEEP, teachers=KEEP, administrators=KEEP)
    old = world("7a: ann; 7b: bob tom*", rights=["tom"])
    target = Target.of(old)
    said, remembered = run(world("7a: ann"), target, baseline(old), removal=keep)
    assert said == [
        "Remove Membership 7b/bob Learner: LeftSource",
        "Remove Membership 7b/tom Coach: LeftSource",
        "Archive Class 7b: LeftSource",
    ]
    assert run(world("7a: ann"), target, remembered, removal=keep)[0] == []


def test_a_class_in_which_somebody_stands_still_is_not_archived() -> None:
    old, new = world("7a: ann; 7b: ann bob; 7c: bob"), world("7a: ann bob")
    target = Target.of(old)
    actual = target.actual(conflicts=[("s1", "ann")])
    changes = plan(new, actual, old)
    assert told(changes) == [
        "Create Membership 7a/bob Learner: SourceAdded",
        "Remove Membership 7b/bob Learner: Moved",
        "Remove Membership 7c/bob Learner: Moved",
        "Archive Class 7c: LeftSource",
    ]
    remembered = expected(desired(new), actual, changes, before=baseline(old)).settled(
        changes, identity(target.apply(changes))
    )
    assert told(plan(new, target, remembered)) == [
        "Remove Membership 7b/ann Learner: LeftSource",
        "Archive Class 7b: LeftSource",
    ]


def test_a_class_that_is_kept_stays_as_it_is_but_for_people_who_left() -> None:
    keep = Removal(classes=ClassRemoval.KEEP)
    old, new = world("7a: ann; 7b: ann bob tom*"), world("7a: ann")
    target = Target.of(old)
    target.join("7b", target.own_account("Guest"))
    said, remembered = run(new, target, baseline(old), removal=keep)
    assert said == [
        "Remove Membership 7b/bob Learner: LeftSource",
        "Remove Membership 7b/tom Coach: LeftSource",
        "Suspend Person bob: LeftSource",
    ]
    assert run(new, target, remembered, removal=keep)[0] == []
    target.join("7b", "bob")  # who left has no place in it any more
    assert run(new, target, remembered, removal=keep)[0] == ["Remove Membership 7b/bob Learner: Intruder"]


def test_a_school_that_leaves_stays_and_its_people_and_classes_go() -> None:
    home, away = world("7a: ann"), world("8a: bob tom*", school="s2")
    assert told(plan(home, Target.of(both(home, away)), both(home, away))) == [
        "Remove Membership s2/8a/bob Learner: LeftSource",
        "Remove Membership s2/8a/tom Coach: LeftSource",
        "Archive Class s2/8a: LeftSource",
        "Suspend Person s2/bob: LeftSource",
    ]


# -- when ------------------------------------------------------------------------------------------------------------

NOW = datetime(2027, 1, 15, 2, tzinfo=UTC)
WEEK = timedelta(7)


def night(
    want: World, target: Target, before: Baseline, *, days: float, removal: Removal | None = None
) -> tuple[list[str], list[str], Baseline]:
    """A run so many days from now in which the guards let all pass: what was done, what waits, the baseline."""
    actual, now = target.actual(), NOW + timedelta(days)
    removal = removal or Removal()
    changes = diff(desired(want), actual, baseline=before, removal=removal, now=now)
    remembered = expected(desired(want), actual, changes, before=before, passed=changes, now=now)
    rest = target.apply(changes.due)
    return told(changes.due), told(changes.waiting), remembered.settled(changes.due, identity(rest))


def test_accounts_and_classes_wait_for_their_day_and_all_else_does_not() -> None:
    old, new = world("7a: ann bob tom*; 7b: ann"), world("7a: bob tom*")
    target, before = Target.of(old), baseline(old)
    done, waits, before = night(new, target, before, days=0)
    assert done == ["Remove Membership 7a/ann Learner: LeftSource", "Remove Membership 7b/ann Learner: LeftSource"]
    assert waits == ["Archive Class 7b: LeftSource", "Suspend Person ann: LeftSource"]
    since = before.kept["since"].to_list()
    assert since == [NOW, NOW]
    assert night(new, target, before, days=6.9)[:2] == ([], waits)
    done, waits, before = night(new, target, before, days=7)
    assert (done, waits) == (["Archive Class 7b: LeftSource", "Suspend Person ann: LeftSource"], [])
    assert before.kept.is_empty()


ONE_LESS = world("7a: ann bob tom*"), world("7a: bob tom*")


def test_without_grace_nothing_waits() -> None:
    old, new = ONE_LESS
    done, waits, _ = night(new, Target.of(old), baseline(old), days=0, removal=Removal(grace=Duration.parse("0s")))
    assert done == ["Remove Membership 7a/ann Learner: LeftSource", "Suspend Person ann: LeftSource"]
    assert waits == []


def test_a_grace_in_months_ends_on_a_day_of_the_calendar() -> None:
    old, new = ONE_LESS
    removal = Removal(grace=Duration.parse("1mo"))
    changes = diff(desired(new), Target.of(old).actual(), baseline=baseline(old), removal=removal, now=NOW)
    assert changes.waiting.changes["due"].to_list() == [datetime(2027, 2, 15, 2, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("want", "stays"),
    [
        ("7a: ann; 7b: ann tom*", True),  # tom teaches elsewhere
        ("7a: ann; 7b: ann", True),
        ("7a: ann zoe*; 7b: ann", False),  # there is another
        ("7b: ann", False),  # the class is gone
        ("7a:; 7b: ann", False),  # nobody is left to be taught
        ("7a: ann tom; 7b: ann", False),  # tom learns there now
    ],
)
def test_only_the_last_teacher_of_a_class_in_use_stays(want: str, stays: bool) -> None:  # noqa: FBT001  # pytest passes parameters by name
    old = world("7a: ann tom*; 7b: ann")
    _, waits, _ = night(world(want), Target.of(old), baseline(old), days=0)
    assert ("Remove Membership 7a/tom Coach" in {said.partition(":")[0] for said in waits}) is stays


def test_an_edit_in_git_takes_the_last_teacher_at_once() -> None:
    old, new = world("7a: ann tom*"), world("7a: ann")
    changes = diff(
        desired(new),
        Target.of(old).actual(),
        baseline=baseline(old),
        removal=Removal(),
        now=NOW,
        intermediate=desired(old),
    )
    assert told(changes.due) == ["Remove Membership 7a/tom Coach: SharingChanged"]


def test_an_intruder_who_teaches_alone_is_out_at_once() -> None:
    want = world("7a: ann")
    target = Target.of(world("7a: ann"))
    target.join("7a", target.own_account("Guest"), COACH)
    done, waits, _ = night(want, target, baseline(want), days=0)
    assert ([said.rpartition(": ")[2] for said in done], waits) == (["Intruder"], [])


def test_what_was_let_through_is_not_for_another_reason() -> None:
    """Somebody arrives under the name of one who left some days ago: perhaps that is the same child."""
    old, less = ONE_LESS
    target = Target.of(old)
    _, _, before = night(less, target, baseline(old), days=0)
    new = world("7a: bob tom* p-1")
    new = replace(new, people={**new.people, ("s1", "p-1"): "Name ann"})
    changes = diff(desired(new), target.actual(), baseline=before, removal=Removal(), now=NOW + timedelta(3))
    asked = changes.changes.filter(pl.col("key") == "ann")
    assert told(Plan(asked)) == ["Suspend Person ann: IdChanged"]
    assert asked["passed"].to_list() == [None]


def test_what_the_guards_did_not_let_through_is_judged_again() -> None:
    target, actual = Target.of(FULL), Target.of(FULL).actual()
    changes = diff(desired(LESS), actual, baseline=baseline(FULL), removal=Removal(), now=NOW)
    held = expected(
        desired(LESS), actual, changes, before=baseline(FULL), passed=Plan(changes.changes.clear()), now=NOW
    )
    later = diff(desired(LESS), target.actual(), baseline=held, removal=Removal(), now=NOW + timedelta(8))
    assert later.waiting.empty
    assert later.changes["passed"].null_count() == later.changes.height


def test_what_cannot_be_seen_for_a_night_keeps_its_day() -> None:
    old, new = ONE_LESS
    target = Target.of(old)
    _, _, before = night(new, target, baseline(old), days=0)
    for unseen in (target.actual(unsure=["s1"]), target.actual(complete=False)):
        changes = diff(desired(new), unseen, baseline=before, removal=Removal(), now=NOW + timedelta(1))
        assert changes.empty
        later = expected(desired(new), unseen, changes, before=before, passed=changes, now=NOW + timedelta(1))
        assert later.kept.equals(before.kept)


def test_a_baseline_without_moments_is_dated_when_it_is_next_stored() -> None:
    target = Target.of(FULL)
    _, old = run(LESS, target, baseline(FULL), removal=Removal(students=KEEP))
    old = replace(old, kept=old.kept.drop("since", "passed", "hold"))
    assert not is_current(old, target.actual())
    _, _, dated = night(LESS, target, old, days=0, removal=Removal(students=KEEP))
    assert set(dated.kept["since"]) == {NOW}
    assert is_current(dated, target.actual())


def test_what_an_edit_of_the_app_takes_away_is_told_from_who_left() -> None:
    keep = Removal(students=KEEP, classes=ClassRemoval.KEEP)
    old, less = world("7a: ann bob cid tom*; 7b: ann"), world("7a: bob cid tom*")
    target = Target.of(old)
    _, _, before = night(less, target, baseline(old), days=0, removal=keep)
    changes = diff(
        desired(world("7a: bob tom*")),
        target.actual(),
        baseline=before,
        removal=Removal(),
        removal_before=Removal(classes=ClassRemoval.KEEP),
        now=NOW + timedelta(20),
    )
    assert told(changes) == [
        "Remove Membership 7a/ann Learner: LeftSource",
        "Remove Membership 7a/cid Learner: LeftSource",
        "Remove Membership 7b/ann Learner: LeftSource",
        "Archive Class 7b: SpecChanged",
        "Suspend Person ann: LeftSource",
        "Suspend Person cid: LeftSource",
    ]


# -- causes ----------------------------------------------------------------------------------------------------------


def test_an_edit_of_the_rules_has_a_cause_of_its_own() -> None:
    old, new = world("7a: ann; 7b: bob"), world("7a: ann; 7c: cid eve")
    by_old_rules = world("7a: ann; 7b: bob; 7c: eve")
    assert told(plan(new, Target.of(old), old, old_rules=by_old_rules)) == [
        "Create Person cid: SharingChanged",
        "Create Person eve: SourceAdded",
        "Create Class 7c: SourceAdded",
        "Create Membership 7c/cid Learner: SharingChanged",
        "Create Membership 7c/eve Learner: SourceAdded",
        "Remove Membership 7b/bob Learner: SharingChanged",
        "Archive Class 7b: SharingChanged",
        "Suspend Person bob: SharingChanged",
    ]


def test_a_cause_outlives_a_run_that_did_nothing() -> None:
    old, new = world("7a: ann; 7b: bob"), world("7a: ann; 7c: cid")
    target = Target.of(old)
    target.leave("7a", "ann")
    said, remembered = run(new, target, baseline(old), old_rules=old, first=0)
    assert "Create Person cid: SharingChanged" in said
    assert "Suspend Person bob: SharingChanged" in said
    assert "Create Membership 7a/ann Learner: Drift" in said
    again, remembered = run(new, target, remembered)
    assert again == said
    assert run(new, target, remembered)[0] == []


def records(*, enrolled_until: date | None, term_until: date | None) -> Roster:
    """One school, classes 7a (no term) and 7b (one term); ann and bob learn in both, tom teaches both."""
    tables: dict[str, list[tuple[object, ...]]] = {
        "orgs": [("s1", "School", "school", None, None)],
        "sessions": [("t1", "Term", "term", date(2026, 8, 1), term_until, None, 2027)],
        "classes": [
            ("7a", "Class 7a", "", "scheduled", [], [], None, 0, []),
            ("7b", "Class 7b", "", "scheduled", [], [], None, 0, [0]),
        ],
        "users": [(key, True, key, key, key, "", "", [], []) for key in ("ann", "bob", "tom")],
        "enrollments": [
            (section, user, "teacher" if user == 2 else "student", False, None, None if user else enrolled_until)
            for section in (0, 1)
            for user in (0, 1, 2)
        ],
    }
    return Roster(
        **{name: pl.DataFrame(tables.get(name, []), schema=schema, orient="row") for name, schema in SCHEMAS.items()}
    )


def test_what_is_over_is_told_from_what_is_gone() -> None:
    old = world("7a: ann bob tom*; 7b: ann bob tom*")
    past, future = date(2027, 1, 1), date(2027, 6, 1)
    enrolment = records(enrolled_until=past, term_until=future)
    assert told(plan(world("7a: bob tom*; 7b: bob tom*"), Target.of(old), old, roster=enrolment)) == [
        "Remove Membership 7a/ann Learner: TermEnded",
        "Remove Membership 7b/ann Learner: TermEnded",
        "Suspend Person ann: TermEnded",
    ]
    term = records(enrolled_until=None, term_until=past)
    assert told(plan(world("7a: ann bob"), Target.of(old), old, roster=term)) == [
        "Remove Membership 7a/tom Coach: LeftSource",
        "Remove Membership 7b/ann Learner: RolledOver",
        "Remove Membership 7b/bob Learner: RolledOver",
        "Remove Membership 7b/tom Coach: RolledOver",
        "Archive Class 7b: RolledOver",
    ]


def test_a_term_that_ends_in_the_middle_of_the_year_is_no_roll_over() -> None:
    old, past = world("7b: ann tom*"), date(2027, 1, 1)
    roster = records(enrolled_until=None, term_until=past)
    summer = pl.DataFrame(
        [("y1", "Year", "schoolYear", None, date(2027, 6, 1), None, 2027)], schema=SCHEMAS["sessions"], orient="row"
    )
    roster = replace(roster, sessions=pl.concat([roster.sessions, summer]))
    assert told(plan(World(), Target.of(old), old, roster=roster)) == [
        "Remove Membership 7b/ann Learner: TermEnded",
        "Remove Membership 7b/tom Coach: TermEnded",
        "Archive Class 7b: TermEnded",
        "Suspend Person ann: LeftSource",  # who is in 7a still, says the records
    ]


def test_a_class_whose_section_is_a_later_one_has_ended_with_its_school_year() -> None:
    old, new = world("7b: ann tom*"), world("7b@2028: bob tom*; -: ann")
    roster = records(enrolled_until=None, term_until=date(2027, 6, 1))
    later = pl.col("id").replace({"7b": "7b@2028"})
    roster = replace(roster, classes=roster.classes.with_columns(later))
    found = told(plan(new, Target.of(old), old, roster=roster))
    assert [line for line in found if "7b" in line and "@" not in line] == [
        "Remove Membership 7b/ann Learner: RolledOver",
        "Remove Membership 7b/tom Coach: RolledOver",
        "Archive Class 7b: RolledOver",
    ]


def test_a_record_that_is_not_over_is_no_end_of_a_term() -> None:
    """The class is there and runs, and is not shared any more, since its subject changed, say."""
    old, new = world("7a: bob tom*; 7b: bob tom*"), world("7a: bob tom*")
    roster = records(enrolled_until=None, term_until=date(2027, 6, 1))
    assert {cause.rpartition(": ")[2] for cause in told(plan(new, Target.of(old), old, roster=roster))} == {
        "LeftSource"
    }
    role_changed = world("7a: bob* tom*; 7b: bob tom*")
    assert told(plan(role_changed, Target.of(old), old, roster=roster))[-1] == (
        "Remove Membership 7a/bob Learner: LeftSource"
    )


def test_who_is_denied_is_out_whatever_is_kept_held_or_in_question() -> None:
    old = world("7a: ann tom* eve*", rights=["eve"])
    target, keep = Target.of(old), Removal(students=KEEP, teachers=KEEP, administrators=KEEP, classes=ClassRemoval.KEEP)
    want = world("7a: ann tom*")
    conflicts = [("s1", "eve")]
    changes = diff(
        desired(want), target.actual(conflicts=conflicts), baseline=baseline(old), removal=keep, denied=["eve"]
    )
    assert (
        told(changes.under(Policy.UPSERT_ONLY))
        == told(changes)
        == [
            "Remove Right eve Administrator: Denied",
            "Remove Membership 7a/eve Coach: Denied",
            "Suspend Person eve: Denied",
        ]
    )
    assert diff(desired(want), target.actual(), baseline=baseline(old), removal=keep).empty


def test_who_leaves_and_arrives_under_one_name_is_a_question_both_ways() -> None:
    old, new = world("7a: u-1 u-2 tom*"), world("7a: p-1 u-2 tom*; 7b: u-9")
    new = replace(new, people={**new.people, ("s1", "p-1"): " NAME U-1 "})
    target, before = Target.of(old), baseline(old)
    asked = [
        "Create Person p-1: IdChanged",
        "Create Person u-9: SourceAdded",
        "Create Class 7b: SourceAdded",
        "Create Membership 7a/p-1 Learner: IdChanged",
        "Create Membership 7b/u-9 Learner: SourceAdded",
        "Remove Membership 7a/u-1 Learner: IdChanged",
        "Suspend Person u-1: IdChanged",
    ]
    assert told(plan(new, target, before)) == asked
    elsewhere = both(world("7a: u-2 tom*"), world("8a: p-1", school="s2"))
    elsewhere = replace(elsewhere, people={**elsewhere.people, ("s2", "p-1"): "Name u-1"})
    causes = {said.rpartition(": ")[2] for said in told(plan(elsewhere, target, before))}
    assert causes == {"SourceAdded", "LeftSource"}, "another school has other people of that name"


# -- standing still --------------------------------------------------------------------------------------------------


def test_an_incomplete_reading_removes_nothing() -> None:
    target = Target.of(FULL)
    target.leave("7b", "bob")
    target.join("7b", "tom")
    assert told(plan(LESS, target.actual(complete=False), FULL)) == ["Create Membership 7b/bob Learner: Drift"]


def test_without_a_baseline_nothing_is_removed() -> None:
    target = Target.of(FULL)
    target.join("7b", target.own_account("Guest"))
    target.rights.add(target.account("bob"))
    assert told(plan(both(LESS, world("-: zoe")), target, None)) == ["Create Person zoe: FirstSync"]


def test_after_a_lost_store_what_is_marked_counts_as_having_left_and_never_as_an_intruder() -> None:
    target = Target.of(FULL)
    guest = target.own_account("Guest")
    target.join("7b", guest)
    said, remembered = run(LESS, target, None)
    assert said == []
    assert told(plan(LESS, target, remembered)) == [
        "Remove Membership 7a/ann Learner: LeftSource",
        "Remove Membership 7a/tom Coach: LeftSource",
        f"Remove Membership 7b/{guest} Learner: Intruder",
    ]  # ann's account stays: nobody remembers what she was; eve is an administrator


def test_a_school_that_could_not_be_read_stands_still_and_is_remembered_as_it_was() -> None:
    old = both(world("7a: ann tom*"), world("8a: bob cid", school="s2"))
    new = both(world("7a: ann tom* zoe"), world("8a: cid eve; 8b: eve", school="s2", names="8a"))
    target = Target.of(old)
    actual = target.actual(unsure=["s2"])
    changes = plan(new, actual, old)
    assert told(changes) == ["Create Person zoe: SourceAdded", "Create Membership 7a/zoe Learner: SourceAdded"]
    remembered = expected(desired(new), actual, changes, before=baseline(old))
    target.apply(changes)
    later = plan(new, target, remembered.settled(changes, identity(changes.changes.clear())))
    assert told(later) == [
        "Create Person s2/eve: SourceAdded",
        "Create Class s2/8b: SourceAdded",
        "Update Class s2/8a: SourceChanged",
        "Create Membership s2/8a/eve Learner: SourceAdded",
        "Create Membership s2/8b/eve Learner: SourceAdded",
        "Remove Membership s2/8a/bob Learner: LeftSource",
        "Suspend Person s2/bob: LeftSource",
    ]


def test_a_school_that_was_never_read_loses_nothing_when_it_is() -> None:
    home, away = world("7a: ann"), world("8a: bob cid", school="s2")
    target = Target.of(both(home, away))
    want = both(home, world("8a: cid", school="s2"))
    actual = target.actual(unsure=["s2"])
    first = plan(want, actual, None)
    remembered = expected(desired(want), actual, first, before=None)
    said, remembered = run(want, target, remembered)
    assert said == []
    assert run(want, target, remembered)[0] == ["Remove Membership s2/8a/bob Learner: LeftSource"]


def test_after_an_incomplete_reading_a_leaver_is_still_a_leaver() -> None:
    target = Target.of(FULL)
    actual = target.actual(complete=False)
    changes = plan(LESS, actual, FULL)
    remembered = expected(desired(LESS), actual, changes, before=baseline(FULL))
    assert told(plan(LESS, target, remembered)) == told(plan(LESS, target, FULL))


def test_a_conflict_stands_still_both_ways() -> None:
    old, new = world("7a: ann bob cid tom*; 7b: ann", rights=["tom"]), world("7a: bob; 7b: ann zoe")
    target = Target.of(old)
    target.leave("7b", "ann")
    target.rename_person("ann", "Somebody else")
    still = [("s1", "ann"), ("s1", "cid"), ("s1", "tom"), ("s1", "zoe")]
    changes = plan(new, target.actual(conflicts=still), old, removal=Removal(administrators=SUSPEND))
    assert changes.empty
    remembered = expected(desired(new), target.actual(conflicts=still), changes, before=baseline(old))
    assert told(plan(new, target, remembered, removal=Removal(administrators=SUSPEND))) == [
        "Create Person zoe: SourceAdded",
        "Update Person ann: Drift",
        "Create Membership 7b/ann Learner: Drift",
        "Create Membership 7b/zoe Learner: SourceAdded",
        "Remove Right tom Administrator: LeftSource",
        "Remove Membership 7a/ann Learner: Moved",
        "Remove Membership 7a/cid Learner: LeftSource",
        "Remove Membership 7a/tom Coach: LeftSource",
        "Suspend Person cid: LeftSource",
        "Suspend Person tom: LeftSource",
    ]


def test_what_the_records_changed_during_a_conflict_is_no_drift_after_it() -> None:
    old, new = world("7a: ann bob"), world("7a: ann bob", names="ann")
    target = Target.of(old)
    actual = target.actual(conflicts=[("s1", "ann")])
    changes = plan(new, actual, old)
    assert changes.empty
    remembered = expected(desired(new), actual, changes, before=baseline(old))
    assert told(plan(new, target, remembered)) == ["Update Person ann: SourceChanged"]


@pytest.mark.parametrize("claimed", [True, False])
def test_a_key_that_two_accounts_carry_stands_still(claimed: bool) -> None:  # noqa: FBT001  # pytest passes parameters by name
    """Also when the target forgot to say so."""
    old, new = world("7a: ann bob cid"), world("7a: ann")
    target = Target.of(old)
    for key in ("ann", "bob"):
        twin = target.own_account("Twin")
        target.people[target.account(twin)] = Account("s1", key, "Twin")
        target.members.add((target.section("7a"), target.account(twin), COACH))
    target.leave("7a", "ann")
    conflicts = [("s1", "ann"), ("s1", "bob")] if claimed else []
    assert told(plan(new, target.actual(conflicts=conflicts), old)) == [
        "Remove Membership 7a/cid Learner: LeftSource",
        "Suspend Person cid: LeftSource",
    ]


def test_a_school_marked_twice_stands_still() -> None:
    old, new = world("7a: ann bob"), world("7a: ann")
    actual = Target.of(old).actual()
    twice = pl.concat([actual.schools, actual.schools.with_columns(external_id=pl.lit("copy"))])
    assert plan(new, replace(actual, schools=twice), old).empty


# -- crashes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, world("7a: ann cid; 7c: cid")])
def test_a_crash_at_any_point_is_repaired_with_the_same_causes(before: World | None) -> None:
    new = world("7a: ann bob; 7b: tom*", rights=["tom"])
    start = baseline(before) if before else None
    undisturbed = Target.of(before) if before else Target()
    said, _ = run(new, undisturbed, start)
    for done in range(len(said) + 1):
        target = Target.of(before) if before else Target()
        actual = target.actual()
        changes = plan(new, actual, start)
        remembered = expected(desired(new), actual, changes, before=start)
        target.apply(changes, done)  # and then the process is killed: what was done is not remembered
        again, remembered = run(new, target, remembered)
        assert again == said[done:]
        assert target.shown() == undisturbed.shown()
        assert run(new, target, remembered)[0] == []


def test_who_came_in_before_a_crash_is_no_intruder_when_leaving_after_it() -> None:
    new = world("7a: ann bob")
    target = Target()
    changes = plan(new, target, None)
    remembered = expected(desired(new), target.actual(), changes, before=None)
    target.apply(changes)
    said, remembered = run(world("7a: bob"), target, remembered)
    assert said == ["Remove Membership 7a/ann Learner: LeftSource", "Suspend Person ann: LeftSource"]
    assert not remembered.first


def test_what_was_stopped_is_planned_again_as_what_it_was() -> None:
    """Held back night after night, a leaver stays a leaver and a student a student."""
    target, remembered = Target.of(FULL), baseline(FULL)
    said = told(plan(LESS, target, FULL))
    for _ in range(3):
        actual = target.actual()
        changes = plan(LESS, actual, remembered)
        assert told(changes) == said
        allowed = changes.under(Policy.UPSERT_ONLY)
        assert allowed.empty
        remembered = expected(desired(LESS), actual, changes, before=remembered).settled(
            allowed, identity(allowed.changes)
        )


def test_a_baseline_without_causes_can_be_read() -> None:
    bare = baseline(FULL)
    bare = replace(bare, kept=bare.kept.drop("cause", "was"), unapplied=bare.unapplied.drop("cause"))
    assert told(plan(LESS, Target.of(FULL), bare)) == told(plan(LESS, Target.of(FULL), FULL))


# -- sizes, bytes ----------------------------------------------------------------------------------------------------


def test_sizes_count_our_people_in_use_and_the_memberships_of_our_classes() -> None:
    target = Target.of(both(FULL, world("8a: zoe", school="s2")))
    stranger = target.own_account("Guest")
    target.join("7a", stranger)
    target.members.add((target.own_class("Chess"), target.account("ann"), "Learner"))
    target.people[target.account("tom")] = replace(target.people[target.account("tom")], suspended=True)
    target.rights |= {target.account("bob"), target.account("tom")}
    assert set(sizes(target.actual()).rows()) == {
        ("Membership", "s1", "7a", 5),
        ("Membership", "s1", "7b", 1),
        ("Membership", "s1", None, 6),
        ("Person", "s1", None, 3),
        ("Class", "s1", None, 2),
        ("Right", "s1", None, 2),  # eve and bob: tom is suspended
        ("School", "s1", None, 1),
        ("Membership", "s2", "8a", 1),
        ("Membership", "s2", None, 1),
        ("Person", "s2", None, 1),
        ("Class", "s2", None, 1),
        ("School", "s2", None, 1),
    }
    assert sizes(Target().actual()).is_empty()


def test_the_order_of_rows_changes_nothing() -> None:
    target = Target.of(FULL)
    target.join("7b", target.own_account("Guest"))
    want = both(LESS, world("9a: zoe tom*; 9b: zoe", school="s3", rights=["tom"]))
    digests = {
        diff(desired(want, seed), target.actual(seed), baseline=baseline(FULL), removal=Removal()).digest()
        for seed in range(20)
    }
    assert len(digests) == 1
    assert digests != {plan(want, target, LESS).digest()}
