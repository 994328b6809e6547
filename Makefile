# vsrun. Every target installs, or requests, what is missing; the scripts in tools do the work.

# This machine's architecture, statically linked. For another: make TARGET=aarch64-unknown-linux-musl
TARGET ?= $(shell uname -m)-unknown-linux-musl
PREFIX ?= /usr/local
DESTDIR ?=
# For cargo test: make test TESTARGS='pidfile:: -- --nocapture'
TESTARGS ?=

# Seconds for each target of make fuzz, and the targets: all.
FUZZTIME ?= 60
FUZZ ?=

# cargo's own directory, if the environment names one.
OUT = $(or $(CARGO_TARGET_DIR),target)
BIN = $(OUT)/$(TARGET)/release/vsrun
MACHINE = $(firstword $(subst -, ,$(TARGET)))
IMAGE = $(OUT)/vsrun-image.tar
DEB = $(OUT)/vsrun-$(MACHINE).deb
# The other files of the build, and those that shells read.
MADE = $(OUT)/$(TARGET)/release/build
PAGE = $(OUT)/vsrun.8
COMPLETIONS = $(addprefix $(OUT)/,vsrun.bash _vsrun vsrun.fish)
# The other machines that `make cross` builds for.
CROSS ?= aarch64 armv7 i686 riscv64
# The machines of make release: all.
RELEASE ?=
SHARE = $(DESTDIR)$(PREFIX)/share
RUST = tools/rust

# The plain cargo calls below build for it, too.
export CARGO_BUILD_TARGET = $(TARGET)

# cargo uses every core by itself, and two cargos only wait for each other.
.NOTPARALLEL:
.PHONY: build cross test-cross demo recording html test prove prove-compiles check fmt clippy deny doc fuzz miri faults soak field bench size man man-check image microvm deb release reproducible install install-links uninstall clean help

build: ## the small static binary (this is the default)
	$(RUST) tools/build
	@ls -l $(BIN)

cross: ## the small binary for boards, each with its size (CROSS='aarch64 armv7 i686 riscv64')
	tools/cross build $(CROSS)

test-cross: cross ## test those binaries under an emulator
	tools/cross test $(CROSS)

demo: build ## show what vsrun does, with a small server
	$(RUST) cargo build --locked --quiet --example hello
	examples/demo.sh $(BIN) $(OUT)/$(TARGET)/debug/examples/hello

recording: build ## record the demo as docs/demo.svg (root)
	tools/need recording
	$(RUST) cargo build --locked --quiet --example hello
	tools/recording $(BIN) $(OUT)/$(TARGET)/debug/examples/hello docs/demo.svg

test: build ## all tests, of the small binary (TESTARGS='...' goes to cargo test)
	VSRUN=$(abspath $(BIN)) $(RUST) tools/test $(TESTARGS)

prove: ## explore all states of the supervisor, and find planted faults; compares docs/proof.md
	$(RUST) tools/prove
	tools/model

prove-compiles: ## check that the exploration can be compiled and finds the lines of the planted faults
	$(RUST) tools/prove compile

check: fmt clippy deny size man-check prove-compiles test doc ## all checks that must pass before a change is merged

fmt: ## check that the code is formatted
	$(RUST) cargo fmt --check
	$(RUST) cargo fmt --check --manifest-path fuzz/Cargo.toml

clippy: ## run clippy; warnings are errors
	$(RUST) cargo clippy --locked --all-targets --features test-server -- -D warnings

deny: ## check licences, sources and known holes of the packages (deny.toml)
	$(RUST) tools/deny

doc: ## build the rustdoc pages; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(RUST) cargo doc --locked --no-deps --document-private-items

fuzz: ## feed the parsers with generated input, each for $(FUZZTIME) seconds (FUZZ='...' names the targets)
	$(RUST) tools/fuzz $(FUZZTIME) $(FUZZ)

miri: ## run the unit tests under Miri, which detects undefined behaviour (needs rustup's nightly)
	tools/miri

faults: build ## fail every system call, one after the other: docs/faults.md (FAULTS_ONLY=jail::chroot selects some)
	$(if $(FAULTS_ONLY),,FAULTS=all FAULTS_TABLE=$(abspath docs/faults.md)) VSRUN=$(abspath $(BIN)) \
		$(RUST) tools/test --test it fault_injection:: -- --nocapture

