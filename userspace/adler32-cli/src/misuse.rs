// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Messages about wrong arguments, with the words of getopt and coreutils.

use std::ffi::OsString;
use std::fmt::Write;

use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;
use clap::Command;

/// Describes the error that `command` found in `arguments`.
pub fn describe(error: &clap::Error, command: &Command, arguments: &[OsString]) -> String {
    let option = string(error, ContextKind::InvalidArg);
    let value = string(error, ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(option, command, arguments),
        ErrorKind::TooManyValues => format!("option '{option}' doesn't allow an argument"),
        ErrorKind::InvalidValue => {
            // clap appends the name of the value to the option.
            let option = option.split(' ').next().unwrap_or_default();
            if value.is_empty() {
                format!("option '{option}' requires an argument")
            } else {
                let mut text =
                    format!("invalid argument '{value}' for '{option}'\nValid arguments are:");
                if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) {
                    for valid in valid {
                        let _ = write!(text, "\n  - '{valid}'");
                    }
                }
                text
            }
        }
        ErrorKind::InvalidSubcommand => {
            let name = string(error, ContextKind::InvalidSubcommand);
            format!("unrecognized command '{name}'")
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".to_owned(),
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        }
    }
}

/// Describes an option that does not exist, or the first letters of several options.
fn unknown(option: &str, command: &Command, arguments: &[OsString]) -> String {
    let name = option.strip_prefix("--").unwrap_or_default();
    if name.is_empty() {
        return match option.strip_prefix('-') {
            Some(letter) => format!("invalid option -- '{letter}'"),
            None => format!("extra operand '{option}'"),
        };
    }
    // clap omits the value.
    let given = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .find(|argument| argument.split('=').next() == Some(option));
    let given = given.as_deref().unwrap_or(option);
    let candidates: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|long| long.starts_with(name))
        .map(|long| format!(" '--{long}'"))
        .collect();
    if candidates.is_empty() {
        format!("unrecognized option '{given}'")
    } else {
        let candidates = candidates.concat();
        format!("option '{given}' is ambiguous; possibilities:{candidates}")
    }
}

fn string(error: &clap::Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text,
        _ => "",
    }
}
