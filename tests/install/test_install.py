"""install(), uninstall() and is_installed(): what they replace, leave and restore, each in a program of its own."""

from __future__ import annotations

from .programs import Programs

# A module that refers to RQ's classes in every way. Most of the programs below use it.
HOLDER = """
    from collections import OrderedDict
    from functools import partial
    import rq.registry
    from rq.registry import FailedJobRegistry, StartedJobRegistry as Running
    from rq.executions import ExecutionRegistry

    REGISTRIES = {'failed': FailedJobRegistry, 'others': [Running, (ExecutionRegistry, FailedJobRegistry)]}
    LABELS = {FailedJobRegistry: 'failed'}
    PAIRS = (('failed', FailedJobRegistry),)
    ORDERED = OrderedDict(failed=FailedJobRegistry)
    failed = partial(FailedJobRegistry, 'q', death_penalty_class=None)

    class View:
        registry_class = FailedJobRegistry

        def make(self, connection, registry_class=FailedJobRegistry):
            return registry_class('q', connection=connection)
"""


def test_install_replaces_all_references_in_modules(programs: Programs) -> None:
    programs.write('holder.py', HOLDER)
    source = """
        import sys
        import holder
        import rq
        import rq.registry
        queue_class, worker_class = rq.Queue, rq.Worker
        import rqreg_ext
        from redis import Redis
        assert not rqreg_ext.is_installed()
        rqreg_ext.install()
        assert rqreg_ext.is_installed()
        from rq.registry import FailedJobRegistry
        ours = rqreg_ext.FailedJobRegistry
        assert FailedJobRegistry is ours is rq.registry.FailedJobRegistry is holder.FailedJobRegistry
        assert holder.Running is rqreg_ext.StartedJobRegistry
        assert holder.REGISTRIES['failed'] is ours is holder.View.registry_class
        assert holder.REGISTRIES['others'][1] == (rqreg_ext.ExecutionRegistry, ours)
        assert holder.PAIRS[0][1] is ours is holder.ORDERED['failed']
        assert type(holder.failed(connection=Redis())) is ours
        assert type(holder.View().make(Redis())) is ours
        assert holder.LABELS[ours] == 'failed'
        for name in ('Base', 'Started', 'Finished', 'Failed', 'Deferred', 'Scheduled', 'Canceled'):
            name = name + ('Registry' if name == 'Base' else 'JobRegistry')
            assert getattr(rq.registry, name) is getattr(rqreg_ext, name), name
        assert rq.executions.ExecutionRegistry is rqreg_ext.ExecutionRegistry
        # A package from RQ 2.7 on.
        worker_module = sys.modules[rq.worker.BaseWorker.__module__]
        assert worker_module.StartedJobRegistry is rqreg_ext.StartedJobRegistry
        assert (rq.Queue, rq.Worker) == (queue_class, worker_class)
        assert rq.Queue is rq.queue.Queue
    """
    assert programs.output(source) == ''


def test_each_module_of_package_can_be_imported_after_install(programs: Programs) -> None:
    source = """
        import pkgutil
        from importlib import import_module
        import rqreg_ext
        rqreg_ext.install()
        import rq
        for found in pkgutil.walk_packages(rqreg_ext.__path__, 'rqreg_ext.'):
            if not found.name.endswith('__main__'):
                import_module(found.name)
    """
    assert programs.output(source) == ''


def test_queues_and_jobs_return_our_registries(programs: Programs) -> None:
    source = """
        import rq
        from redis import Redis
        import rqreg_ext
        queue = rq.Queue('q', connection=Redis())
        job = rq.job.Job.create(print, connection=Redis(), origin='q')
        rqreg_ext.install()
        names = [name for name in dir(queue) if name.endswith('_job_registry')]
        assert len(names) >= 6
        for name in names:
            assert type(getattr(queue, name)).__mro__[1].__module__ == 'rqreg_ext._core', name
        for name in dir(job):
            if name.endswith('_job_registry'):
                assert type(getattr(job, name)).__mro__[1].__module__ == 'rqreg_ext._core', name
        assert type(job.execution_registry if hasattr(job, 'execution_registry') else
                    rq.executions.ExecutionRegistry('x', Redis())) is rqreg_ext.ExecutionRegistry
    """
    assert programs.output(source) == ''


