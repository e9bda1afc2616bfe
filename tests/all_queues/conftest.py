"""Clients of each kind."""

from every_client import any_client, client_without, job_client, sides, storing_client

__all__ = ['any_client', 'client_without', 'job_client', 'sides', 'storing_client']