soak: build ## some minutes of crashes, restarts, signals, clock changes and a full disk
	SOAK=long VSRUN=$(abspath $(BIN)) $(RUST) tools/test --test it soak:: -- --nocapture

field: build ## real servers from Debian's packages (root; FIELD_SECONDS=120 for the soak among them)
	tools/need field
	FIELD=1 VSRUN=$(abspath $(BIN)) $(RUST) tools/test --test it field:: -- --nocapture

bench: build ## compare vsrun with similar programs, and write docs/bench.md (root; QUICK=1 is a short run)
	benches/run $(BIN)

size: build ## check that the binary is small and static
	tools/need check
	tools/size $(BIN)

man: $(PAGE) ## the man page of the last build

html: man ## the man page as HTML with its pictures: $(OUT)/vsrun.html
	tools/need check
	tools/html $(PAGE) $(OUT)/vsrun.html
	@ls -l $(OUT)/vsrun.html

man-check: build man ## check the man page for warnings
	tools/need check
	tools/man-check $(PAGE)

image: build ## a container image of vsrun alone, for `docker load`, `podman load` and skopeo
	tools/need image
	tools/image $(BIN) $(MACHINE) $(IMAGE)
	@ls -l $(IMAGE)

microvm: build ## boot a container image as a machine of its own (IMAGE=directory or tar file; tools/microvm says more)
	tools/need microvm
	tools/microvm $(BIN) $(IMAGE)

deb: build $(PAGE) $(COMPLETIONS) ## a Debian package, for `apt-get install ./target/vsrun-...deb`
	tools/need deb
	tools/deb $(BIN) $(MACHINE) $(OUT) $(DEB)
	@ls -l $(DEB)

release: ## all files of a release: binaries, packages, image index, bills of materials, sums (RELEASE='x86_64 ...')
	tools/release $(RELEASE)

reproducible: ## make the release twice, in different environments, and compare every byte
	tools/reproducible $(RELEASE)

install: $(BIN) $(PAGE) $(COMPLETIONS) ## into $(DESTDIR)$(PREFIX): binary in sbin, man page, completions
	install -d $(DESTDIR)$(PREFIX)/sbin $(SHARE)/man/man8
	install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/sbin/vsrun
	gzip -9nc $(PAGE) >$(SHARE)/man/man8/vsrun.8.gz
	chmod 644 $(SHARE)/man/man8/vsrun.8.gz
	install -D -m 644 $(OUT)/vsrun.bash $(SHARE)/bash-completion/completions/vsrun
	install -D -m 644 $(OUT)/_vsrun $(SHARE)/zsh/site-functions/_vsrun
	install -D -m 644 $(OUT)/vsrun.fish $(SHARE)/fish/vendor_completions.d/vsrun.fish

# The tools whose place vsrun can take: see OTHER NAMES in the manual.
LINKS = docker-init podman-init tini tini-static catatonit dumb-init gosu su-exec

install-links: ## links to the installed vsrun by the names of other tools (DIR=/usr/local/bin)
	@test -n "$(DIR)" || { echo "install-links needs DIR=..., the directory of the links" >&2; exit 1; }
	install -d $(DESTDIR)$(DIR)
	for name in $(LINKS); do ln -sf $(PREFIX)/sbin/vsrun $(DESTDIR)$(DIR)/$$name || exit; done

uninstall: ## undo install
	rm -f $(DESTDIR)$(PREFIX)/sbin/vsrun $(SHARE)/man/man8/vsrun.8.gz
	rm -f $(SHARE)/bash-completion/completions/vsrun $(SHARE)/zsh/site-functions/_vsrun
	rm -f $(SHARE)/fish/vendor_completions.d/vsrun.fish

clean: ## delete everything that was built
	rm -rf $(OUT)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# `sudo make install` after `make` builds nothing: root may have no Rust, and should not need one.
$(BIN):
	$(RUST) tools/build

$(PAGE) $(COMPLETIONS): $(BIN)
	tools/made $(MADE) $@
