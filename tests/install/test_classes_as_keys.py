"""Our classes as keys of dicts and sets: they equal RQ's, with a changed import line as well as under install()."""

from __future__ import annotations

import pytest

from .programs import Programs

# Programs use classes of registries as keys: in tables of views, in single dispatch, in sets.
SOURCE = """
    import copyreg, functools, pickle, sys
    import rq.registry
    rqs = rq.registry.FailedJobRegistry
    table = {rqs: 'failed', rq.registry.StartedJobRegistry: 'started'}

    @functools.singledispatch
    def show(registry):
        return 'something'

    @show.register
    def _(registry: rqs):
        return 'failed'

    mode = sys.argv[1]
    if mode == 'install':
        import rqreg_ext
        rqreg_ext.install()
        from rq.registry import FailedJobRegistry, StartedJobRegistry
    else:
        from rqreg_ext.registry import FailedJobRegistry, StartedJobRegistry
    import redis
    # install() has replaced the variable, but no key.
    rqs = FailedJobRegistry._rq_class
    ours, made = FailedJobRegistry, FailedJobRegistry('q', redis.Redis())
    by_rq = rqs('q', redis.Redis())

    assert ours is not rqs and type(by_rq) is not ours
    assert ours == rqs and rqs == ours and not ours != rqs and hash(ours) == hash(rqs)
    assert StartedJobRegistry != rqs and ours != StartedJobRegistry and ours != object() and ours != 'failed'
    assert table[ours] == table[rqs] == table[type(made)] == 'failed'
    assert table[StartedJobRegistry] == 'started'
    assert {ours: 1}[rqs] == 1 and rqs in [ours] and ours in {rqs}
    assert len({ours, rqs}) == 1 and len({ours, rqs, StartedJobRegistry}) == 2
    assert show(made) == show(by_rq) == 'failed' and show(1) == 'something'

    class Own(ours):
        pass

    assert Own != ours and Own != rqs and Own not in table and show(Own('q', redis.Redis())) == 'failed'
    assert isinstance(made, rqs) and isinstance(made, ours)
    # Under install() there is one class only, as far as a program can ask.
    assert isinstance(by_rq, ours) is (mode == 'install')
    assert pickle.loads(pickle.dumps(ours)) is ours
    if mode == 'install':
        rqreg_ext.uninstall()
        assert pickle.loads(pickle.dumps(rqs)) is rqs
        assert table[rqreg_ext.FailedJobRegistry] == 'failed' and rqreg_ext.FailedJobRegistry == rqs
        assert not isinstance(by_rq, rqreg_ext.FailedJobRegistry)
"""


@pytest.mark.parametrize('mode', ['import line', 'install'])
def test_lookup_by_our_class_finds_key_of_rqs_class(programs: Programs, mode: str) -> None:
    assert programs.output(SOURCE, mode) == ''
