# Doorward's front door.  Each target does its own set-up; a second run finds it done.
#
#   make demo                     the main job, told in the terminal
#   make demo VIDEO=my.mp4        … on your own footage
#   make demo CAMERA=/dev/video0  … on a USB camera
#   make playground               a doorbell and a broker, to try every command by hand
#   make desk                     the requester's desk with five doorbells, to try in a browser
#   make test                     every check and every test (minutes)
#   make prove                    every proof at length (hours)
#   make test-quick               the checks and the tests of what you have changed (a minute)

# The system's own Python, because Debian's camera bindings are built for that one and no other.
PYTHON ?= /usr/bin/python3
VENV   := .venv
RELEASE := .cache/release
export PYTHON VIDEO CAMERA
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: demo playground desk test test-quick test-kernel test-browser test-home-assistant test-rabbitmq page page-types test-vm test-pi3 install uninstall deb sbom schemas test-install test-arm64 branches prove prove-consent prove-crash prove-mutation explore fuzz mutate walks lint bench setup setup-test clean help

demo: ## Run the main job end to end and tell its story (VIDEO=file or CAMERA=/dev/videoN)
	@sh scripts/system-packages.sh demo
	@$(PYTHON) scripts/set_up.py demo
	@$(VENV)/bin/python -m demo

playground: ## Run a broker and a doorbell to try every command on, until Ctrl-C
	@sh scripts/system-packages.sh demo
	@$(PYTHON) scripts/set_up.py demo
	@$(VENV)/bin/python -m demo.playground

desk: setup-test ## Run the requester's desk with a broker, five doorbells and three cases, until Ctrl-C (a minute)
	@$(VENV)/bin/python -m demo.desk $(ARGS)

test: setup-test ## Run every check and every test (ARGS='-k motion' goes to pytest)
	@$(VENV)/bin/python scripts/check.py all $(ARGS)

test-quick: setup-test ## Run the static checks, the tests that mirror changed files, and fast ones (a minute)
	@$(VENV)/bin/python scripts/check.py quick $(ARGS)

test-browser: setup-test ## Go through the owner's page in a real browser, all of it, with screenshots (half an hour)
	@sh scripts/system-packages.sh test-browser
	@DOORWARD_BROWSER=all $(VENV)/bin/python -m pytest -p tests.parallel --workers $$((2 * $$(nproc))) -q tests/browser tests/web \
	    tests/scenarios/test_a_desk_from_an_empty_folder.py $$(grep -rl --include='test_*.py' mark.browser tests/desk) $(ARGS)

test-home-assistant: setup-test ## Show the doorbell to a real Home Assistant, installed for it (Debian 13, minutes, 1 GB)
	@$(PYTHON) scripts/set_up.py home-assistant
	@$(VENV)/bin/python -m tests.interop.home_assistant

test-rabbitmq: setup-test ## Ask a real RabbitMQ, and a cluster of three, what Doorward asks of a broker (root, minutes)
	@sh scripts/system-packages.sh test-rabbitmq
	@PYTHONPATH=. $(VENV)/bin/python -m tests.interop.rabbitmq
	@PYTHONPATH=. $(VENV)/bin/python -m tests.interop.rabbitmq_cluster

.PHONY: test-fleet
test-fleet: setup-test ## Enrol, update and mend a fleet of 50 doorbells, each a process (FLEET=8 for fewer; ten minutes)
	@PYTHONPATH=. $(VENV)/bin/python -m tests.fleet_processes $(or $(FLEET),50) $(ARGS)

.PHONY: test-scale
test-scale: setup-test ## Kill brokers, workers, store and database below 1 000 doorbells (root for cuts; a quarter of an hour)
	@sh scripts/system-packages.sh test-scale
	@PYTHONPATH=. $(VENV)/bin/python -m tests.scale.run $(ARGS)

page: setup-test ## Build the owner's page from agent/web/src into agent/web/static
	@cd agent/web/src && npm run --silent build

.PHONY: pictures
pictures: setup-test ## Take README's pictures of the owner's page and the desk again (two minutes)
	@$(VENV)/bin/python -m tests.browser.readme_pictures
	@$(VENV)/bin/python -m tests.desk.readme_pictures

.PHONY: desk-page
desk-page: setup-test ## Build the map and forms of the requester's desk from desk/web into desk/static/asking
	@cd desk/web && npm run --silent build

page-types: setup-test ## Write the types of the page's messages from the device's (agent/web/src/wire/generated.d.ts)
	@$(VENV)/bin/python -m tests.web.page_types

.PHONY: test-long
test-long: setup-test ## Run the tests that make test leaves out because they take long (ten minutes)
	@DOORWARD_LONG=all $(VENV)/bin/python -m pytest -p tests.parallel --workers $$((2 * $$(nproc))) -q -m at_length tests $(ARGS)

.PHONY: test-grown
test-grown: setup-test ## Run the desk's tests on a real PostgreSQL and a real S3 store instead of SQLite and a folder (five minutes)
	@DOORWARD_TEST_DESK=grown $(VENV)/bin/python -m pytest -p tests.parallel --workers $$((2 * $$(nproc))) -q -m "not browser" tests/desk $(ARGS)

