"""A real Prometheus scrapes the exporter; promtool checks its rules, and the dashboard's queries give data."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli.running import SECONDS, Command
from private_redis import PrivateRedis, free_port
from redis import Redis
from rq import Queue, SimpleWorker, Worker

from rqreg_ext.cli.exporter import command

from .serving import Serving

pytestmark = pytest.mark.skipif(
    shutil.which('prometheus') is None or shutil.which('promtool') is None,
    reason='no prometheus: apt-get install prometheus, as make check-prometheus does',
)

FILES = Path(command.__file__).parent / 'files'
DASHBOARD = json.loads((FILES / 'grafana-dashboard.json').read_text())
QUERIES = [target['expr'] for panel in DASHBOARD['panels'] for target in panel['targets']]
# What Grafana puts in.
VARIABLES = {'$instance': '.*', '$queue': '.*', '$__rate_interval': '1m'}
# Each character that is not printable, and those of markup.
ODD = ''.join(map(chr, range(32))) + '\x7f\x85\u2028"\\{}<>'


def promtool(*arguments: str, given: str = '') -> None:
    """Run promtool, which must have nothing to say against it."""
    ended = subprocess.run(['promtool', *arguments], input=given, capture_output=True, text=True, timeout=SECONDS)
    assert (ended.returncode, ended.stderr.strip()) == (0, ''), ended.stdout


def let_all_be_there(connection: Redis) -> None:
    """Have jobs in all places, and workers that have a past."""
    queue = Queue('mail', connection=connection)
    for _ in range(3):
        queue.enqueue('len', ())
    for _ in range(2):
        queue.enqueue('no.such_function')
    first = SimpleWorker([queue], connection=connection, name='first')
    # A worker takes its name out of Redis when it ends.
    first.register_death = lambda: None
    first.work(burst=True, logging_level='CRITICAL')
    first.prepare_execution(queue.enqueue('len', ()))
    first.set_state('busy')
    connection.persist(first.key)
    Worker([queue], connection=connection, name='second').register_birth()
    Queue('mial', connection=connection).enqueue('len', ())
    connection.sadd('rq:queues', f'rq:queue:{ODD}')


class Prometheus:
    """A Prometheus that scrapes an exporter each second."""

    def __init__(self, folder: Path, exporter: str) -> None:
        self._url = f'http://127.0.0.1:{(port := free_port())}'
        self._log = folder / 'log'
        configuration = folder / 'prometheus.yml'
        configuration.write_text(
            f'global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n'
            f'rule_files: [{FILES / "alerts.yml"}]\n'
            f'scrape_configs: [{{job_name: rq, static_configs: [{{targets: ["{exporter}"]}}]}}]\n'
        )
        with self._log.open('w') as log:
            self._process = subprocess.Popen(
                [
                    'prometheus',
                    f'--config.file={configuration}',
                    f'--storage.tsdb.path={folder / "data"}',
                    f'--web.listen-address=127.0.0.1:{port}',
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what the API answers."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f'{self._url}/api/v1/{path}?{query}', timeout=SECONDS) as answer:
            return json.load(answer)['data']

    def query(self, expression: str) -> list[Any]:
        """Return the results of an instant query."""
        found: list[Any] = self.ask('query', query=expression)['result']
        return found

    def wait_for(self, expression: str) -> None:
        """Wait until a query gives data."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                if self.query(expression):
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, self._log.read_text()
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.2)

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(SECONDS)


@pytest.fixture(scope='module')
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Prometheus]]:
    """An exporter of a Redis that has all, and a Prometheus that has scraped it several times."""
    with PrivateRedis() as server:
        let_all_be_there(server.client())
        with Serving(Command(server.url), '--errors', '5') as serving:
            prometheus = Prometheus(tmp_path_factory.mktemp('prometheus'), serving.root.removeprefix('http://'))
            try:
                prometheus.wait_for('rq_failed_jobs and on () count_over_time(rq_up[1m]) > 3')
                yield serving, prometheus
            finally:
                prometheus.end()


def test_each_scrape_succeeds(scraped: tuple[Serving, Prometheus]) -> None:
    _, prometheus = scraped
    (target,) = prometheus.ask('targets')['activeTargets']
    assert (target['health'], target['lastError']) == ('up', '')
    assert {result['value'][1] for result in prometheus.query('min_over_time(up[1m])')} <= {'1'}
    assert [result['value'][1] for result in prometheus.query('sum(rq_jobs{status="failed"})')] == ['2']


def test_names_reach_prometheus_as_they_are(scraped: tuple[Serving, Prometheus]) -> None:
    _, prometheus = scraped
    assert set(prometheus.ask('label/queue/values')) == {'mail', 'mial', ODD}


@pytest.mark.parametrize('query', QUERIES)
def test_each_query_of_the_dashboard_has_a_result(query: str, scraped: tuple[Serving, Prometheus]) -> None:
    for name, text in VARIABLES.items():
        query = query.replace(name, text)
    assert '$' not in query
    assert scraped[1].query(query)


def test_variables_of_the_dashboard_are_used_and_have_values(scraped: tuple[Serving, Prometheus]) -> None:
    used = set(re.findall(r'\$(\w+)', ' '.join(QUERIES))) - {'__rate_interval'}
    variables = {one['name']: one for one in DASHBOARD['templating']['list']}
    assert used == set(variables) - {'datasource'}
    for name in used:
        series, label = re.fullmatch(r'label_values\((.*), (\w+)\)', variables[name]['definition']).groups()
        for variable, text in VARIABLES.items():
            series = series.replace(variable, text)
        assert scraped[1].ask(f'label/{label}/values', **{'match[]': series})


def test_alert_rules_are_evaluated_and_fire(scraped: tuple[Serving, Prometheus]) -> None:
    _, prometheus = scraped
    prometheus.wait_for('ALERTS{alertname="RQQueueWithoutWorkers", queue="mial"}')
    (group,) = prometheus.ask('rules')['groups']
    assert {rule['health'] for rule in group['rules']} == {'ok'}
    (alert,) = [one for one in prometheus.ask('alerts')['alerts'] if one['labels'].get('queue') == 'mial']
    assert alert['annotations']['summary'] == '1 jobs wait in queue mial, and no worker listens to it.'


def test_promtool_accepts_metrics_of_exporter(scraped: tuple[Serving, Prometheus]) -> None:
    serving, _ = scraped
    promtool('check', 'metrics', given=serving.get()[0])


def test_promtool_accepts_alert_rules() -> None:
    promtool('check', 'rules', str(FILES / 'alerts.yml'))


def test_alert_rules_pass_their_own_tests() -> None:
    promtool('test', 'rules', str(Path(__file__).with_name('alerts.test.yml')))


def test_each_alert_is_tested() -> None:
    alerts = set(re.findall(r'alert: (\w+)', (FILES / 'alerts.yml').read_text()))
    assert alerts == set(re.findall(r'alertname="(\w+)"', Path(__file__).with_name('alerts.test.yml').read_text()))
