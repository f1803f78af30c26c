# The two commands are `make demo` and `make test`; the others are their parts. Tools live in .venv, made on first use.
.PHONY: help acceptance tools browser prometheus compose cores demo demo-gateway demo-monitoring demo-clean test test-full test-fast lint unit integration gates molecule images classify docs docs-roles bench bench-capacity bench-gateway bench-speed soak vllm-options coverage adopt-cases build clean
SHELL := /bin/bash
BIN := .venv/bin
MODEL ?=
SCENARIO ?=
# one file after the other in a process for each processor; the scenarios show their steps, and have a run of their own
QUICK := $(BIN)/pytest --numprocesses auto --dist loadfile tests/lint tests/unit tests/integration
# what is shipped, and the older versions of ansible-core: the tests are few and long
GATES := $(BIN)/pytest --numprocesses auto tests/gates
CASES ?=

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Deploy a real vLLM on this machine's CPU by deploy_medium.yml (MODEL=Qwen/Qwen3-0.6B for a real small model)
	@tools/demo up $(MODEL)

demo-gateway: tools ## Put the gateway, with keys and TLS, before what `make demo` deployed, until Ctrl-C
	@$(BIN)/python tools/demo_gateway.py

demo-monitoring: tools prometheus ## Monitor what `make demo` deployed: a page of alerts and Prometheus, until Ctrl-C
	@$(BIN)/python tools/demo_monitoring.py $(if $(MODEL),--model $(MODEL))

demo-clean: ## Remove what `make demo` deployed
	@tools/demo down

test: tools cores browser prometheus images compose ## Lint, units, gates, Molecule scenarios with their core tests (some are left to test-full)
	@export MYIA_TESTS=core; status=0; $(QUICK) || status=1; $(GATES) || status=1; $(BIN)/pytest tests/molecule || status=1; exit $$status

test-full: tools cores browser prometheus images compose ## The same with every test of every scenario
	@status=0; $(QUICK) || status=1; $(GATES) || status=1; $(BIN)/pytest tests/molecule || status=1; exit $$status

test-fast: tools browser prometheus images compose ## Lint, units and one scenario with a host
	@export MYIA_TESTS=core; status=0; $(BIN)/pytest --numprocesses auto --dist loadfile tests/lint tests/unit || status=1; \
	$(BIN)/pytest tests/molecule -k '[vllm_config]' || status=1; exit $$status

lint: tools ## ansible-lint (production), yamllint, ruff, actionlint, antsibull-changelog
	@$(BIN)/pytest tests/lint

unit: tools prometheus ## Unit tests of the plugins
	@MYIA_UNIT_ONLY=1 $(BIN)/pytest tests/unit

integration: tools browser prometheus images compose ## AWX's runner and modules, the execution environment, the documentation's site
	@$(BIN)/pytest --numprocesses auto --dist loadfile tests/integration

gates: tools cores ## What a release must pass: ansible-test and units on every supported ansible-core, Galaxy's importer
	@$(GATES)

molecule: tools browser images ## One Molecule scenario: make molecule SCENARIO=vllm_config (all without SCENARIO)
	@$(BIN)/pytest tests/molecule $(if $(SCENARIO),-k '[$(SCENARIO)]')

# the tests that read .env files back need Compose v2 here too: the role installs it, as in the demo
compose: tools
	@tools/bootstrap engine
	@docker compose version >/dev/null 2>&1 || \
	  $(BIN)/ansible -i inventories/demo/hosts.yml medium -m ansible.builtin.include_role -a name=myia.vllm.docker_engine

images: tools
	@tools/bootstrap engine
	@tools/images testhosts
	@tools/images vllm-cpu
	@tools/images model
	@tools/images ee

classify: tools ## Score the failure catalogue on labelled start-up logs: make classify LOGS=FILE
	@$(BIN)/python tools/classify.py $(LOGS)

docs: tools ## Build the documentation's site, .cache/docs-site/html
	@tools/bootstrap docs
	@$(BIN)/python tools/docs_site.py

docs-roles: tools ## Write the variables in the roles' READMEs, .env.example, docs/troubleshooting.md, docs/alerts.md, docs/hardware.md and docs/upgrading.md anew
	@$(BIN)/python tools/role_docs.py
	@$(BIN)/python tools/failure_docs.py
	@$(BIN)/python tools/upgrade_docs.py
	@$(BIN)/python tools/alert_docs.py
	@$(BIN)/python tools/hardware_docs.py
	@$(BIN)/python tools/variables_schema.py

bench-capacity: tools ## The capacity planner against real starts: make bench CASES=path/of/kv_cases.jsonl for others (that table alone)
	@$(BIN)/python tools/bench_capacity.py $(CASES)

bench: bench-capacity $(if $(CASES),,bench-speed) ## That, and how long deployments take against baselines (docs/performance.md; WRITE=1 puts it there)

bench-gateway: tools ## What the gateway costs: streams through it against direct ones, in turns (needs haproxy)
	@$(BIN)/python tools/bench_gateway.py

bench-speed: tools images
	@$(BIN)/python tools/bench_speed.py $(if $(WRITE),--write)

soak: tools images ## Long campaigns: 20 rolling upgrades, overload, speed of releases (docs/fleet.md); stopped, they go on: make soak ARGS='--only speed'
	@$(BIN)/python tools/soak.py $(ARGS)

acceptance: tools ## Try a GPU host and write it down: make acceptance INVENTORY=PATH [HOST=NAME] [GPUS=0] [REBOOT=1]
	@$(BIN)/python tools/acceptance.py --inventory $(or $(INVENTORY),$(error INVENTORY=path of an inventory is missing)) \
	  $(if $(HOST),--host $(HOST)) $(if $(GPUS),--gpus $(GPUS)) $(if $(REBOOT),--reboot)

vllm-options: tools ## Add the newest vLLM releases to the table of options (docs/versions.md)
	@$(BIN)/python tools/derive_vllm_options

coverage: tools ## How many commands of vllm-project/recipes are expressed: make coverage RECIPES=path of a checkout (needs node)
	@$(BIN)/python tools/recipe_coverage.py $(or $(RECIPES),$(error RECIPES=path of a checkout of vllm-project/recipes is missing))

adopt-cases: tools ## Answer what hosts said once, as adopt_medium.yml would: make adopt-cases CASES=folder OUT=folder
	@$(BIN)/python tools/adopt_cases.py $(or $(CASES),$(error CASES=folder is missing)) $(or $(OUT),$(error OUT=folder is missing))

build: tools ## Build the collection's artefact
	@$(BIN)/ansible-galaxy collection build --force

clean: ## Remove test images and caches (the next run is a cold one)
	@tools/images clean
	@rm -rf .venv .cache/docs-venv .cache/docs-site .cache/cores .cache/ansible-test

cores:
	@tools/bootstrap cores

browser:
	@tools/bootstrap browser

prometheus:
	@tools/bootstrap prometheus

# does nothing when there is nothing to do
tools:
	@tools/bootstrap tools
