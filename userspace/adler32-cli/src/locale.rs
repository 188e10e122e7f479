// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The locale.

use std::env;

/// Returns whether the locale has the character set UTF-8.
pub fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
        let value = env::var(name).ok();
        value.filter(|value| !value.is_empty())
    });
    let locale = locale.unwrap_or_default().to_lowercase().replace('-', "");
    locale.contains("utf8")
}