def test_install_before_rq_is_imported_replaces_at_import(programs: Programs) -> None:
    source = """
        import sys
        import rqreg_ext
        finders = list(sys.meta_path)
        report = rqreg_ext.install()
        assert rqreg_ext.is_installed()
        assert 'rq' not in sys.modules and 'redis' not in sys.modules
        assert 'not installed yet' in report.reason, report
        import rq
        assert sys.meta_path == finders
        assert rq.__loader__ is rq.__spec__.loader
        assert type(rq.__loader__).__module__.startswith('_frozen_importlib')
        import importlib.resources
        assert importlib.resources.files('rq').joinpath('queue.py').is_file()
        from rq.registry import FailedJobRegistry
        assert FailedJobRegistry is rqreg_ext.FailedJobRegistry
        assert rqreg_ext.install().replaced
    """
    assert programs.output(source) == ''


def test_modules_imported_later_get_our_classes(programs: Programs) -> None:
    programs.write('holder.py', HOLDER)
    source = """
        import rqreg_ext
        rqreg_ext.install()
        import holder
        import rq.cli.cli
        assert holder.View.registry_class is rqreg_ext.FailedJobRegistry is rq.cli.cli.FailedJobRegistry
    """
    assert programs.output(source) == ''


def test_uninstall_restores_identical_objects(programs: Programs) -> None:
    programs.write('holder.py', HOLDER)
    programs.write('later.py', HOLDER)
    source = """
        import sys, types
        import holder, rq, rqreg_ext

        def objects(module):
            return {name: value for name, value in vars(module).items() if not name.startswith('__')}

        searched = [name for name in sys.modules if name.split('.')[0] in ('rq', 'holder')]

        # Attributes of objects are not searched: what is kept here is not replaced.
        kept = types.SimpleNamespace(
            before={name: objects(sys.modules[name]) for name in searched},
            defaults=holder.View.make.__defaults__,
            kind=holder.View.registry_class,
        )
        names = repr(rqreg_ext.FailedJobRegistry)
        for _ in range(2):
            rqreg_ext.install()
            rqreg_ext.install()
            assert holder.PAIRS is not kept.before['holder']['PAIRS']
            import later
            assert later.View.registry_class is rqreg_ext.FailedJobRegistry
            rqreg_ext.uninstall()
            assert not rqreg_ext.is_installed()
            for name, before in kept.before.items():
                after = objects(sys.modules[name])
                assert [key for key in before if after[key] is not before[key]] == [], name
            del before
            assert holder.View.make.__defaults__ is kept.defaults and holder.View.registry_class is kept.kind
            assert holder.ORDERED['failed'] is kept.kind is holder.failed.func
            assert holder.REGISTRIES['failed'] is kept.kind is later.FailedJobRegistry is later.View.registry_class
            assert later.REGISTRIES['others'][1] == (rq.executions.ExecutionRegistry, kept.kind)
            assert repr(rqreg_ext.FailedJobRegistry) == names
        rqreg_ext.uninstall()
    """
    assert programs.output(source) == ''


