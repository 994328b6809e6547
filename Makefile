# The targets of vsrun's project. A target installs the commands that it needs and cannot find (as root on Debian), or
# prints which are missing. The scripts in tools/ do the work.

# Rust's target: this machine's architecture, linked statically. For another one: make TARGET=aarch64-unknown-linux-musl
TARGET ?= $(shell uname -m)-unknown-linux-musl
PREFIX ?= /usr/local
DESTDIR ?=
# Arguments for cargo test: make test TESTARGS='pidfile:: -- --nocapture'
TESTARGS ?=

# How many seconds `make fuzz` runs each fuzz target, and which fuzz targets it runs (empty: all).
FUZZTIME ?= 60
FUZZ ?=

# The build directory: CARGO_TARGET_DIR if it is set, otherwise cargo's default.
OUT = $(or $(CARGO_TARGET_DIR),target)
BIN = $(OUT)/$(TARGET)/release/vsrun
MACHINE = $(firstword $(subst -, ,$(TARGET)))
IMAGE = $(OUT)/vsrun-image.tar
DEB = $(OUT)/vsrun-$(MACHINE).deb
# The directory where cargo keeps what build.rs writes, and the copies of those files: the man page and the completions
# for shells.
MADE = $(OUT)/$(TARGET)/release/build
PAGE = $(OUT)/vsrun.8
COMPLETIONS = $(addprefix $(OUT)/,vsrun.bash _vsrun vsrun.fish)
# The other machines that `make cross` builds for.
CROSS ?= aarch64 armv7 i686 riscv64
# The machines that `make release` builds for (empty: all).
RELEASE ?=
SHARE = $(DESTDIR)$(PREFIX)/share
RUST = tools/rust

# The targets below that call cargo directly build for the same target.
export CARGO_BUILD_TARGET = $(TARGET)

# One cargo process uses all cores. A second one would only wait for the lock on the build directory.
.NOTPARALLEL:
.PHONY: build cross test-cross demo recording html test prove prove-compiles check fmt clippy deny doc fuzz miri faults soak field bench size man man-check image microvm deb release reproducible install install-links uninstall clean help

build: ## the small static binary (this is the default)
	$(RUST) tools/build
	@ls -l $(BIN)

cross: ## build the small binary for other machines, and check its size (CROSS='aarch64 armv7 i686 riscv64')
	tools/cross build $(CROSS)

test-cross: cross ## test the binaries of `make cross`, in an emulator where necessary
	tools/cross test $(CROSS)

demo: build ## show what vsrun does, with a small server
	$(RUST) cargo build --locked --quiet --example hello
	examples/demo.sh $(BIN) $(OUT)/$(TARGET)/debug/examples/hello

recording: build ## record the demo as docs/demo.svg (root)
	tools/need recording
	$(RUST) cargo build --locked --quiet --example hello
	tools/recording $(BIN) $(OUT)/$(TARGET)/debug/examples/hello docs/demo.svg

test: build ## run all tests with the small binary (TESTARGS='...' is passed to cargo test)
	VSRUN=$(abspath $(BIN)) $(RUST) tools/test $(TESTARGS)

prove: ## explore all states of the supervisor, check that planted faults are found, and compare with docs/proof.md
	$(RUST) tools/prove
	tools/model

prove-compiles: ## check that the code of `make prove` compiles, and that each planted fault applies to a line
	$(RUST) tools/prove compile

check: fmt clippy deny size man-check prove-compiles test doc ## all checks that must pass before a change is merged

fmt: ## check that the code is formatted
	$(RUST) cargo fmt --check
	$(RUST) cargo fmt --check --manifest-path fuzz/Cargo.toml

clippy: ## run clippy; warnings are errors
	$(RUST) cargo clippy --locked --all-targets --features test-server -- -D warnings

deny: ## check licences, sources and known vulnerabilities of the packages (deny.toml)
	$(RUST) tools/deny

doc: ## build the rustdoc pages; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(RUST) cargo doc --locked --no-deps --document-private-items

fuzz: ## run each fuzz target for FUZZTIME seconds, 60 by default (FUZZ='...' selects the targets)
	$(RUST) tools/fuzz $(FUZZTIME) $(FUZZ)

miri: ## run the unit tests under Miri, which detects undefined behaviour (needs rustup's nightly)
	tools/miri

