"""`rqreg exporter` as a server."""

from __future__ import annotations

import os
import signal
import socket
import threading
import urllib.error
from pathlib import Path

import pytest
from cli.running import Command
from private_redis import PrivateRedis
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from redis import Redis
from rq import Queue

from .serving import Serving, named, value


@pytest.fixture
def serving(rqreg: Command):
    with Serving(rqreg) as server:
        yield server


def test_scrape_gives_text_format(serving: Serving) -> None:
    text, headers = serving.get()
    assert headers['Content-Type'] == 'text/plain; version=0.0.4; charset=utf-8'
    assert 'rq_jobs{queue="mail",status="failed"} 40.0' in text.splitlines()
    assert 'process_resident_memory_bytes ' in text


def test_open_metrics_are_served_if_accepted(serving: Serving) -> None:
    text, headers = serving.get(Accept='application/openmetrics-text; version=1.0.0')
    assert headers['Content-Type'].startswith('application/openmetrics-text; version=1.0.0')
    assert text.endswith('# EOF\n')
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {sample.value for sample in families['rq_jobs'].samples if sample.labels['status'] == 'failed'} == {40, 3}
    assert families['rq_queue_latency_seconds'].type == 'gauge'


@pytest.mark.parametrize(
    'accept', ['', 'text/plain;version=1.0.0', 'application/openmetrics-text; version=x', '*/*', ';;=,']
)
def test_scrape_is_answered_whatever_is_accepted(accept: str, serving: Serving) -> None:
    assert 'rq_up 1.0' in serving.get(Accept=accept)[0]


def test_scrape_is_compressed_if_accepted(serving: Serving) -> None:
    text, headers = serving.get(**{'Accept-Encoding': 'gzip'})
    assert headers['Content-Encoding'] == 'gzip'
    assert 'rq_up 1.0' in text


def test_scrape_of_some_metrics_gives_only_these(serving: Serving) -> None:
    text, _ = serving.get('/metrics?name[]=rq_jobs&name[]=rq_up')
    families = {line.split()[2] for line in text.splitlines() if line.startswith('# TYPE')}
    assert families == {'rq_jobs', 'rq_up'}


def test_other_pages_are_index_health_and_errors(serving: Serving) -> None:
    assert 'href="/metrics"' in serving.get('/')[0]
    assert serving.get('/-/healthy')[0] == 'OK\n'
    with pytest.raises(urllib.error.HTTPError, match='404'):
        serving.get('/metric')
    with pytest.raises(urllib.error.HTTPError, match='405'):
        urllib.request.urlopen(serving.url, data=b'', timeout=60)


def test_deleted_queue_is_no_longer_exported(connection: Redis, changing: Command) -> None:
    for name in ('mail', 'labels'):
        Queue(name, connection=connection).enqueue('len', ())
    with Serving(changing) as serving:
        assert {queue for queue, _ in named(serving.scrape(), 'rq_jobs')} == {'mail', 'labels'}
        Queue('mail', connection=connection).delete()
        samples = serving.scrape_until('rq_jobs', None, queue='mail', status='queued')
        for name in ('rq_jobs', 'rq_queue_latency_seconds', 'rq_queue_workers'):
            assert {labels[0] for labels in named(samples, name)} == {'labels'}


