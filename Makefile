# SPDX-License-Identifier: GPL-2.0
#
# The front door. Kbuild has what the kernel's build system needs.

# The kernel to boot: 7.2, 7.3 or an exact version, or "debug" for the debug kernel of the newest
# supported one; the newest supported one unless said.
KERNEL ?=
# The kernel to build for in "make module".
KDIR ?= /lib/modules/$(shell uname -r)/build
RELEASE = $(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null)
# A file for the demo, and what the shell in the virtual machine is to run. Both reach the recipes
# through the environment, so that neither make nor the shell minds their spaces, quotes and dollars.
override FILE := $(value FILE)
override CMD := $(value CMD)
export FILE CMD

# How long "make fuzz" looks.
FUZZ_SECONDS ?= 600

TARGET := x86_64-unknown-linux-gnu
LAB := build/lab/$(TARGET)/release/lab
KIT := build/lab/$(TARGET)/release/rust-kernel-kit
TOOLS := build/userspace/$(TARGET)/release
# What cargo (from 1.91 on) makes of crates is kept beside the lab's kernels, for a new clone in the same
# place. Clones in two places have nothing in common: cargo could take the work of one for the other's.
CARGO_CACHE := $(shell realpath -m -- "$${ADLER32_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/adler32}")/cargo
export CARGO_BUILD_BUILD_DIR := $(CARGO_CACHE)/{workspace-path-hash}
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

kernel := $(if $(KERNEL),$(if $(filter debug,$(KERNEL)),--flavour debug,--kernel $(KERNEL)))
packages := $(if $(PACKAGES),--packages "$(PACKAGES)")
in_guest := $(kernel) $(packages) --build . --path $(TOOLS)

# Packages are installed one after the other, and cargo and the tests use all processors as it is.
.NOTPARALLEL:

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: module
module: ## Build adler32.ko for the running kernel, or for KDIR=...
	@test -d $(KDIR) || { echo "make: no kernel build folder $(KDIR): install the kernel's headers or set KDIR=..." >&2; exit 1; }
	@grep -q '^CONFIG_RUST=y' $(KDIR)/include/config/auto.conf || { echo "make: the kernel of $(KDIR) is built without Rust (CONFIG_RUST)" >&2; exit 1; }
	@test -f $(KDIR)/rust/libkernel.rmeta || { echo "make: $(KDIR) lacks the kernel's Rust metadata: see docs/install.md" >&2; exit 1; }
	@mkdir -p build/module/$(RELEASE)
	@$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/build/module/$(RELEASE) modules
	@echo "built build/module/$(RELEASE)/adler32.ko"

# Where things are installed. DESTDIR goes before all of it.
prefix ?= /usr/local
bindir ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
bashdir ?= $(prefix)/share/bash-completion/completions
fishdir ?= $(prefix)/share/fish/vendor_completions.d
zshdir ?= $(prefix)/share/zsh/site-functions
udevdir ?= $(prefix)/lib/udev/rules.d
loaddir ?= $(prefix)/lib/modules-load.d

# What is installed, as MODE:FILE:TARGET.
TOOL_FILES := \
	755:$(TOOLS)/adler32:$(bindir)/adler32 \
	755:$(TOOLS)/adler32sum:$(bindir)/adler32sum \
	$(foreach page,adler32 adler32-bench adler32-combine adler32-info adler32-sum adler32sum,\
		644:build/man/man1/$(page).1:$(mandir)/man1/$(page).1) \
	644:docs/man/adler32.4:$(mandir)/man4/adler32.4 \
	644:build/completions/adler32.bash:$(bashdir)/adler32 \
	644:build/completions/adler32sum.bash:$(bashdir)/adler32sum \
	644:build/completions/adler32.fish:$(fishdir)/adler32.fish \
	644:build/completions/adler32sum.fish:$(fishdir)/adler32sum.fish \
	644:build/completions/_adler32:$(zshdir)/_adler32 \
	644:build/completions/_adler32sum:$(zshdir)/_adler32sum \
	644:udev/60-adler32.rules:$(udevdir)/60-adler32.rules
HEADER_FILES := 644:include/uapi/linux/adler32.h:$(includedir)/linux/adler32.h
LOAD_FILES := 644:packaging/modules-load.d/adler32.conf:$(loaddir)/adler32.conf
KIT_FILES := \
	755:$(KIT):$(sbindir)/rust-kernel-kit \
	644:docs/man/rust-kernel-kit.8:$(mandir)/man8/rust-kernel-kit.8
DKMS_FILES := $(foreach file,Kbuild Cargo.toml $(shell find src -type f),\
	644:$(file):/usr/src/adler32-$(VERSION)/$(file)) \
	644:packaging/dkms.mk:/usr/src/adler32-$(VERSION)/dkms.mk

