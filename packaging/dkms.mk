# SPDX-License-Identifier: GPL-2.0
#
# DKMS runs this file, because it would run a command in its own configuration more than once. If
# rust-kernel-kit lacks something, it prints one line to the log that DKMS names.

modules:
	directory=$$(rust-kernel-kit $(kernelver)) && $(MAKE) -C "$$directory" M=$(CURDIR) modules
