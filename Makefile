# make run    builds ashlar, builds examples/web and serves its page from QEMU
# make test   the whole test suite, boot tests included
GO      ?= go
GOFLAGS_STATIC = -trimpath -buildvcs=false -ldflags='-s -w -buildid='
DEVICE  = internal/builder/devicebin/bin
ARCHES  = amd64
PORT   ?= 8080

.PHONY: all build device examples run test lint generate recording bench clean

all: build

build: device
	CGO_ENABLED=0 $(GO) build $(GOFLAGS_STATIC) -o bin/ashlar ./cmd/ashlar

device:
	for arch in $(ARCHES); do \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build $(GOFLAGS_STATIC) -o $(DEVICE)/ashlar-init-$$arch ./cmd/ashlar-init || exit 1; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build $(GOFLAGS_STATIC) -gcflags=all=-l -o $(DEVICE)/ashlar-reaper-$$arch ./cmd/ashlar-reaper || exit 1; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build $(GOFLAGS_STATIC) -o $(DEVICE)/ashlar-fetch-$$arch ./cmd/ashlar-fetch || exit 1; \
	done

# The examples whose programs are built here, not taken from packages.
examples:
	$(MAKE) -s -C examples/app
	$(MAKE) -s -C examples/one-file

run: build
	bin/ashlar run examples/web --publish $(PORT):80

test: device examples
	$(GO) test -timeout 60m $(TESTFLAGS) ./...

lint: device
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet ./...

# The pictured tour; it is a recording, and takes the time that it shows.
recording: build
	$(GO) run ./e2e/recording -ashlar bin/ashlar -o doc/tour.svg

# Needs root, mmdebstrap, apt-utils and squashfs-tools; takes half an hour.
bench: build
	bin/ashlar -q fetch bench/build/server
	$(GO) run ./bench/build

generate: device
	$(GO) generate ./...

clean:
	rm -rf bin out $(DEVICE)/ashlar-*
