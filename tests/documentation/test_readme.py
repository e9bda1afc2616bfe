"""README.md: short, its first code runs as it stands, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from documents import (
    CONTRIBUTING,
    DOCS,
    PAGES,
    README,
    ROOT,
    code_blocks,
    headings,
    relative_links,
    rendered_text,
    source_of,
)
from rq import Queue, SimpleWorker
from rq.utils import now, utcformat

sys.path.insert(0, str(DOCS / 'program'))

import shop

if TYPE_CHECKING:
    from pathlib import Path

    from private_redis import PrivateRedis
    from redis import Redis

MOST_WORDS = 1200
# What a plain `Redis()` connects to is this server: the reader's is at the default port.
RUN = """
import sys
from demo.plain_redis import redirect_plain_clients
redirect_plain_clients(int(sys.argv[1]))
exec(compile(sys.stdin.read(), 'README.md', 'exec'), {'__name__': '__main__'})
"""


def test_readme_has_at_most_1200_words() -> None:
    assert len(rendered_text(source_of(README)).split()) <= MOST_WORDS


def test_rendered_text_is_what_a_reader_sees() -> None:
    markdown = (
        '<!-- hidden -->\n[two words](a/link.md)\n\n| a | b |\n|---|---|\n| `c d` | 5 |\n\n```sh\nmake test\n```\n'
    )
    assert rendered_text(markdown).split() == ['two', 'words', 'a', 'b', 'c', 'd', '5', 'make', 'test']


def test_requirements_are_those_of_the_install_page() -> None:
    (requirements,) = re.findall(r'It needs (RQ .* on Linux)', ' '.join(source_of(README).split()))
    assert requirements in ' '.join(source_of(DOCS / 'install.md').split())


def keys_of(connection: Redis) -> dict[bytes, bytes]:
    return {key: connection.dump(key) for key in connection.scan_iter()}


def test_first_code_runs_as_it_stands_and_only_reads(redis_server: PrivateRedis, connection: Redis) -> None:
    code, *_ = code_blocks(source_of(README), 'python')
    queue = Queue(connection=connection)
    jobs = [queue.enqueue(shop.send_mail, order) for order in range(5)]
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level='CRITICAL')
    for job in jobs[:2]:
        moment = utcformat(now() - timedelta(days=31))
        connection.hset(job.key, mapping=dict.fromkeys(('enqueued_at', 'started_at', 'ended_at'), moment))
    before = keys_of(connection)
    command = [sys.executable, '-c', RUN, str(redis_server.port)]
    ended = subprocess.run(
        command, input=code, cwd=ROOT / 'examples', capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, '')
    count, *failures, requeued, purged, checked = ended.stdout.splitlines()
    assert count == 'default: 0 waiting, 0 running, 5 failed'
    assert {line.split()[0] for line in failures} == {job.id for job in jobs}
    assert {line.split()[1] for line in failures} == {'shop.send_mail'}
    assert requeued.startswith('3 of 3 would be done; ')
    assert purged.startswith('2 of 2 would be done; ')
    assert checked.startswith('no problems in ')
    assert keys_of(connection) == before


def test_headings_are_anchors() -> None:
    assert headings('# A title: `code()`, and more\n') == ['a-title-code-and-more']


@pytest.mark.parametrize('path', [README, CONTRIBUTING, *PAGES], ids=lambda path: path.name)
def test_each_relative_link_leads_somewhere(path: Path) -> None:
    broken = []
    for target in relative_links(source_of(path)):
        file, _, anchor = target.partition('#')
        found = path.parent / file if file else path
        if not found.exists() or (anchor and anchor not in headings(source_of(found))):
            broken.append(target)
    assert broken == []


def test_readme_leads_to_every_page() -> None:
    linked = {target.partition('#')[0] for target in relative_links(source_of(README))}
    assert {f'docs/{page.name}' for page in PAGES} <= linked
