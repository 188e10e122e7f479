// SPDX-License-Identifier: GPL-2.0 OR MIT

use std::process::ExitCode;

fn main() -> ExitCode {
    rust_kernel_kit::main()
}