def test_uninstall_before_rq_is_imported_leaves_rq_plain(programs: Programs) -> None:
    source = """
        import rqreg_ext
        rqreg_ext.install()
        rqreg_ext.uninstall()
        assert not rqreg_ext.is_installed()
        import rq.registry
        assert rq.registry.FailedJobRegistry is not rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source) == ''


def test_uninstall_keeps_names_imported_from_rqreg_ext(programs: Programs) -> None:
    own = """
        import rqreg_ext
        from rqreg_ext import FailedJobRegistry
        from rqreg_ext.registry import StartedJobRegistry as Started
        Finished = rqreg_ext.FinishedJobRegistry
        from rq.registry import CanceledJobRegistry
    """
    programs.write('before.py', own)
    programs.write('after.py', own)
    source = """
        import before
        import rqreg_ext
        rqreg_ext.install()
        import after
        rqreg_ext.uninstall()
        import rq.registry
        for module in (before, after):
            assert module.FailedJobRegistry is rqreg_ext.FailedJobRegistry
            assert module.Started is rqreg_ext.StartedJobRegistry
            assert module.Finished is rqreg_ext.FinishedJobRegistry
            assert module.CanceledJobRegistry is rq.registry.CanceledJobRegistry is not rqreg_ext.CanceledJobRegistry
    """
    assert programs.output(source) == ''


def test_uninstall_keeps_names_imported_by_main_module(programs: Programs) -> None:
    source = """
        import rqreg_ext
        rqreg_ext.install()
        from rq.registry import FailedJobRegistry
        from rqreg_ext import StartedJobRegistry
        assert FailedJobRegistry is rqreg_ext.FailedJobRegistry
        rqreg_ext.uninstall()
        assert FailedJobRegistry is not rqreg_ext.FailedJobRegistry
        assert StartedJobRegistry is rqreg_ext.StartedJobRegistry
    """
    assert programs.output(source) == ''


def test_repr_and_pickle_are_same_as_rqs(programs: Programs) -> None:
    source = """
        import pickle, sys
        import rq.registry, rq.executions
        if sys.argv[1:]:
            import rqreg_ext
            rqreg_ext.install()
        from rq.registry import FailedJobRegistry
        print(FailedJobRegistry, FailedJobRegistry.__module__, FailedJobRegistry.__qualname__)
        print(rq.executions.ExecutionRegistry)
        print(pickle.dumps([FailedJobRegistry, rq.executions.ExecutionRegistry]))
    """
    programs.write('program.py', source)
    plain = programs.run('program.py')
    installed = programs.run('program.py', 'installed')
    assert (plain.stderr, installed.stderr) == ('', '')
    assert installed.stdout == plain.stdout
    assert 'rqreg' not in plain.stdout


DERIVED = """
    import rq.registry
    from rq.registry import BaseRegistry, FailedJobRegistry, DeferredJobRegistry as Waiting

    class Plain(FailedJobRegistry):
        def get_job_ids(self, *args, **kwargs):
            return [*super().get_job_ids(*args, **kwargs), 'mine']

    def decorated(function):
        def wrapper(*args):
            return function(*args)
        return wrapper

    class Named(Waiting):
        def __init__(self, *args, **kwargs):
            Waiting.__init__(self, *args, **kwargs)

        @property
        def kind(self):
            return [super(Waiting, self).count for _ in range(1)][0]

    class Dotted(rq.registry.CanceledJobRegistry):
        @classmethod
        def make(cls, connection):
            return cls('q', connection)

        @decorated
        def __init__(self, *args):
            rq.registry.CanceledJobRegistry.__init__(self, *args)

    made_before = FailedJobRegistry('q', connection=object())
