"""The judgement of `make compat` over RQ's suite on both sides: what it must fail for, and what it may let pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from compat.comparing import RUNS_AGAIN, Runs, judge, to_run_again
from compat.report import SuiteResult, details, table

TEST = 'tests/test_registry.py::TestRegistry::test_contains'


def runs(plain: str, accelerated: str) -> Runs:
    """Return the runs of a test, a letter for each: p(assed), f(ailed), s(kipped), m(issing)."""
    names = {'p': 'passed', 'f': 'failed', 's': 'skipped', 'm': 'missing'}
    return Runs(tuple(names[letter] for letter in plain), tuple(names[letter] for letter in accelerated))


def problems(plain: str, accelerated: str, known: dict[str, str] | None = None) -> list[str]:
    return judge({TEST: runs(plain, accelerated)}).problems(known or {})


@pytest.mark.parametrize(('plain', 'accelerated'), [('p', 'p'), ('s', 's')])
def test_the_same_outcome_is_no_problem(plain: str, accelerated: str) -> None:
    assert problems(plain, accelerated) == []


@pytest.mark.parametrize(
    ('plain', 'accelerated'),
    [
        ('p' * 11, 'f' * 11),
        # Once is enough where plain RQ never fails.
        ('p' * 11, 'f' + 'p' * 10),
        # We may not repair RQ either.
        ('f' * 11, 'p' * 11),
        ('f' * 11, 'f' * 10 + 'p'),
        ('p', 's'),
        ('s', 'p'),
        ('p', 'm'),
        ('m', 'p'),
        # Plain RQ fails it too, but seldom.
        ('f' + 'p' * 10, 'f' * 11),
        ('fp' + 'p' * 9, 'f' * 6 + 'p' * 5),
    ],
)
def test_a_difference_is_a_problem(plain: str, accelerated: str) -> None:
    assert problems(plain, accelerated) == [f'differs: {TEST}']


@pytest.mark.parametrize(
    ('plain', 'accelerated'),
    [('f' + 'p' * 10, 'p' * 11), ('pf' + 'p' * 9, 'f' + 'p' * 10), ('fffff' + 'p' * 6, 'p' + 'f' * 6 + 'p' * 4)],
)
def test_what_plain_rq_fails_as_often_is_unsteady(plain: str, accelerated: str) -> None:
    verdict = judge({TEST: runs(plain, accelerated)})
    assert verdict.unsteady == (TEST,)
    assert verdict.problems({}) == []


def test_what_plain_rq_was_seen_to_fail_may_fail_seldom() -> None:
    assert judge({TEST: runs('p' * 11, 'f' + 'p' * 10)}, {TEST}).unsteady == (TEST,)
    assert judge({TEST: runs('p' * 11, 'f' * 6 + 'p' * 5)}, {TEST}).different == (TEST,)
    assert judge({TEST: runs('p' * 11, 'f' + 'p' * 10)}, {'another'}).different == (TEST,)


def test_a_failure_on_both_sides_needs_a_reason() -> None:
    assert problems('f', 'f') == [f'fails on both sides, and no reason is given: {TEST}']
    assert problems('f', 'f', {TEST: 'it needs a network'}) == []


@pytest.mark.parametrize(('plain', 'accelerated'), [('p', 'p'), ('s', 's')])
def test_a_listed_failure_must_fail(plain: str, accelerated: str) -> None:
    assert problems(plain, accelerated, {TEST: 'it needs a network'}) == [f'is listed as failing, and does not: {TEST}']


def test_a_listed_failure_must_be_there() -> None:
    assert judge({}).problems({TEST: 'it needs a network'}) == [f'is listed as failing, and does not: {TEST}']


def test_a_listed_failure_may_not_differ() -> None:
    assert f'differs: {TEST}' in problems('f' * 11, 'p' * 11, {TEST: 'it needs a network'})


@pytest.mark.parametrize(
    ('plain', 'accelerated', 'again'),
    [('p', 'p', False), ('s', 's', False), ('p', 'f', True), ('f', 'p', True), ('f', 'f', True), ('p', 'm', False)],
)
def test_what_is_not_settled_is_run_again(plain: str, accelerated: str, again: bool) -> None:
    assert to_run_again({TEST: runs(plain, accelerated)}, {}) == ([TEST] if again else [])


def test_a_known_failure_is_not_run_again() -> None:
    assert to_run_again({TEST: runs('f', 'f')}, {TEST: 'it needs a network'}) == []


def test_the_report_names_what_differs_and_counts_the_rest() -> None:
    found = {TEST: runs('p' * 11, 'f' + 'p' * RUNS_AGAIN), 'passing': runs('p', 'p'), 'skipping': runs('s', 's')}
    said = {TEST: 'AssertionError: 1 != 2', 'skipping': 'no such server'}
    result = SuiteResult('3.0.0', '8.1.0', 12.0, found, judge(found), {}, said)
    text = details(result)
    assert f'DIFFERENT: {TEST}: plain passed 11 of 11, accelerated passed 10 of 11' in text
    assert 'AssertionError: 1 != 2' in text
    assert 'skipped on both sides: skipping: no such server' in text
    assert table([result]).splitlines()[1].split() == ['3.0.0', '8.1.0', '1', '1', '0', '0', '1', '12']
