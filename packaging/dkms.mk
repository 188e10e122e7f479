# SPDX-License-Identifier: GPL-2.0
#
# Called by DKMS, which would run a command in its configuration more than once. What the kit lacks, it
# says in one line, in the log that DKMS names.

modules:
	folder=$$(rust-kernel-kit $(kernelver)) && $(MAKE) -C "$$folder" M=$(CURDIR) modules
