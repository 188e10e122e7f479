# SPDX-License-Identifier: GPL-2.0
#
# What a user or developer runs: "make" lists it. The kernel's build system reads Kbuild.

# The kernel to boot: a series, such as 7.2, or an exact version, with another of Debian's flavours
# than amd64 behind a hyphen, such as 7.3-rt-amd64; or "debug" for the debug kernel of the newest
# supported series. The default is the newest supported stock kernel.
KERNEL ?=
# The kernel that "make module" builds for, unless KERNEL is set.
KDIR ?= /lib/modules/$(shell uname -r)/build
RELEASE = $(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null)
# The file for "make demo", and the command for "make vm" and "make uml". Recipes take both from the
# environment, where make and the shell do not interpret spaces, quotes and dollar signs in them.
override FILE := $(value FILE)
override CMD := $(value CMD)
export FILE CMD

# The architecture that "make deb" builds for: amd64 or arm64.
ARCH := amd64
# How long "make fuzz" runs.
FUZZ_SECONDS ?= 600

NATIVE := x86_64-unknown-linux-gnu
# What "make commands" builds for. The packages for arm64 set it.
TARGET := $(NATIVE)
LAB := build/lab/$(NATIVE)/debug/lab
KIT := build/lab/$(TARGET)/release/rust-kernel-kit
TOOLS := build/userspace/$(TARGET)/release
ARM64_TOOLS := $(subst x86_64,aarch64,$(TOOLS))
# Cargo 1.91 and later keeps compiled crates next to the lab's kernels, for a new clone in the same
# directory. Clones in two directories share nothing, because cargo could mistake the crates of one
# for those of the other.
CARGO_CACHE := $(shell realpath -m -- "$${ADLER32_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/adler32}")/cargo
export CARGO_BUILD_BUILD_DIR := $(CARGO_CACHE)/{workspace-path-hash}
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

kernel := $(if $(KERNEL),$(if $(filter debug,$(KERNEL)),--flavour debug,--kernel $(KERNEL)))
packages := $(if $(PACKAGES),--packages "$(PACKAGES)")
# Guests of arm64 have programs of their own.
arm64 := $(findstring arm64,$(KERNEL))
guest_tools := tools$(if $(arm64),-arm64)
in_guest := $(kernel) $(packages) --build . --path $(if $(arm64),$(ARM64_TOOLS),$(TOOLS))

# apt installs one package list at a time, and cargo and the tests use all processors by themselves.
.NOTPARALLEL:

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: module
module: $(if $(KERNEL),lab) ## Build adler32.ko for the running kernel, for KDIR=... or for KERNEL=...
ifdef KERNEL
	@$(LAB) build $(kernel)
else
	@test -d $(KDIR) || { echo "make: no kernel build directory $(KDIR): install the kernel's headers, or set KDIR=..." >&2; exit 1; }
	@grep -q '^CONFIG_RUST=y' $(KDIR)/include/config/auto.conf || { echo "make: the kernel of $(KDIR) was built without Rust (CONFIG_RUST)" >&2; exit 1; }
	@test -f $(KDIR)/rust/libkernel.rmeta || { echo "make: $(KDIR) lacks the kernel's Rust metadata: see docs/install.md" >&2; exit 1; }
	@mkdir -p build/module/$(RELEASE)
	@$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/build/module/$(RELEASE) modules
	@echo "built build/module/$(RELEASE)/adler32.ko"
endif

# Where files are installed. DESTDIR precedes all of these directories.
prefix ?= /usr/local
bindir ?= $(prefix)/bin
sbindir ?= $(prefix)/sbin
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
bashdir ?= $(prefix)/share/bash-completion/completions
fishdir ?= $(prefix)/share/fish/vendor_completions.d
zshdir ?= $(prefix)/share/zsh/site-functions
udevdir ?= $(prefix)/lib/udev/rules.d
systemddir ?= $(prefix)/lib/systemd/system

