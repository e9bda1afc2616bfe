"""django-rq: the pages of the admin site in a small Django project, as `manage.py runserver` serves them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from compat.clients.answers import Request, mask
from compat.clients.comparison import Comparison, Row, Web
from compat.clients.sides import PLAIN, SIDES, Population
from compat.environments import ROOT, Environment

NAME = 'django-rq'
PINS = ('rq-3.0.0', 'redis-8.1.0', 'django-rq')

MANAGE = ROOT / 'compat' / 'clients' / 'django_project' / 'manage.py'
# Sorted by name they have the numbers that are in the URLs.
QUEUES = ('bulk', 'default', 'queue-02', 'queue-03', 'queue-04', 'queue-05', 'queue-06')
PREFIX = '/admin/django_rq/dashboard'
VARIABLES = {'PROJECT_QUEUES': ','.join(QUEUES)}
USER, PASSWORD = 'admin', 'for a comparison'
FORM_TOKEN = 'csrfmiddlewaretoken=csrftoken'
SEE_LOGIN = Request('/admin/login/')
LOG_IN = Request('/admin/login/', form={'username': USER, 'password': PASSWORD})

MASKS = (
    mask('CSRF token', r'name="csrfmiddlewaretoken" value="(\w{64})"'),
    mask('CSRF token', r'csrftoken=(\w{32})\b'),
    mask('session', r'sessionid=(\w{32})\b'),
    mask('time', r'^Set-Cookie: .*\bexpires=([^;]+);'),
    mask('time', r'^(?:Expires|Last-Modified): (.*)$'),
    mask("number of the side's database", r'(?:[\'"]db[\'"]|&#x27;db&#x27;|&quot;db&quot;): (\d)\b'),
    mask("number of the side's database", r'>DB</div>\s+<div class="rq-field-value">(\d)</div>'),
    mask("number of the side's database", r'redis://127\.0\.0\.1:\d+/(\d)\b'),
    mask('duration', r'^rq_request_processing_seconds_total_sum (\d[\d.e+-]*)$'),
    mask('start', r'^rq_request_processing_seconds_total_created (\d[\d.e+-]*)$'),
)


def compare(population: Population, environment: Environment) -> list[Row]:
    """Run it on both sides, and return what was compared."""
    comparison = Comparison(NAME, population, environment, MASKS)

    with tempfile.TemporaryDirectory() as folder:
        folders = {side.name: Path(folder, side.name) for side in SIDES}
        for path in folders.values():
            path.mkdir()
            make_site(path, population, environment)
        with comparison.web(lambda _, port: serve_command(port), folders, **VARIABLES) as web:
            web.ask(SEE_LOGIN)
            web.ask(LOG_IN, 302, FORM_TOKEN)
            look(web)
            change(web)
    return comparison.rows


def make_site(folder: Path, population: Population, environment: Environment) -> None:
    """Make the site's database, with a user who may see everything."""
    variables = environment.variables(
        accelerated=False,
        RQ_REDIS_URL=population.url(PLAIN),
        **VARIABLES,
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
    )
    manage = [str(environment.python), str(MANAGE)]
    subprocess.run([*manage, 'migrate', '--verbosity', '0'], cwd=folder, env=variables, check=True)
    create = ['createsuperuser', '--noinput', '--verbosity', '0', '--username', USER, '--email', 'admin@example.com']
    subprocess.run([*manage, *create], cwd=folder, env=variables, check=True)


def serve_command(port: int) -> list[str]:
    """Return what serves the site, in the folder where it was made."""
    return ['python', str(MANAGE), 'runserver', '--noreload', f'127.0.0.1:{port}']


def of(queue: str) -> str:
    """Return where the pages of a queue are."""
    return f'{PREFIX}/queues/{QUEUES.index(queue)}'


def look(web: Web) -> None:
    """Ask for every page that only shows something."""
    # The overview cleans up.
    for path in ('/admin/', f'{PREFIX}/', f'{PREFIX}/stats.json', f'{PREFIX}/metrics', '/django-rq/'):
        web.ask(Request(path))
    for queue in QUEUES:
        for page in ('', 'details/', 'failed/', 'finished/', 'started/', 'deferred/', 'scheduled/'):
            web.ask(Request(f'{of(queue)}/{page}'))
    for page in ('?page=2', '?page=1000', '?page=2000&desc=1', '?desc=0', '?page=99999'):
        web.ask(Request(f'{of("default")}/failed/{page}'))
    for job_id in (*(f'default-{n:06}' for n in range(8)), 'default-started', 'default-deferred', 'default-scheduled'):
        web.ask(Request(f'{of("default")}/{job_id}/'))
    web.ask(Request(f'{of("default")}/no-such-job/'), expected=404)
    web.ask(Request(f'{PREFIX}/workers/0/'))
    web.ask(Request(f'{PREFIX}/workers/0/rq:worker:worker-0/'), keys=True)


def change(web: Web) -> None:
    """Requeue, delete and clear, with the page that asks before and the pages that tell after it."""
    default = of('default')
    press(web, f'{default}/default-000001/requeue/')
    press(web, f'{default}/default-000002/delete/')
    press(web, f'{default}/default-deferred/enqueue/')
    press(web, f'{of("queue-05")}/queue-05-finished-1/delete/')
    press(web, f'{of("queue-06")}/failed/clear/')
    press(web, f'{of("queue-05")}/empty/')
    press(web, f'{of("queue-04")}/requeue-all/')
    web.ask(Request(f'{PREFIX}/stats.json'), keys=True)
    press(web, f'{of("bulk")}/requeue-all/')
    web.ask(Request(f'{PREFIX}/stats.json'), keys=True)
    for action, job_ids in (
        ('requeue', ['default-000003', 'default-000004', 'default-scheduled', 'no-such-job']),
        ('delete', ['default-000005', 'default-finished-1']),
        ('stop', ['default-000006']),
    ):
        chosen: dict[str, str | list[str]] = {'action': action, '_selected_action': job_ids}
        number = QUEUES.index('default')
        web.ask(Request(f'{PREFIX}/queues/confirm-action/{number}/', form=chosen), form_token=FORM_TOKEN)
        confirmed: dict[str, str | list[str]] = {
            'action': action,
            'job_ids': [i for i in job_ids if i != 'no-such-job'],
        }
        web.ask(Request(f'{PREFIX}/queues/actions/{number}/', form=confirmed), 302, FORM_TOKEN)
    web.ask(Request(f'{PREFIX}/'), keys=True)


def press(web: Web, path: str) -> None:
    """See the page, send its form, and see the overview with the message."""
    web.ask(Request(path))
    web.ask(Request(path, form={'post': 'yes'}), 302, FORM_TOKEN)
    web.ask(Request(f'{PREFIX}/stats.json'))