"""


def test_classes_derived_before_install_count_as_subclasses_of_ours(programs: Programs, redis_url: str) -> None:
    programs.write('derived.py', DERIVED)
    source = f"""
        import derived, redis, rq.registry, rqreg_ext
        bases = derived.Plain.__mro__, derived.Named.__mro__, derived.Dotted.__mro__
        report = rqreg_ext.install()
        connection = redis.Redis.from_url({redis_url!r})
        connection.flushdb()
        assert bases == (derived.Plain.__mro__, derived.Named.__mro__, derived.Dotted.__mro__)
        connection.zadd('rq:failed:q', {{'one': 2**40}})
        connection.zadd('rq:deferred:q', {{'two': 2**40}})
        assert derived.Plain('q', connection).get_job_ids() == ['one', 'mine']
        named = derived.Named('q', connection)
        assert (named.get_job_ids(), named.kind) == (['two'], 1)
        assert derived.Dotted.make(connection).count == 0

        # Only the names that their methods use are left.
        assert derived.FailedJobRegistry is rqreg_ext.FailedJobRegistry
        assert derived.Waiting is not rqreg_ext.DeferredJobRegistry is rq.registry.DeferredJobRegistry
        assert rq.registry.CanceledJobRegistry is not rqreg_ext.CanceledJobRegistry
        assert sorted((left.place, left.name) for left in report.left) == [
            ('derived.Waiting', 'DeferredJobRegistry'), ('rq.registry.CanceledJobRegistry', 'CanceledJobRegistry')]
        assert ['Named' in left.reason or 'Dotted' in left.reason for left in report.left] == [True, True]

        # isinstance() and issubclass() treat them as subclasses of our classes.
        plain = derived.Plain('q', connection)
        for registry in (plain, derived.made_before) * 2:
            assert isinstance(registry, rq.registry.FailedJobRegistry)
            assert isinstance(registry, rq.registry.BaseRegistry)
            assert not isinstance(registry, rq.registry.StartedJobRegistry)
        assert issubclass(derived.Plain, derived.FailedJobRegistry)
        assert issubclass(type(derived.made_before), rq.registry.FailedJobRegistry)
        assert {{type(derived.made_before): 1}}[rq.registry.FailedJobRegistry] == 1
        assert rq.registry.FailedJobRegistry in [type(derived.made_before)]
        assert not issubclass(derived.Plain, rq.registry.StartedJobRegistry)
        rqreg_ext.uninstall()
        assert not isinstance(plain, (rqreg_ext.FailedJobRegistry, rqreg_ext.BaseRegistry))
        assert not issubclass(derived.Plain, (rqreg_ext.FailedJobRegistry, rqreg_ext.BaseRegistry))
        assert type(derived.made_before) is not rqreg_ext.FailedJobRegistry
        assert {{type(derived.made_before): 1}}[rqreg_ext.FailedJobRegistry] == 1
    """
    assert programs.output(source) == ''


def test_methods_of_rq_that_refer_to_own_class_work_after_install(programs: Programs, redis_url: str) -> None:
    """RQ's DeferredJobRegistry.add() does so before RQ 2.8. Here it is replaced by such a method in any RQ."""
    source = f"""
        import textwrap
        import redis, rq.registry
        from rq.registry import DeferredJobRegistry
        from rq.job import Job
        connection = redis.Redis.from_url({redis_url!r})
        connection.flushdb()
        source = '''
            def add(self, job, *args, **kwargs):
                return [super(DeferredJobRegistry, self).add(job) for _ in "1"][0]
        '''
        exec(textwrap.dedent(source), vars(rq.registry))
        DeferredJobRegistry.add = vars(rq.registry).pop('add')
        function, code = DeferredJobRegistry.add, DeferredJobRegistry.add.__code__
        before = DeferredJobRegistry('before', connection=connection)
        import rqreg_ext
        for _ in range(2):
            rqreg_ext.install()
            rqreg_ext.install()
            for registry in (before, DeferredJobRegistry('after', connection=connection)):
                connection.flushdb()
                registry.add(Job.create(print, id='one', connection=connection))
                assert connection.zcard(registry.key) == 1
            assert type(registry) is rqreg_ext.DeferredJobRegistry
            rqreg_ext.uninstall()
            assert vars(DeferredJobRegistry)['add'] is function and function.__code__ is code
            registry.add(Job.create(print, id='two', connection=connection))
            before.add(Job.create(print, id='two', connection=connection))
            assert connection.zcard(registry.key) == 2
    """
    assert programs.output(source) == ''


def test_methods_patched_before_install_are_called(programs: Programs, redis_url: str) -> None:
    source = f"""
        import functools
        import redis, rq, rq.registry
        from rq.registry import BaseRegistry, FailedJobRegistry, FinishedJobRegistry
        connection = redis.Redis.from_url({redis_url!r})
        connection.flushdb()
        connection.zadd('rq:failed:q', {{'one': 2**40}})
        calls = []

        def watched(method, name):
            @functools.wraps(method)
            def wrapper(*args, **kwargs):
                calls.append(name)
                return method(*args, **kwargs)
            return wrapper

        BaseRegistry.get_job_ids = watched(BaseRegistry.get_job_ids, 'get_job_ids')
        BaseRegistry.__contains__ = watched(BaseRegistry.__contains__, 'in')
        FailedJobRegistry.cleanup = watched(FailedJobRegistry.cleanup, 'cleanup')
        BaseRegistry.count = property(lambda self: 'mine')

        def use(registry):
            calls.clear()
            return registry.get_job_ids(), registry.get_job_count(), registry.count, 'one' in registry, list(calls)

        queue = rq.Queue('q', connection=connection)
        expected = use(queue.failed_job_registry), use(queue.finished_job_registry)
        assert expected[0] == (['one'], 1, 'mine', True, ['get_job_ids', 'cleanup', 'cleanup', 'in'])
        import rqreg_ext
        unpatched = dict(vars(rqreg_ext.BaseRegistry)), dict(vars(rqreg_ext.FailedJobRegistry))
        for _ in range(2):
            report = rqreg_ext.install()
            replaced = ['BaseRegistry.__contains__', 'BaseRegistry.count', 'BaseRegistry.get_job_ids']
            replaced.append('FailedJobRegistry.cleanup')
            assert sorted(note.partition(' ')[0] for note in report.notes) == replaced
            assert type(queue.failed_job_registry) is rqreg_ext.FailedJobRegistry
            assert (use(queue.failed_job_registry), use(queue.finished_job_registry)) == expected
            rqreg_ext.uninstall()
            assert (dict(vars(rqreg_ext.BaseRegistry)), dict(vars(rqreg_ext.FailedJobRegistry))) == unpatched
            assert (use(queue.failed_job_registry), use(queue.finished_job_registry)) == expected
    """
    assert programs.output(source) == ''