test-kernel: setup-test ## Run the motion kernel's tests with the kernel under sanitizers (a minute)
	@PYTHONPATH=. $(VENV)/bin/python -m tests.recorder.sanitized_kernel $(ARGS)

test-vm: setup-test ## Boot a PC in QEMU: GPIO, watchdog, power cuts while recording (root, minutes)
	@sh scripts/system-packages.sh test-vm
	@PYTHONPATH=. $(VENV)/bin/python -m tests.hardware.vm.run vm

test-pi3: setup-test ## Boot QEMU's Raspberry Pi 3: its GPIO chip, its watchdog, a recording (root, minutes)
	@sh scripts/system-packages.sh test-pi3
	@PYTHONPATH=. $(VENV)/bin/python -m tests.hardware.vm.run pi3

.PHONY: card-look-alike test-card
card-look-alike: setup-test ## Build a card's look-alike, Debian for arm64 with our package and first-boot units (root, half an hour once)
	@sh scripts/system-packages.sh test-card
	@PYTHONPATH=. $(VENV)/bin/python -m tests.install.look_alike build

test-card: setup-test ## Start that card in QEMU and set it up with a phone, to the first sealed clip (root, an hour)
	@sh scripts/system-packages.sh test-card
	@PYTHONPATH=. $(VENV)/bin/python -m tests.install.look_alike

.PHONY: models
models: ## Fetch what can tell people from cars (7 MB once, 4 MB stay); an installation then takes it along
	@sh scripts/system-packages.sh models
	@$(PYTHON) scripts/set_up.py models

install: ## Install Doorward on this machine, or upgrade it (root; ANSWERS=file instead of questions)
	@sh scripts/system-packages.sh run
	@/usr/bin/python3 scripts/installation install $(if $(ANSWERS),--answers $(ANSWERS)) $(if $(WHEELHOUSE),--wheelhouse $(WHEELHOUSE))

install-desk: ## Install the requester's desk on this machine, or upgrade it (root)
	@sh scripts/system-packages.sh run-desk
	@/usr/bin/python3 scripts/install_desk.py

uninstall: ## Remove it and keep what it recorded (root; PURGE=1 keeps nothing)
	@/usr/bin/python3 scripts/installation uninstall $(if $(PURGE),--purge)

deb: setup-release ## Build dist/doorward_*.deb for arm64 and amd64, each with its wheels for an offline install
	@for each in arm64 amd64; do \
	    rm -rf .cache/wheels-$$each; $(RELEASE)/bin/python scripts/wheelhouse.py $$each .cache/wheels-$$each || exit 1; \
	    $(RELEASE)/bin/python scripts/release.py deb $$each --wheelhouse .cache/wheels-$$each; done

.PHONY: release reproduce test-reproduce setup-release
release: setup-release ## Build a release of the last commit into dist (VERSION=0.2.0 first commits that version)
	@$(RELEASE)/bin/python scripts/releasing build $(if $(VERSION),--version $(VERSION)) $(ARGS)

reproduce: setup-release ## Build a release twice, in unlike surroundings, and compare every byte (root changes more)
	@$(RELEASE)/bin/python scripts/releasing reproduce $(ARGS)

test-reproduce: setup-test ## Build a release on fresh Debians, trixie and bookworm, and compare every byte (root, half an hour)
	@sh scripts/system-packages.sh test-install
	@PYTHONPATH=. $(VENV)/bin/python -m tests.releasing.two_debians $(ARGS)

sbom: ## Print the parts list (CycloneDX)
	@$(PYTHON) scripts/release.py sbom

schemas: setup-test ## Write the JSON Schemas of the configuration and of fleet files again
	@$(VENV)/bin/doorward config schema > .cache/schema && mv .cache/schema config/doorward.schema.json
	@$(VENV)/bin/doorward config schema --fleet > .cache/schema && mv .cache/schema config/fleet.schema.json

test-install: setup-test ## Live through an installation in booted containers, trixie and bookworm at once (root, an hour)
	@sh scripts/system-packages.sh test-install
	@PYTHONPATH=. $(VENV)/bin/python -m tests.install.run trixie bookworm $(ARGS)

.PHONY: test-update-kills test-update-kills-booted
test-update-kills: setup-test ## Kill an update at 200 moments in small systems of trixie and bookworm (root, an hour)
	@sh scripts/system-packages.sh test-install
	@DOORWARD_UPDATE_KILLS=$(or $(KILLS),200) PYTHONPATH=. $(VENV)/bin/python -m tests.install.quick_kills --record $(ARGS)

test-update-kills-booted: setup-test ## The same with a whole doorbell in booted containers (root, many hours; KILLS=13)
	@sh scripts/system-packages.sh test-install
	@DOORWARD_UPDATE_KILLS=$(or $(KILLS),200) PYTHONPATH=. $(VENV)/bin/python -m tests.install.run trixie bookworm \
	    install broker "first sealed clip" "kills during an update" --record "kills during an update" $(ARGS)