# Where modules_install puts it.
INSTALLED_MODULE = /lib/modules/$(RELEASE)/updates/adler32.ko

.PHONY: install
install: install-module install-tools install-header ## Install what "make module commands" built: DESTDIR= prefix=/usr/local

# modules_install skips depmod, as headers have no System.map. With DESTDIR, it is for whoever installs
# what is there.
.PHONY: install-module
install-module:
	@test -f build/module/$(RELEASE)/adler32.ko || { echo "make: no build/module/$(RELEASE)/adler32.ko: make module first" >&2; exit 1; }
	@$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/build/module/$(RELEASE) INSTALL_MOD_PATH=$(DESTDIR) \
		modules_install
	@$(if $(DESTDIR),,depmod $(RELEASE))
	$(call install,$(LOAD_FILES))

.PHONY: install-tools install-header install-kit install-dkms
install-tools: files := $(TOOL_FILES)
install-header: files := $(HEADER_FILES)
install-kit: files := $(KIT_FILES)
install-dkms: files := $(DKMS_FILES) $(LOAD_FILES)
install-tools install-header install-kit install-dkms:
	$(call install,$(files))

.PHONY: uninstall
uninstall: ## Remove what "make install" installed: DESTDIR= prefix=/usr/local
	@cd $(DESTDIR)/ && for file in $(foreach file,$(TOOL_FILES) $(HEADER_FILES) $(LOAD_FILES),$(lastword $(subst :, ,$(file)))) \
		$(if $(wildcard $(KDIR)),$(addprefix $(INSTALLED_MODULE),$(empty) .gz .xz .zst)); do \
		rm -f .$$file && $(if $(DESTDIR),rmdir -p --ignore-fail-on-non-empty .$${file%/*} 2>/dev/null || )true; done
	@$(if $(DESTDIR),,$(if $(wildcard $(KDIR)),depmod $(RELEASE)))

# $(call install,FILES): nothing is installed unless all of it is there.
define install
	@for file in $(1); do \
		source=$${file#*:} && source=$${source%%:*}; \
		test -f $$source || { echo "make: no $$source: make commands first" >&2; exit 1; }; done
	@for file in $(1); do \
		source=$${file#*:} && \
		install -D -m $${file%%:*} $${source%%:*} $(DESTDIR)$${source#*:} || exit; done
endef

.PHONY: deb
deb: lab ## Build the Debian packages, to build/deb
	@packaging/deb $(VERSION)

.PHONY: test-packages
test-packages: deb tools ## Install the packages on a clean Debian, boot, upgrade the kernel, boot, purge
	@$(LAB) run --packages "e2fsprogs mmdebstrap" $(TOOLS)/test-packages --folder /var/tmp/packages \
		build/deb/adler32-*.deb

.PHONY: demo
demo: lab tools ## Show the module at work in a stock Debian kernel: KERNEL=7.2|7.3 FILE=...
ifdef FILE
	@mkdir -p build/demo && cp --dereference --reflink=auto -- "$$FILE" build/demo/
	@$(LAB) vm $(in_guest) -- demo "build/demo/$$(basename -- "$$FILE")"
else
	@$(LAB) vm $(in_guest) -- sh -c 'exec demo /lib/modules/$$(uname -r)/vmlinuz'
endif

.PHONY: test
test: lab tools checkers cmake python ## Prove everything, on every supported kernel
	@$(TOOLS)/test-runner

.PHONY: check
check: lab tools cmake ## The quick loop: formatting, lints, host tests, one boot
	@$(TOOLS)/test-runner --check

.PHONY: bench-core
bench-core: cmake ## Measure the implementations beside those of other libraries
	@cd bench/core && cargo run --release --locked --quiet -- --output ../../build/bench

.PHONY: bench-kernel
bench-kernel: lab tools ## Measure the hash in the kernel beside the same implementation in a program
	@mkdir -p build/bench
	@echo "Load of this machine: $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	@echo "In the stock kernel, emulated unless KVM works:" && $(LAB) vm $(in_guest) -- bench-kernel tcrypt
	@echo "In User Mode Linux, at full speed:" && $(LAB) vm --flavour uml $(in_guest) \
		--build build/tests/modules -- bench-kernel tcrypt shash --json build/bench/kernel.json

# No tests beside what is measured; and copies by loads and stores, because "rep movsb" counts as an
# instruction for each byte.
icount_words := cryptomgr.notests clearcpuid=erms,fsrm

.PHONY: bench-device
bench-device: lab tools ## Measure the device beside AF_ALG and programs
	@mkdir -p build/bench
	@echo "Load of this machine: $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	@echo "In User Mode Linux, at full speed:" && \
		$(LAB) vm --flavour uml --append seccomp=on --memory 1600 $(in_guest) -- bench-device \
			--json build/bench/device-uml.json --plot build/bench/device-uml.svg
	@echo "In the stock kernel, as if each instruction took 1 ns:" && \
		$(LAB) vm --icount --append "$(icount_words)" $(in_guest) -- bench-device --file 32 --memory 8 --rounds 3 \
			--json build/bench/device-icount.json --plot build/bench/device-icount.svg

.PHONY: bench-cli
bench-cli: tools ## Measure the command beside xrdadler32, Python, libdeflate and cksum
	-$(call need,command -v xrdadler32,xrootd-client,which the command is compared with)
	-$(call need,command -v python3,python3,which the command is compared with)
	@mkdir -p build/bench
	@echo "Load of this machine: $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	@$(TOOLS)/bench-cli --json build/bench/cli.json

.PHONY: fuzz
fuzz: checkers ## Look for data that an implementation gets wrong: FUZZ_SECONDS=600
	@mkdir -p build/fuzz/corpus build/fuzz/found
	@cd fuzz && cargo build --release --locked --quiet
	@cd fuzz && bash -o pipefail -c '\
		cargo run --release --locked --quiet -- ../build/fuzz/corpus -artifact_prefix=../build/fuzz/found/ \
			-max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 2>&1 \
		| grep --line-buffered -vE "	(NEW|REDUCE|RELOAD) |	NEW_FUNC|# Uses:|dictionary"'

.PHONY: soak
soak: lab tools ## The long forms: all settings, a million random operations, 1000 times loaded, 10 minutes of stress
	@$(TOOLS)/test-runner --soak

.PHONY: vm
vm: lab tools ## Run CMD='...' in a stock kernel: KERNEL=7.2|7.3|debug PACKAGES="..."
	@test -n "$$CMD" || { echo "make: say what to run: make vm CMD='...'" >&2; exit 2; }
	@$(LAB) vm $(in_guest) -- sh -c "$$CMD"

.PHONY: uml
uml: lab tools ## Run CMD='...' in User Mode Linux, at full speed: KERNEL=7.2|7.3 DEBUG=1 PACKAGES="..."
	@test -n "$$CMD" || { echo "make: say what to run: make uml CMD='...'" >&2; exit 2; }
	@$(LAB) vm --flavour uml$(if $(DEBUG),-debug) $(in_guest) -- sh -c "$$CMD"

.PHONY: shell
shell: lab tools ## A prompt in a stock kernel: KERNEL=7.2|7.3 PACKAGES="..."
	@$(LAB) shell $(in_guest)

.PHONY: clean
clean: ## Remove what was built
	rm -rf build

.PHONY: distclean
distclean: lab ## Remove what was built, and the kernels, packages and crates kept for it
	$(LAB) clean
	rm -rf build

.PHONY: lab
lab: linker
	@cd lab && cargo build --release --locked --quiet --workspace

# Static, because the same programs run in guests.
static := -C target-feature=+crt-static

.PHONY: tools
tools: linker
	@RUSTFLAGS='$(static)' cargo build --release --locked --quiet --target $(TARGET)
	@mkdir -p build/tests && cp -ru tests/fixtures/modules build/tests

.PHONY: commands
commands: export RUSTFLAGS := $(or $(RUSTFLAGS),$(static))
commands: linker ## Build what "make install" installs besides the module
	@cargo build --release --locked --quiet --target $(TARGET) \
		--package adler32-cli --package adler32-docs
	@cd lab && cargo build --release --locked --quiet --package rust-kernel-kit
	@$(TOOLS)/adler32-docs build

# Cargo needs a C linker; whatever else is missing, the lab installs.
sudo := $(if $(filter 0,$(shell id -u)),,sudo)
.PHONY: linker
linker:
	$(call need,command -v cc,gcc libc6-dev,which cargo needs to link)

# The fuzzer is C++, and Valgrind checks accesses to memory.
.PHONY: checkers
checkers: linker
	$(call need,command -v c++,g++,which the fuzzer is built with)
	$(call need,command -v valgrind,valgrind,which the tests of the algorithm run under)

# One of the libraries that ours is compared with is built by CMake.
.PHONY: cmake
cmake: linker
	$(call need,command -v cmake,cmake,which zlib-ng is built with)

# The Dask of the examples comes from PyPI.
.PHONY: python
python:
	-$(call need,python3 -c "import ensurepip",python3-venv,which the Dask example is installed with)

# $(call need,CHECK,PACKAGES,WHY): installs what is missing if the check, a command, fails.
define need
	@$(1) >/dev/null 2>&1 || { \
		echo "installing $(2), $(3)" && $(sudo) lab/scripts/apt-install.sh $(2); }
endef
