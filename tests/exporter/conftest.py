"""What the tests of the exporter share with those of the command."""

from cli.conftest import changing, rqreg, shop_jobs, shop_server

__all__ = ['changing', 'rqreg', 'shop_jobs', 'shop_server']