def test_clean_registries_stays_same_function(programs: Programs, redis_url: str) -> None:
    """It stays the same function object, and takes one round trip while rqreg_ext is installed."""
    programs.write('holder.py', 'from rq.registry import clean_registries as clean\nJOBS = [clean]')
    source = f"""
        import inspect, pickle
        import redis, rq, rq.registry, holder
        from redis.client import Redis
        connection = Redis.from_url({redis_url!r})
        queue = rq.Queue('q', connection=connection)
        function, code = rq.registry.clean_registries, rq.registry.clean_registries.__code__
        signature = inspect.signature(function)

        def commands(call):
            connection.flushdb()
            connection.zadd('rq:failed:q', {{'late': 2**40, 'expired': 1}})
            connection.config_resetstat()
            call()
            sent = {{name.partition('_')[2] for name in connection.info('commandstats')}}
            assert connection.zrange('rq:failed:q', 0, -1) == [b'late']
            return sent - {{'config', 'config|resetstat', 'info', 'zadd', 'flushdb', 'hello', 'select'}}

        plain = commands(lambda: holder.clean(queue))
        import rqreg_ext
        for _ in range(2):
            rqreg_ext.install()
            rqreg_ext.install()
            assert rq.registry.clean_registries is holder.clean is holder.JOBS[0] is function
            assert pickle.loads(pickle.dumps(function)) is function
            assert inspect.signature(function) == signature
            assert 'evalsha' in commands(lambda: holder.clean(queue=queue, exception_handlers=[]))
            try:
                function()
            except TypeError as error:
                assert 'clean_registries() missing 1 required positional argument' in str(error), error
            connection.zadd('rq:wip:q', {{'gone:execution': 1}})
            function(queue)
            assert not connection.exists('rq:wip:q')
            rqreg_ext.uninstall()
            assert function.__code__ is code and function is rq.registry.clean_registries
            assert commands(lambda: holder.clean(queue)) == plain
    """
    assert programs.output(source) == ''


def test_patched_clean_registries_is_kept(programs: Programs, redis_url: str) -> None:
    source = f"""
        import functools
        import redis, rq, rq.registry
        connection = redis.Redis.from_url({redis_url!r})
        connection.flushdb()
        cleaned = []

        def watched(function):
            @functools.wraps(function)
            def wrapper(queue, *args):
                cleaned.append(queue.name)
                return function(queue, *args)
            return wrapper

        mine = rq.registry.clean_registries = watched(rq.registry.clean_registries)
        import rqreg_ext
        rqreg_ext.install()
        assert rq.registry.clean_registries is mine
        connection.zadd('rq:failed:q', {{'expired': 1}})
        for clean in (rq.registry.clean_registries, rqreg_ext.clean_registries):
            clean(rq.Queue('q', connection=connection))
        assert cleaned == ['q', 'q']
        assert not connection.exists('rq:failed:q')
    """
    assert programs.output(source) == ''


def test_classes_derived_after_install_are_subclasses_of_ours_and_rqs(programs: Programs) -> None:
    source = """
        import abc, typing
        import rqreg_ext
        rqreg_ext.install()
        import rq.registry
        from rq.registry import FailedJobRegistry
        from redis import Redis

        class Abstract(FailedJobRegistry, abc.ABC):
            def cleanup(self, timestamp=None):
                return FailedJobRegistry.cleanup(self, timestamp)

        class Generic(FailedJobRegistry, typing.Generic[typing.TypeVar('T')]):
            pass

        class Registered:
            pass

        Abstract.register(Registered)
        assert issubclass(Registered, Abstract) and isinstance(Registered(), Abstract)
        assert not isinstance(Registered(), FailedJobRegistry)
        registry = Abstract('q', connection=Redis())
        assert isinstance(registry, rqreg_ext.FailedJobRegistry)
        rqreg_ext.uninstall()
        assert isinstance(registry, rq.registry.FailedJobRegistry)
        assert FailedJobRegistry is rq.registry.FailedJobRegistry
        assert issubclass(Generic, rqreg_ext.FailedJobRegistry)
    """
    assert programs.output(source) == ''