faults: build ## make each system call fail in turn, and write docs/faults.md (FAULTS_ONLY=jail::chroot selects some)
	$(if $(FAULTS_ONLY),,FAULTS=all FAULTS_TABLE=$(abspath docs/faults.md)) VSRUN=$(abspath $(BIN)) \
		$(RUST) tools/test --test it fault_injection:: -- --nocapture

soak: build ## test for some minutes with crashes, restarts, signals, clock changes and a full disk
	SOAK=long VSRUN=$(abspath $(BIN)) $(RUST) tools/test --test it soak:: -- --nocapture

field: build ## test with real servers from Debian's packages (root; FIELD_SECONDS=120 sets the length of the soak test)
	tools/need field
	FIELD=1 VSRUN=$(abspath $(BIN)) $(RUST) tools/test --test it field:: -- --nocapture

bench: build ## compare vsrun with similar programs, and write docs/bench.md (root; QUICK=1 is a short run)
	benches/run $(BIN)

size: build ## check that the binary is small and static
	tools/need check
	tools/size $(BIN)

man: $(PAGE) ## copy the man page of the last build to target/vsrun.8

html: man ## write the man page as HTML, with pictures: target/vsrun.html
	tools/need check
	tools/html $(PAGE) $(OUT)/vsrun.html
	@ls -l $(OUT)/vsrun.html

man-check: build man ## check the man page with mandoc and groff; warnings are errors
	tools/need check
	tools/man-check $(PAGE)

image: build ## write a container image with vsrun only, for `docker load`, `podman load` and skopeo
	tools/need image
	tools/image $(BIN) $(MACHINE) $(IMAGE)
	@ls -l $(IMAGE)

microvm: build ## boot a container image as a virtual machine (IMAGE=directory or tar file; see tools/microvm)
	tools/need microvm
	tools/microvm $(BIN) $(IMAGE)

deb: build $(PAGE) $(COMPLETIONS) ## write a Debian package, for `apt-get install ./target/vsrun-...deb`
	tools/need deb
	tools/deb $(BIN) $(MACHINE) $(OUT) $(DEB)
	@ls -l $(DEB)

release: ## make all files of a release: binaries, packages, images, checksums and more (RELEASE='x86_64 ...')
	tools/release $(RELEASE)

reproducible: ## make the release twice, in different environments, and compare all bytes
	tools/reproducible $(RELEASE)

install: $(BIN) $(PAGE) $(COMPLETIONS) ## install binary (in sbin), man page and completions below DESTDIR and PREFIX
	install -d $(DESTDIR)$(PREFIX)/sbin $(SHARE)/man/man8
	install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/sbin/vsrun
	gzip -9nc $(PAGE) >$(SHARE)/man/man8/vsrun.8.gz
	chmod 644 $(SHARE)/man/man8/vsrun.8.gz
	install -D -m 644 $(OUT)/vsrun.bash $(SHARE)/bash-completion/completions/vsrun
	install -D -m 644 $(OUT)/_vsrun $(SHARE)/zsh/site-functions/_vsrun
	install -D -m 644 $(OUT)/vsrun.fish $(SHARE)/fish/vendor_completions.d/vsrun.fish

# The tools that vsrun can replace when it is called by their names: see OTHER NAMES in the manual.
LINKS = docker-init podman-init tini tini-static catatonit dumb-init gosu su-exec

install-links: ## make links from the names of other tools to the installed vsrun (DIR=/usr/local/bin)
	@test -n "$(DIR)" || { echo "install-links: set DIR=..., the directory for the links" >&2; exit 1; }
	install -d $(DESTDIR)$(DIR)
	for name in $(LINKS); do ln -sf $(PREFIX)/sbin/vsrun $(DESTDIR)$(DIR)/$$name || exit; done

uninstall: ## undo install
	rm -f $(DESTDIR)$(PREFIX)/sbin/vsrun $(SHARE)/man/man8/vsrun.8.gz
	rm -f $(SHARE)/bash-completion/completions/vsrun $(SHARE)/zsh/site-functions/_vsrun
	rm -f $(SHARE)/fish/vendor_completions.d/vsrun.fish

clean: ## delete everything that was built
	rm -rf $(OUT)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# No dependencies on the sources: `sudo make install` after `make` builds nothing, because root may have no Rust.
$(BIN):
	$(RUST) tools/build

$(PAGE) $(COMPLETIONS): $(BIN)
	tools/made $(MADE) $@
