"""How much faster a few calls are where RQ really runs: under tracers, on a cluster, by TLS, over a distance.

child.py measures in one such deployment, on plain RQ and on our registries in turns; __main__.py starts what it takes.
"""