# The files to install, as MODE:FILE:DESTINATION.
TOOL_FILES := \
	755:$(TOOLS)/adler32:$(bindir)/adler32 \
	755:$(TOOLS)/adler32sum:$(bindir)/adler32sum \
	$(foreach page,adler32 adler32-bench adler32-combine adler32-copy adler32-info adler32-sum adler32-xrootd adler32sum,\
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
LOAD_FILES := 644:packaging/systemd/adler32.conf:$(systemddir)/sysinit.target.d/adler32.conf
KIT_FILES := \
	755:$(KIT):$(sbindir)/rust-kernel-kit \
	644:docs/man/rust-kernel-kit.8:$(mandir)/man8/rust-kernel-kit.8
DKMS_FILES := $(foreach file,Kbuild Cargo.toml $(shell find src -type f),\
	644:$(file):/usr/src/adler32-$(VERSION)/$(file)) \
	644:packaging/dkms.mk:/usr/src/adler32-$(VERSION)/dkms.mk \
	755:packaging/build-module:/usr/share/kernel/postinst.d/adler32-dkms \
	755:packaging/build-module:/usr/share/kernel/header_postinst.d/adler32-dkms

# Where modules_install puts the module.
INSTALLED_MODULE = /lib/modules/$(RELEASE)/updates/adler32.ko
# The list of the directories that "make install" made, so that "make uninstall" removes only these.
DIRECTORIES = $(prefix)/share/adler32/directories

.PHONY: install
install: recorded := yes
install: install-module install-tools install-header ## Install what "make module commands" built: DESTDIR=... prefix=...

# modules_install does not run depmod, because the headers contain no System.map. If DESTDIR is set,
# depmod runs when the files in DESTDIR are installed on a system.
.PHONY: install-module
install-module:
	@test -f build/module/$(RELEASE)/adler32.ko || { echo "make: no build/module/$(RELEASE)/adler32.ko: run make module first" >&2; exit 1; }
	$(call record,$(INSTALLED_MODULE))
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
uninstall: ## Remove what "make install" installed: DESTDIR=... prefix=...
	@cd $(DESTDIR)/ && rm -f $(foreach file,$(TOOL_FILES) $(HEADER_FILES) $(LOAD_FILES),.$(lastword $(subst :, ,$(file)))) \
		$(if $(RELEASE),$(addprefix .$(INSTALLED_MODULE),$(empty) .gz .xz .zst))
	@cd $(DESTDIR)/ && if [ -f .$(DIRECTORIES) ]; then \
		directories=$$(sort -ru .$(DIRECTORIES)) && rm .$(DIRECTORIES) && \
		for directory in $$directories; do \
			[ ! -d .$$directory ] || rmdir --ignore-fail-on-non-empty .$$directory; done; fi
	@$(if $(DESTDIR),,$(if $(RELEASE),depmod $(RELEASE)))

# $(call record,FILES): lists the directories that installing FILES will make. Packages contain no
# such list.
define record
	$(if $(recorded),@for file in $(1) $(DIRECTORIES); do \
		directory=$${file%/*}; \
		while [ "$$directory" ] && [ ! -d $(DESTDIR)$$directory ]; do echo $$directory; directory=$${directory%/*}; done; \
	done > build/directories && \
	mkdir -p $(DESTDIR)$(dir $(DIRECTORIES)) && cat build/directories >> $(DESTDIR)$(DIRECTORIES))
endef

# $(call install,FILES): installs nothing if a file is missing.
define install
	@for file in $(1); do \
		source=$${file#*:} && source=$${source%%:*}; \
		test -f $$source || { echo "make: no $$source: run make commands first" >&2; exit 1; }; done
	$(call record,$(foreach file,$(1),$(lastword $(subst :, ,$(file)))))
	@for file in $(1); do \
		source=$${file#*:} && \
		install -D -m $${file%%:*} $${source%%:*} $(DESTDIR)$${source#*:} || exit; done
endef

.PHONY: deb
deb: lab ## Build the Debian packages in build/deb: ARCH=arm64, KERNEL=... for the metadata of a kernel
	@packaging/deb $(VERSION) $(ARCH) build/deb$(if $(filter arm64,$(ARCH)),-arm64)
ifdef KERNEL
	@packaging/metadata-deb $(KERNEL)
endif

.PHONY: test-packages
test-packages: deb tools ## Test the packages: PART=reproducible|arm64|quick|secure-boot|upgrade|faults|metadata|flavours|declined
	$(if $(filter-out arm64 reproducible,$(PART)),,@$(MAKE) deb ARCH=arm64)
	$(if $(filter-out reproducible,$(PART)),,@packaging/reproducible $(VERSION))
	$(if $(filter-out arm64,$(PART)),,@$(LAB) vm --kernel 7.3-arm64 -- tests/packages/arm64 $(VERSION))
	$(if $(filter-out declined,$(PART)),,@$(LAB) setup --flavour no-rust 7.3)
	$(if $(filter arm64 reproducible,$(PART)),,$(call test_packages))

define test_packages
	@$(LAB) run --packages "e2fsprogs grub-efi-amd64-signed mmdebstrap mtools ovmf python3-virt-firmware shim-signed" \
		$(TOOLS)/test-packages --directory /var/tmp/test-packages \
		$(if $(PART),--part $(PART)) build/deb/adler32-*.deb
endef

# The library's tests need only an emulated processor. The command's tests start programs, so they
# need a guest.
.PHONY: test-arm64
test-arm64: lab ## Test the library and the command for arm64 in QEMU, with and without the dot product
	@cargo fetch --locked --quiet
	@$(LAB) run --packages qemu-user true
	@for processor in max,pauth-impdef=on cortex-a72; do \
		$(cargo_arm64) test --offline --locked --quiet --package adler32 \
			--config "target.aarch64-unknown-linux-gnu.runner=['qemu-aarch64', '-cpu', '$$processor']" \
			|| exit; done
	@cargo fetch --locked --quiet --manifest-path fuzz/Cargo.toml
	@$(cargo_arm64) run --release --offline --locked --quiet --manifest-path fuzz/Cargo.toml \
		--no-default-features --config "target.aarch64-unknown-linux-gnu.runner=['qemu-aarch64']" \
		-- 60
	@tests=$$($(cargo_arm64) test --no-run --offline --locked --package adler32-cli 2>&1 \
			| sed -n 's/^ *Executable .*(\(.*\))$$/\1/p') && test -n "$$tests" && \
		$(LAB) vm --kernel 7.3-arm64 --build . -- \
			sh -c "modprobe adler32; for test in $$(echo $$tests); do \$$test || exit; done"

.PHONY: demo
demo: lab $(guest_tools) ## Show the module at work in a virtual machine: KERNEL=7.2|7.3|7.3-rt-amd64|7.3-arm64 FILE=...
ifdef FILE
	@mkdir -p build/demo && cp --dereference --reflink=auto -- "$$FILE" build/demo/
	@$(LAB) vm $(in_guest) -- demo "build/demo/$$(basename -- "$$FILE")"
else
	@$(LAB) vm $(in_guest) -- sh -c 'exec demo /lib/modules/$$(uname -r)/vmlinuz'
endif

# The first time, the lab makes its root while the tools are built.
.PHONY: test
test: lab checkers cmake python ## Run all tests, on every supported kernel
	@$(LAB) kernels > /dev/null & $(MAKE) --no-print-directory tools; status=$$?; wait; exit $$status
	@$(TOOLS)/test-runner

.PHONY: check
check: lab tools cmake ## Run the quick tests: style, host tests, one boot
	@$(TOOLS)/test-runner --check

.PHONY: bench-core
bench-core: cmake ## Compare the implementations with those of other libraries
	@cd bench/core && cargo run --release --locked --quiet -- --output ../../build/bench

# Debian's cargo, which builds for arm64 in the lab's root. The host's cargo downloads the crates.
cargo_arm64 = $(LAB) cargo --home "$${CARGO_HOME:-$$HOME/.cargo}" --

# One instruction takes one nanosecond.
.PHONY: bench-count
bench-count: lab ## Count the instructions of the implementations for arm64
	@cargo fetch --locked --quiet --manifest-path bench/count/Cargo.toml
	@$(LAB) run --packages cmake true
	@$(cargo_arm64) build --release --offline --locked --quiet --manifest-path bench/count/Cargo.toml
	@$(LAB) vm --icount --kernel 7.3-arm64 -- build/userspace/aarch64-unknown-linux-gnu/release/bench-count

.PHONY: bench-kernel
bench-kernel: lab tools ## Compare the hash in the kernel with the same code in a program
	@mkdir -p build/bench
	@echo "Load of the host: $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	@echo "In the stock kernel, emulated unless KVM works:" && $(LAB) vm $(in_guest) -- bench-kernel tcrypt
	@echo "In User Mode Linux, at full speed:" && $(LAB) vm --flavour uml $(in_guest) \
		--build build/tests/modules -- bench-kernel tcrypt shash --json build/bench/kernel.json

# The kernel runs no self-tests during the measurement, and copies and clears by loads and stores,
# because "rep movsb" and "rep stosb" count as one instruction for each byte. 395 is FSRS, which has
# no name.
icount_words := cryptomgr.notests clearcpuid=erms,fsrm,395

.PHONY: bench-device
bench-device: lab tools ## Compare the device with AF_ALG and with programs
	@mkdir -p build/bench
	@echo "Load of the host: $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	@echo "In User Mode Linux, at full speed:" && \
		$(LAB) vm --flavour uml --append seccomp=on --memory 1600 $(in_guest) -- bench-device \
			--json build/bench/device-uml.json --plot build/bench/device-uml.svg
	@echo "In User Mode Linux with two processors, at full speed:" && \
		$(LAB) vm --flavour uml-smp --append seccomp=on --memory 1600 $(in_guest) -- bench-device \
			--json build/bench/device-uml-smp.json --plot build/bench/device-uml-smp.svg
	@echo "In the stock kernel, with 1 ns for each instruction:" && \
		$(LAB) vm --icount --append "$(icount_words)" $(in_guest) -- bench-device --file 32 --memory 8 --rounds 3 \
			--json build/bench/device-icount.json --plot build/bench/device-icount.svg

.PHONY: bench-cli
bench-cli: tools ## Compare the command with xrdadler32, Python, libdeflate and cksum
	-$(call need,command -v xrdadler32,xrootd-client,to compare the command with)
	-$(call need,command -v python3,python3,to compare the command with)
	@mkdir -p build/bench
	@echo "Load of the host: $$(cut -d ' ' -f 1-3 /proc/loadavg)"
	@$(TOOLS)/bench-cli $(if $(filter 0,$(shell id -u)),--slow-disks) \
		--json build/bench/cli.json --plot build/bench/cli.svg

.PHONY: fuzz
fuzz: checkers ## Search for data that an implementation sums wrongly: FUZZ_SECONDS=600
	@mkdir -p build/fuzz/corpus build/fuzz/found
	@cd fuzz && cargo build --release --locked --quiet
	@cd fuzz && bash -o pipefail -c '\
		cargo run --release --locked --quiet -- ../build/fuzz/corpus -artifact_prefix=../build/fuzz/found/ \
			-max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 2>&1 \
		| grep --line-buffered -vE "	(NEW|REDUCE|RELOAD) |	NEW_FUNC|# Uses:|dictionary"'

.PHONY: soak
soak: lab tools ## Run the long tests: all settings, a million random operations, long stress
	@$(TOOLS)/test-runner --soak

.PHONY: vm
vm: lab $(guest_tools) ## Run CMD='...' in a stock kernel: KERNEL=7.2|7.3|7.3-rt-amd64|7.3-arm64|debug PACKAGES="..."
	@test -n "$$CMD" || { echo "make: CMD is not set: make vm CMD='...'" >&2; exit 2; }
	@$(LAB) vm $(in_guest) -- sh -c "$$CMD"

.PHONY: uml
uml: lab tools ## Run CMD='...' in User Mode Linux: KERNEL=7.2|7.3 DEBUG=1 PACKAGES="..."
	@test -n "$$CMD" || { echo "make: CMD is not set: make uml CMD='...'" >&2; exit 2; }
	@$(LAB) vm --flavour uml$(if $(DEBUG),-debug) $(in_guest) -- sh -c "$$CMD"

.PHONY: shell
shell: lab $(guest_tools) ## Open a shell in a stock kernel: KERNEL=7.2|7.3|7.3-rt-amd64|7.3-arm64 PACKAGES="..."
	@$(LAB) shell $(in_guest)

.PHONY: clean
clean: ## Remove build/
	rm -rf build

.PHONY: distclean
distclean: lab ## Remove build/ and the cache of kernels, packages and crates
	$(LAB) clean
	rm -rf build

# The lab waits for other programs most of the time, so it needs no optimizations.
.PHONY: lab
lab: linker ## Build the lab
	@cd lab && cargo build --locked --quiet --workspace

# The programs are static, because they also run in guests.
static := -C target-feature=+crt-static

.PHONY: tools
tools: export RUSTFLAGS := $(static)
tools: linker ## Build the command, the test programs and the benchmarks
	@cargo build --release --locked --quiet --target $(TARGET) --workspace
	@mkdir -p build/tests && cp -ru tests/fixtures/modules build/tests

# The programs for guests of arm64. As for the other programs, the compiled crates are in the cache.
ARM64_CRATES = $(CARGO_CACHE)/arm64-$(firstword $(shell echo $(CURDIR) | md5sum))
# The speed of the command means nothing in emulation, so the command is not optimized.
.PHONY: tools-arm64
tools-arm64: programs := adler32 adler32sum test-vm demo
tools-arm64: lab
	@mkdir -p $(CARGO_CACHE) $(ARM64_TOOLS)
	@$(LAB) cargo --home "$${CARGO_HOME:-$$HOME/.cargo}" --target $(ARM64_CRATES) -- build --release \
		$(foreach package,adler32-cli clap_builder,--config profile.release.package.$(package).opt-level=0) \
		--locked --quiet $(addprefix --bin ,$(programs))
	@cp -u $(addprefix $(ARM64_CRATES)/aarch64-unknown-linux-gnu/release/,$(programs)) $(ARM64_TOOLS)

.PHONY: commands
commands: export RUSTFLAGS := $(or $(RUSTFLAGS),$(static))
commands: linker ## Build what "make install" installs, except the module
	@cargo build --release --locked --quiet --target $(TARGET) --package adler32-cli
	@cd lab && cargo build --release --locked --quiet --target $(TARGET) --package rust-kernel-kit
	@cargo run --release --locked --quiet --target $(NATIVE) --package adler32-docs -- build

# The lab installs everything except the packages below.
sudo := $(if $(filter 0,$(shell id -u)),,sudo)
.PHONY: linker
linker:
	$(call need,command -v cc,gcc libc6-dev,which cargo needs to link)

.PHONY: checkers
checkers: linker
	$(call need,command -v c++,g++,which builds the fuzzer)
	$(call need,command -v valgrind,valgrind,which checks the implementations' memory accesses)

.PHONY: cmake
cmake: linker
	$(call need,command -v cmake,cmake,which builds zlib-ng for the benchmark)

.PHONY: python
python:
	-$(call need,python3 -c "import ensurepip",python3-venv,which installs Dask for the example)

# $(call need,CHECK,PACKAGES,WHY): installs what is missing if the check, a command, fails.
define need
	@$(1) >/dev/null 2>&1 || { \
		echo "installing $(2), $(3)" && $(sudo) lab/scripts/apt-install.sh $(2); }
endef