def test_many_scrapers_at_once_are_one_reading(serving: Serving) -> None:
    barrier = threading.Barrier(20)
    found = []

    def scrape() -> None:
        barrier.wait()
        found.append(value(serving.scrape(), 'rq_jobs', queue='mail', status='failed'))

    threads = [threading.Thread(target=scrape) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [40] * 20
    assert (value(serving.scrape(), 'rq_request_processing_seconds_count') or 99) < 10


def test_exporter_reports_redis_that_goes_away_and_comes_back() -> None:
    with PrivateRedis() as server:
        server.client().sadd('rq:queues', 'rq:queue:mail')
        with Serving(Command(server.url)) as serving:
            assert value(serving.scrape(), 'rq_up') == 1
            server.kill()
            samples = serving.scrape_until('rq_up', 0)
            assert {name for name, _ in samples if name.startswith('rq_')} == {
                'rq_up',
                'rq_scrape_duration_seconds',
                'rq_scrape_errors',
                'rq_request_processing_seconds_count',
                'rq_request_processing_seconds_sum',
                'rq_exporter_build_info',
            }
            assert serving.get('/-/healthy')[0] == 'OK\n'
            server.start()
            server.client().sadd('rq:queues', 'rq:queue:labels')
            samples = serving.scrape_until('rq_up', 1)
            assert {queue for queue, _ in named(samples, 'rq_jobs')} == {'labels'}
            status, err = serving.end(signal.SIGTERM)
    lines = err.splitlines()
    assert status == 0
    assert lines[0].startswith('rqreg: no answer from the server: ')
    assert lines[-1] == 'rqreg: all is read again'


def test_exporter_begins_without_redis() -> None:
    server = PrivateRedis()
    with server:
        url = server.url
    with Serving(Command(url)) as serving:
        assert value(serving.scrape(), 'rq_up') == 0


def test_hanging_redis_makes_rq_up_0_until_it_answers() -> None:
    with PrivateRedis() as server, Serving(Command(server.url), '--timeout', '1') as serving:
        assert value(serving.scrape(), 'rq_up') == 1
        os.kill(server.pid, signal.SIGSTOP)
        try:
            serving.scrape_until('rq_up', 0)
            assert serving.get('/-/healthy')[0] == 'OK\n'
        finally:
            os.kill(server.pid, signal.SIGCONT)
        serving.scrape_until('rq_up', 1)


def test_failed_jobs_are_counted_in_the_background(rqreg: Command) -> None:
    with Serving(rqreg, '--errors', '1') as serving:
        labels = {'function': 'shop.print_label', 'exception': 'KeyError'}
        samples = serving.scrape()
        while not named(samples, 'rq_failed_jobs'):
            samples = serving.scrape()
        assert len(named(samples, 'rq_failed_jobs')) == 1
        assert value(samples, 'rq_failed_jobs', **labels) in (40, None)
        # At most once a minute.
        again = serving.scrape_until('rq_scrape_errors', 0, part='errors')
        assert value(again, 'rq_failed_jobs_read_timestamp_seconds') == value(
            samples, 'rq_failed_jobs_read_timestamp_seconds'
        )


@pytest.mark.parametrize(('number', 'status', 'said'), [(signal.SIGTERM, 0, ''), (signal.SIGINT, 130, 'interrupted')])
def test_exporter_ends_with_status_of_signal(number: int, status: int, said: str, rqreg: Command) -> None:
    with Serving(rqreg) as serving:
        serving.scrape()
        assert serving.end(number) == (status, f'rqreg: {said}\n' if said else '')


def test_sigterm_ends_exporter_while_redis_hangs() -> None:
    with PrivateRedis() as server, Serving(Command(server.url), '--timeout', '300') as serving:
        os.kill(server.pid, signal.SIGSTOP)
        scraping = socket.create_connection(('127.0.0.1', int(serving.root.rpartition(':')[2])))
        try:
            scraping.sendall(b'GET /metrics HTTP/1.0\r\n\r\n')
            assert serving.end(signal.SIGTERM) == (0, '')
        finally:
            os.kill(server.pid, signal.SIGCONT)
            scraping.close()


def test_port_in_use_is_status_2(serving: Serving, rqreg: Command) -> None:
    port = serving.root.rpartition(':')[2]
    ended = rqreg('exporter', '--port', port)
    assert (ended.status, ended.out) == (2, '')
    assert f'--port {port}: Address already in use' in ended.err


def test_unknown_host_to_serve_at_is_wrong_usage(rqreg: Command) -> None:
    ended = rqreg('exporter', '--host', 'no.such.host.invalid', '--port', '0')
    assert ended.status == 2
    assert '--host no.such.host.invalid' in ended.err


def test_exporter_serves_at_ipv6_address(rqreg: Command) -> None:
    if not socket.has_ipv6:
        pytest.skip('no IPv6')
    try:
        socket.socket(socket.AF_INET6).bind(('::1', 0))
    except OSError:
        pytest.skip('no IPv6')
    with Serving(rqreg, '--host', '::1') as serving:
        assert serving.url.startswith('http://[::1]:')
        assert value(serving.scrape(), 'rq_up') == 1


def test_exporter_serves_by_tls(rqreg: Command, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    with Serving(rqreg, '--tls-cert', str(certificate), '--tls-key', str(key)) as serving:
        assert serving.url.startswith('https://')
        # A client that sends nothing delays no other client.
        with socket.create_connection(('127.0.0.1', int(serving.root.rpartition(':')[2]))):
            assert value(serving.scrape(), 'rq_up') == 1
        assert serving.end(signal.SIGTERM) == (0, '')
    key.write_text('no key')
    ended = rqreg('exporter', '--port', '0', '--tls-cert', str(certificate), '--tls-key', str(key))
    assert ended.status == 2
    assert '--tls-cert' in ended.err


def make_certificate(folder: Path) -> tuple[Path, Path]:
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'localhost')])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    certificate, key = folder / 'cert.pem', folder / 'key.pem'
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, key
