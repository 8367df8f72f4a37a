# What can be done with this checkout; `make help` lists it.
.DEFAULT_GOAL := help
SHELL := bash

BIN     := bin/coupongrant
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unversioned)
IMAGE   ?= coupongrant:$(VERSION)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PYTHON  := .cache/python
NODE    := .cache/node
CONSOLE := .cache/console
FOREIGN := processor/proof/testdata/foreign topclient/topsim/testdata/foreign
FUZZTIME ?= 30s

GOLANGCI    := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0
GO_LICENSES := go run github.com/google/go-licenses@v1.6.0
COMPOSE_GO  := go run github.com/compose-spec/compose-go/v2/cmd@v2.16.1
CYCLONEDX   := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
PROMTOOL    := .cache/promtool
HELM        := .cache/helm
KUBECONFORM := .cache/kubeconform
MODULE_helm        = helm.sh/helm/v4/cmd/helm@v4.3.1
MODULE_kubeconform = github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
KUBERNETES         = .cache/kubernetes-schemas
CRDS               = .cache/crds
ALL_TAGS    := integration chaos apart synctests browser

.PHONY: help run build test alerts-test dashboard-test lint fuzz fuzz-long kafka-test console-test screenshots chaos chaos-short chaos-controls chaos-long soak coordinators locked attacks trouble audit-scale apart apart-short bench bench-control bench-micro figures vuln licenses clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## build, then everything in one process with sample traffic, until Ctrl-C
	$(BIN) dev

build: ## bin/coupongrant, with its version stamped in
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BIN) ./cmd/coupongrant

# As deploy/image/Dockerfile builds it: the same sources, version and time give the same bits, wherever they are.
IMAGE_BINARY = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o
IMAGE_BUILD  = deploy/image/build bin/image $(VERSION) $(SOURCE_DATE_EPOCH)
CANONICAL   := .cache/canonical

.PHONY: bin/image/coupongrant image image-test image-again compose-test helm-test sbom
bin/image/coupongrant:
	$(IMAGE_BINARY) $@ ./cmd/coupongrant

image: bin/image/coupongrant $(CANONICAL) ## the container image IMAGE (coupongrant:VERSION): needs Docker
	$(IMAGE_BUILD) $(IMAGE)

image-test: image ## put together again it has the same id; it is small, has no shell, runs as nobody and read-only
	deploy/image/test $(IMAGE) $(VERSION) $(IMAGE_BUILD)

