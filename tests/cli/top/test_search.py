"""What is typed after `/`."""

from __future__ import annotations

import pytest

from rqreg_ext.cli.top.search import Search, search_for

from .states import failure

JOB = failure('job-1', queue='mail-eu')


@pytest.mark.parametrize(
    'text',
    [
        '',
        '  ',
        'MAIL',
        'mailserverdown refused',
        'queue=mail-*',
        'queue=mail-eu func=shop.send_* exc=*Down worker=w?',
        'id=job-1 refused',
        "'refused'",
        '"refu',
        'x=y refused'.replace('x=y ', ''),
    ],
)
def test_search_matches_row_with_all_words(text: str) -> None:
    assert Search(text).matches(JOB.fields())


@pytest.mark.parametrize(
    'text', ['labels', 'refused labels', 'queue=mail', 'queue=MAIL-EU', 'state=busy', 'x=y', '"refused x"']
)
def test_search_rejects_row_without_some_word(text: str) -> None:
    assert not Search(text).matches(JOB.fields())


def test_missing_value_matches_no_glob() -> None:
    assert not Search('exc=*').matches(failure('a', exc_type=None).fields())


@pytest.mark.parametrize('name', ['mail', 'a*b', '[x]', 'a b', "it's", 'a=b'])
def test_search_for_value_matches_it_only(name: str) -> None:
    search = search_for(queue=name)
    assert search.matches(failure('a', queue=name).fields())
    assert not search.matches(failure('a', queue=f'{name}x').fields())
    assert search.has_queue(name)
    assert not search.has_queue('aXb')


def test_globs_are_filters_of_find() -> None:
    search = Search('func=shop.* exc=KeyError id=a* worker=w1 queue=mail down')
    assert search.filters() == {'func_name': 'shop.*', 'exc_type': 'KeyError', 'job_id': 'a*', 'worker_name': 'w1'}
    assert (search.words, search.has_queue('mail'), search.has_queue('labels')) == (['down'], True, False)