def test_second_install_replaces_new_references_only(programs: Programs) -> None:
    source = """
        import rq.registry, rqreg_ext
        first = rqreg_ext.install()
        assert first
        assert rqreg_ext.install().replaced == first.replaced
        held = rqreg_ext.FailedJobRegistry.__bases__[1]
        assert held is not rqreg_ext.FailedJobRegistry
        report = rqreg_ext.install()
        assert held is rqreg_ext.FailedJobRegistry
        assert {place for place, _ in report.replaced} - {place for place, _ in first.replaced} == {'__main__.held'}
    """
    assert programs.output(source) == ''


def test_disable_variable_prevents_install(programs: Programs) -> None:
    source = """
        import rq.registry, rqreg_ext
        report = rqreg_ext.install()
        assert 'RQREG_EXT_DISABLE' in report.reason and not report.replaced and not report
        assert not rqreg_ext.is_installed()
        assert rq.registry.FailedJobRegistry is not rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_DISABLE='1') == ''
    assert programs.run('program.py', RQREG_EXT_DISABLE='0').returncode == 1


def test_report_lists_replaced_and_left_places(programs: Programs) -> None:
    programs.write('derived.py', DERIVED)
    source = """
        import derived, logging, io, rqreg_ext
        log = io.StringIO()
        logging.basicConfig(stream=log, level=logging.DEBUG, format='%(name)s %(levelname)s %(message)s')
        report = rqreg_ext.install()
        assert ('rq.registry.FailedJobRegistry', 'FailedJobRegistry') in report.replaced
        text = str(report)
        for place, name, reason in report.left:
            assert f'left {place}: {reason}' in text
            assert f'rqreg_ext DEBUG left {place}: {reason}' in log.getvalue()
        for place, name in report.replaced:
            assert f'  replaced {place}\\n' in text
            assert f'rqreg_ext DEBUG replaced {place}' in log.getvalue()
        assert f'{len(report.replaced)} replaced, 2 left' in repr(report), repr(report)
    """
    assert programs.output(source) == ''


def test_install_fails_no_call_of_other_threads(programs: Programs, redis_url: str) -> None:
    source = f"""
        import sys, threading
        import redis, rq, rqreg_ext
        import rq.registry
        sys.setswitchinterval(1e-5)
        connection = redis.Redis.from_url({redis_url!r})
        connection.flushdb()
        connection.zadd('rq:failed:q', {{'one': 2**40}})
        queue = rq.Queue('q', connection=connection)
        errors, rounds, stop = [], [0] * 4, threading.Event()

        def use(number):
            try:
                while not stop.is_set():
                    assert queue.failed_job_registry.get_job_ids() == ['one']
                    assert isinstance(queue.failed_job_registry, rq.registry.BaseRegistry)
                    assert 'one' in rq.registry.FailedJobRegistry('q', connection=connection)
                    rounds[number] += 1
            except BaseException as error:
                errors.append(error)

        def switch():
            try:
                for _ in range(15):
                    rqreg_ext.install()
                    rqreg_ext.uninstall()
            except BaseException as error:
                errors.append(error)

        users = [threading.Thread(target=use, args=(number,)) for number in range(4)]
        switchers = [threading.Thread(target=switch) for _ in range(2)]
        for thread in users + switchers: thread.start()
        for thread in switchers: thread.join()
        stop.set()
        for thread in users: thread.join()
        assert not errors, errors
        assert min(rounds) > 0
        assert rq.registry.FailedJobRegistry is not rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source) == ''


def test_install_works_while_other_threads_import_rq(programs: Programs) -> None:
    source = """
        import sys, threading
        sys.setswitchinterval(1e-5)
        import rqreg_ext
        errors = []

        def attempt(work):
            def run():
                try:
                    work()
                except BaseException as error:
                    errors.append(error)
            return threading.Thread(target=run)

        def use():
            import rq
            rq.registry.FailedJobRegistry

        threads = [attempt(work) for work in (rqreg_ext.install, use, rqreg_ext.install, use, rqreg_ext.install)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert not errors, errors
        import rq
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
    """
    for _ in range(3):
        assert programs.output(source) == ''