$(CANONICAL): $(wildcard deploy/image/canonical/*)
	mkdir -p $(@D)
	cd deploy/image/canonical && go build -o $(abspath $@) .

image-again: bin/image/coupongrant ## its binary, from a copy of the sources elsewhere and with nothing built yet: the same, bit for bit
	rm -rf bin/again && mkdir -p bin/again
	cp -r go.mod go.sum breaker cmd processor schemas topclient bin/again
	cd bin/again && GOCACHE=$(CURDIR)/bin/again/cache $(IMAGE_BINARY) coupongrant ./cmd/coupongrant
	cmp bin/again/coupongrant $<
	rm -rf bin/again

compose-test: ## deploy/compose.yaml is what Compose understands, by the library that Compose reads it with
	mkdir -p bin
	cd deploy && $(COMPOSE_GO) compose.yaml >/dev/null
	sed 's/healthcheck:/health:/' deploy/compose.yaml >bin/spoilt.yaml
	! $(COMPOSE_GO) bin/spoilt.yaml >/dev/null 2>&1

# Tests in a synctest bubble need the tag: the Kafka client then takes mutexes that the bubble
# understands. Only the packages that have such tests are built with it; real sockets run without,
# and what takes long and is the same either way runs once. LONG lasts for minutes to hours of fake
# time, and runs without the race detector.
LONG = ErrorMatrix|BusyKeysKeepTheirOrderThroughAnOutage|OutageDoesNotCountTowardsGivingUp|OutageUnderLoad|FlappingGateway|FleetKeepsWithinItsRate|DailyBudgetIsKeptThroughRestarts|TroubleIsTold.*|GuardDoesNotFlap
LONG := $(LONG)|ExpelledWhileItHandedOver.*|BanUntilMidnight.*|OutageBeyondTheWindow.*|BacklogOfOneTopicDoesNotKeepOutTheOther|WaitSurvivesARestart|ParkedRequestsAreCalledWhenTheyAreDue|KeyInTroubleDoesNotFillItsWindow|RequestInDoubtIsGivenUpInTime|MassRefusals.*

test: ## everything that needs only Go and a C compiler: vet, and all tests, but the longest with the race detector
	go vet ./...
	go test -race -timeout 20m $$(go list ./... | grep -v /cmd/coupongrant$$) # which is tested whole below
	grep -rl --include='*_test.go' '^//go:build.*[^!]synctests' . | xargs -r -n1 dirname | sort -u | \
		xargs -r go test -race -timeout 20m -tags synctests -skip '^Test(PlantedBugsAreSeen|.*InRandomHistories|$(LONG))$$'
	go test -timeout 20m -tags synctests -run '^Test($(LONG)|AttackAllAtOnceIn256MiB)$$' ./processor ./cmd/coupongrant

lint: ## vet with every build tag, alone and together, then the linters and formatters of .golangci.yml
	for tags in $(ALL_TAGS) '$(ALL_TAGS)'; do go vet -tags "$$tags" ./... || exit 1; done
	$(GOLANGCI) run

fuzz: ## every fuzz target for FUZZTIME (30s)
	@set -e; for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

fuzz-long: ## what reads what others wrote (TARGETS), for CPU_HOURS (2) each and in 256 MiB; goes on where it was stopped
	CPU_HOURS=$(CPU_HOURS) .ci/fuzz-long

# Of the package's tests those that have the tag: the others are run by `make test`.
kafka-test: export COUPONGRANT_TEST_PYTHON ?= $(CURDIR)/$(PYTHON)/bin/python3
kafka-test: export COUPONGRANT_TEST_NODE_MODULES ?= $(CURDIR)/$(NODE)/node_modules
kafka-test: $(PYTHON)/ready $(NODE)/ready ## the tests on real Kafka, a real registry and other teams' clients: needs Docker, Python 3 and npm
	go test -tags integration -count=1 -v -run Foreign ./topclient/topsim/
	go test -tags integration -count=1 -v -timeout 15m -run "$$(grep -l '^//go:build.*integration' processor/proof/*_test.go | \
		xargs sed -n 's/^func \(Test[A-Za-z0-9]*\)(.*/^\1$$/p' | paste -sd '|' -)" $(KAFKA_TEST) ./processor/proof/

$(PYTHON)/ready: $(FOREIGN:=/requirements.txt)
	python3 -m venv $(PYTHON)
	$(PYTHON)/bin/pip install --quiet --disable-pip-version-check $(addprefix -r ,$^)
	touch $@

$(NODE)/ready: $(addprefix topclient/topsim/testdata/foreign/,package.json package-lock.json)
	mkdir -p $(NODE)
	cp $^ $(NODE)
	npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

BROWSER = go test -tags browser -count=1 -v -timeout 15m ./cmd/coupongrant/

console-test screenshots: export COUPONGRANT_TEST_NODE_MODULES ?= $(CURDIR)/$(CONSOLE)/node_modules
console-test: $(CONSOLE)/ready ## the console in a real Chromium: needs npm and Debian's package chromium
	$(BROWSER) -run '^TestConsole(OnStage|OfTheAssembledProgram)$$'

screenshots: $(CONSOLE)/ready ## the README's pictures, of a run with troubles: needs pngquant and a good font (fonts-inter) as well
	$(BROWSER) -run '^TestPictures$$' -args -pictures $(CURDIR)/docs
	pngquant --force --strip --ext .png 192 docs/console.png docs/console-dark.png docs/console-phone.png

$(CONSOLE)/ready: $(addprefix cmd/coupongrant/testdata/console/,package.json package-lock.json)
	mkdir -p $(CONSOLE)
	cp $^ $(CONSOLE)
	npm ci --prefix $(CONSOLE) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Kafka's brokers run as processes here: REAL_KAFKA_LIBS names the folder libs of a Kafka 4
# distribution. A run is repeated with SEED=n; PROTOCOL=consumer runs the group as KIP-848 says.
CHAOS_RESULTS ?= $(CURDIR)/bin/chaos
CHAOS_ARGS     = $(if $(SEED),-seed $(SEED)) $(if $(PROTOCOL),-protocol $(PROTOCOL)) -results $(CHAOS_RESULTS)
CHAOS_SHORT   ?= (Plan|Owner|BrokerMay|Every|Overlap|ChaosOn|ChaosSeesWhatIsDoubled|TruthOnKfake|TruthSees)
CHAOS          = go test -tags chaos -count=1 -v ./processor/proof/

chaos-short: ## kills and other faults for minutes, on kfake and on three real brokers: needs Java 17 and REAL_KAFKA_LIBS
	mkdir -p $(CHAOS_RESULTS)
	$(CHAOS) -timeout 30m -run '^Test$(CHAOS_SHORT)' -args $(CHAOS_ARGS)

chaos-controls: ## planted bugs must be caught, those too that a plan meets only by chance: up to three plans each
	mkdir -p $(CHAOS_RESULTS)
	$(CHAOS) -timeout 30m -run '^Test(Chaos|Soak)Sees' -args $(CHAOS_ARGS)

chaos: ## every fault again and again, for half an hour of load on three real brokers
	mkdir -p $(CHAOS_RESULTS)
	$(CHAOS) -timeout 3h -run '^TestChaosForLong$$' -args $(CHAOS_ARGS) -load $(or $(LOAD),30m)

coordinators: ## a new coordinator tells no older offsets than another had, transactions are whole through it, if a killed broker waits, and results are kept while replicas are missing
	mkdir -p $(CHAOS_RESULTS)
	$(CHAOS) -timeout 60m -run '^Test(CoordinatorMoves|TransactionsAre.*KilledBroker.*|ResultsAreKept.*)$$' -args $(CHAOS_ARGS)

chaos-long: ## the same SLICES (4) times, for 33 minutes each, with a seed of its own, under either group protocol in turn: more than a million requests
	set -e; for slice in $$(seq $(or $(SLICES),4)); do $(MAKE) chaos LOAD=$(or $(LOAD),33m) PROTOCOL=$$([ $$((slice % 2)) = 0 ] && echo consumer || echo classic); done

soak: ## a steady rate and a fault a minute for two hours, and a process whose memory, goroutines and files must not grow
	mkdir -p $(CHAOS_RESULTS)
	$(CHAOS) -timeout 6h -run '^TestSoakOnKafka$$' -args $(CHAOS_ARGS) -load $(or $(LOAD),2h)

locked: ## a real broker that lets in only whom it knows: rights taken away, secrets rotated; needs Java 17 and REAL_KAFKA_LIBS
	$(CHAOS) -timeout 30m -run '^TestLocked'

# By kind in SECURITY.md; those of before are named here, the others begin with Attack.
ATTACKS = Attack|DecompressionBomb|GateRefuses|ValuesThatAskForTooMuch|WorstValueThatIsRead|MadeUpIDs|AbsenceIs|RegistryFaults|HangingRegistry|ExchangeEnds|SchemasThatAreNotOurs|CapsBoundMemory|DeepNesting|DepthOfJSON|DoubtfulAnswers|Timeout|RedirectIsNotFollowed|NoCommandLets|NoCommandShows|AdminOnlyAnswersReads

attacks: ## what somebody could do who writes to the topics, is the registry or the gateway, or reaches the admin port
	go test -count=1 -timeout 30m -tags synctests -run '^Test($(ATTACKS))' ./cmd/coupongrant ./processor ./schemas ./topclient

# One case alone: CASE=TruthOnKafka, TruthOfAForgetfulGateway, OutageOnKafka or QuotaOnKafka.
TROUBLE = (TruthOnKafka|TruthOfAForgetfulGateway|OutageOnKafka|QuotaOnKafka|QuotaSees.*)

trouble: ## lost answers and every way of answering repeats, outages, the quota through changes, on a real broker: needs Java 17 and REAL_KAFKA_LIBS
	mkdir -p $(CHAOS_RESULTS) docs/raw
	$(CHAOS) -timeout 60m -run '^Test$(or $(CASE),$(TROUBLE))$$' -args $(CHAOS_ARGS); held=$$?; \
		cp $(CHAOS_RESULTS)/trouble-*.json docs/raw/; exit $$held

audit-scale: ## the audit of a million requests with three breaches among them, and the look-up of one: memory and time: needs Java 17 and REAL_KAFKA_LIBS
	mkdir -p docs/raw
	$(CHAOS) -timeout 60m -run 'AtScale$$' -args -results $(CURDIR)/docs/raw $(if $(REQUESTS),-requests $(REQUESTS))

# For figures the machine must be quiet. One case alone: CASE=Burst; PAIRS=n, LENGTH=10m of the poisoned
# keys' runs.
APART      = go test -tags apart -count=1 -v -timeout 8h -run '^TestApart.*$(CASE)' ./processor/proof/
APART_ARGS = $(if $(PAIRS),-pairs $(PAIRS)) $(if $(LENGTH),-length $(LENGTH))

apart: ## what others feel of a silent request, poisoned keys, a burst, a backlog, a restart: hours; needs Java 17 and REAL_KAFKA_LIBS
	mkdir -p docs/raw
	$(APART) -args -results $(CURDIR)/docs/raw $(APART_ARGS)

apart-short: ## the same cases, small and once each: what needs no medians must hold
	mkdir -p bin/apart
	$(APART) -short -args -pairs 1 -results $(CURDIR)/bin/apart

# For figures the machine must be quiet. BENCH are arguments of coupongrant bench.
BENCH_ON = go test -tags apart -count=1 -v -timeout 12h -run '^Test$(1)$$' ./processor/proof/

bench: ## throughput, latency, memory and processor time beside their baselines: an hour; needs Java 17 and REAL_KAFKA_LIBS
	$(call BENCH_ON,BenchOnKafka) -args -results $(CURDIR)/docs/raw -bench "$(BENCH)"

bench-control: ## an engine that is made slow must not hold
	$(call BENCH_ON,BenchSeesSlowness)

bench-micro: ## the micro-benchmarks beside those of BASE (HEAD^), as a report
	BASE=$(BASE) COUNT=$(COUNT) .ci/bench-micro

figures: ## the figures of docs/raw into their pages
	go test -count=1 -run 'FiguresAreThoseOfTheRawResults$$' ./processor/proof/ ./cmd/coupongrant/bench/ -args -figures

alerts-test: $(PROMTOOL) ## each alert rule in a case that fires and in one that must not
	$(PROMTOOL) check rules deploy/prometheus/rules.yaml
	$(PROMTOOL) test rules deploy/prometheus/rules_test.yaml

dashboard-test: ## the Grafana dashboard against the types that Grafana generates from its schemas
	cd deploy/grafana/check && go run . ../coupongrant.json

# The one that is installed, or that of Debian's package, taken out without installing it, or built.
$(PROMTOOL):
	mkdir -p $(@D)/deb
	ln -sf "$$(command -v promtool)" $@ 2>/dev/null && test -x $@ || { cd $(@D)/deb && \
		{ apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } >/dev/null 2>&1 && \
		dpkg-deb --extract prometheus_*.deb . && install -T usr/bin/promtool ../promtool; } || \
		{ rm -f $@; GOBIN=$(abspath $(@D)) go install github.com/prometheus/prometheus/cmd/promtool@v0.316.0; }
	rm -rf $(@D)/deb

helm-test: build $(HELM) $(KUBECONFORM) $(KUBERNETES)/ready $(CRDS)/ready ## the chart: linted, rendered for many values, against Kubernetes' schemas and its restricted profile
	cd deploy/helm/check && go test -count=1 -v ./...

$(HELM) $(KUBECONFORM):
	mkdir -p $(@D)
	GOBIN=$(abspath $(@D)) go install $(MODULE_$(@F))

# The schemas of Kubernetes' own objects, as a package of the Python world carries them, made to be read as files.
$(KUBERNETES)/ready:
	rm -rf $(@D) && mkdir -p $(@D)
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest $(@D) kubernetes-validate==1.37.0
	cd $(@D) && python3 -m zipfile --extract *.whl . && mv kubernetes_validate/kubernetes-json-schema/v1.3[17].0-local-strict . && \
		rm -r kubernetes_validate* && sed -i 's|"/api/_definitions|"_definitions|; s|"$$id": ".*"|"$$comment": ""|' */*.json
	touch $@

# And those of operators' objects, from the operators' own sources.
$(CRDS)/ready:
	mkdir -p $(@D)
	cd $(@D) && of() { go mod download -json "$$1" | sed -n 's/^.*"Dir": "\(.*\)".*/\1/p'; } && \
		operator=$$(of github.com/prometheus-operator/prometheus-operator@v0.85.0)/example/prometheus-operator-crd && \
		install -m 644 $$operator/monitoring.coreos.com_servicemonitors.yaml $$operator/monitoring.coreos.com_prometheusrules.yaml . && \
		install -m 644 $$(of github.com/kedacore/keda/v2@v2.21.0)/config/crd/bases/keda.sh_scaledobjects.yaml .
	touch $@

vuln: ## known vulnerabilities in what we build on; needs the network
	$(GOVULNCHECK) ./...

licenses: ## the licence of every module in the binary; fails on one that we cannot ship
	$(GO_LICENSES) check --logtostderr=false --log_file=/dev/null --stderrthreshold=ERROR \
		--allowed_licenses=Apache-2.0,MIT,BSD-2-Clause,BSD-3-Clause,ISC,MPL-2.0 ./cmd/coupongrant

sbom: bin/image/coupongrant ## dist/coupongrant.cdx.json: what is in the image's binary, with licences, in CycloneDX
	mkdir -p dist
	$(CYCLONEDX) bin -json -std -licenses -noserial -version $(VERSION) -output dist/coupongrant.cdx.json $<

clean: ## away with what these targets made
	rm -rf bin dist .cache