.PHONY: test-update-power
test-update-power: setup-test ## Cut a virtual machine's power at ten moments of an update, so that unsynced writes are lost (root, minutes)
	@sh scripts/system-packages.sh test-vm
	@DOORWARD_POWER_CUTS=$(or $(KILLS),10) PYTHONPATH=. $(VENV)/bin/python -m tests.install.power_cuts --record $(ARGS)

test-install-desk: setup-test ## Live through an installation of the desk in booted containers (root, network, ten minutes)
	@sh scripts/system-packages.sh test-install
	@$(VENV)/bin/python tests/install/desk.py

test-clean: setup-test ## Try make demo and make test on fresh Debians, trixie and bookworm (root, half an hour)
	@sh scripts/system-packages.sh test-install
	@PYTHONPATH=. $(VENV)/bin/python -m tests.install.clean $(ARGS)

test-arm64: setup-test ## Install and test on arm64 under qemu-user, unless nothing has changed (root, minutes)
	@sh scripts/system-packages.sh test-arm64
	@PYTHONPATH=. $(VENV)/bin/python -m tests.install.arm64

branches: setup-test ## Show which branches of the code about consent no mirroring test takes (make test wants none)
	@$(VENV)/bin/python scripts/branches.py --all

prove: setup-test ## Run every proof at length and keep the results (hours; ARGS="consent crash" for some, ARGS=list)
	@$(VENV)/bin/python scripts/prove.py $(ARGS)

prove-consent: setup-test ## Prove consent at length: a million steps, a million forgeries, every bit (half an hour on two idle cores)
	@sh scripts/system-packages.sh test-browser
	@DOORWARD_PROVE=all $(VENV)/bin/python -m pytest -p tests.parallel --workers $$(($$(nproc) + 1)) -q -rP \
	    $$(grep -rl --include='test_*.py' properties.amounts tests) $(ARGS)

prove-crash: setup-test ## Cut the power at every write, fail every call and kill a desk's worker at every step (root for ext4, a quarter of an hour)
	@DOORWARD_THOROUGH=1 $(VENV)/bin/python -m pytest -p tests.parallel --workers $$(($$(nproc) + 1)) -q \
	    tests/crash tests/desk/storage/test_workers.py $(ARGS)
	@DOORWARD_THOROUGH=1 DOORWARD_LONG=all $(VENV)/bin/python -m pytest -q -m at_length tests/desk/storage/test_a_grown_desk.py

explore: setup-test ## Run the property tests on fresh examples, more of them (ARGS='tests/core' for some)
	@DOORWARD_EXAMPLES=explore $(VENV)/bin/python -m pytest -p tests.parallel --workers $$(($$(nproc) + 1)) -q \
	    -m hypothesis $(or $(ARGS),tests)

fuzz: setup-test ## Fuzz every parser, coverage-guided (x86-64; SECONDS=20 each, ARGS='inbound envelope' for some)
	@$(VENV)/bin/python -m tests.fuzz.run $(or $(SECONDS),20) $(ARGS)

walks: setup-test ## Count the files that a frame, a request and an approval pass (ARGS=--files lists them)
	@$(VENV)/bin/python -m tests.scenarios.walks $(ARGS)

mutate: setup-test ## Make small mistakes in the code; its tests must notice 95 % (ARGS='--functions --sample=100 owner' for a sample)
	@$(VENV)/bin/python -m tests.mutation.run $(ARGS)

prove-mutation: setup-test ## Make 12 small mistakes in each group of code, others each day (half an hour on two idle cores)
	@$(VENV)/bin/python -m tests.mutation.run --functions --sample=12 --budget=12 --seed=$$(date -u +%Y%m%d) --jobs=$$(nproc) $(ARGS)

lint: setup-test ## Run the linters, the formatters, the type checkers and the import contracts
	@$(VENV)/bin/python scripts/check.py static

bench: setup-test ## Measure, each figure beside its limit (ARGS=weights runs one)
	@sh scripts/system-packages.sh bench
	@$(VENV)/bin/python -m bench $(or $(ARGS),all)

setup: ## Install what running Doorward needs, and nothing else
	@sh scripts/system-packages.sh run
	@$(PYTHON) scripts/set_up.py run

setup-release:
	@sh scripts/system-packages.sh release
	@$(PYTHON) scripts/set_up.py release

setup-test:
	@sh scripts/system-packages.sh test
	@$(PYTHON) scripts/set_up.py test

clean: ## Remove what set-up, tests and demo made (system packages stay)
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf playground playground-desk demo/out demo/report.html demo/certificate.html demo/bundle demo/clips demo/pictures demo/segments demo/sounds demo/summary.json demo/*.mp4 demo/*.png tests/interop/node_modules tests/browser/node_modules
	rm -rf agent/web/src/node_modules desk/web/node_modules build/screenshots models
	find agent bench demo firmware_bridge scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Show this list
	@echo "Doorward: the doorbell camera that cannot see its own past."
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
	    printf '%-26s %s\n' "$$target" "$$text"; done
