// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Completions of shells.

use anyhow::ensure;
use anyhow::Result;
use clap::Arg;
use clap::Command;
use clap_complete::generate;
use clap_complete::Generator;
use clap_complete::Shell;

/// Returns all completions, by the names of their files.
pub fn all() -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for mut command in adler32_cli::commands() {
        let name = command.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut text = Vec::new();
            generate(shell, &mut command, &name, &mut text);
            let mut text = String::from_utf8(text)?;
            if shell == Shell::Bash {
                text = prefer_files(text, &command)?;
            }
            files.push((shell.file_name(&name), text));
        }
    }
    Ok(files)
}

/// Leaves an empty word to bash, which completes it to the name of a file, where a command takes files.
/// clap_complete would offer options there.
fn prefer_files(mut text: String, command: &Command) -> Result<String> {
    let name = command.get_name();
    let subcommands = command
        .get_subcommands()
        .map(|sub| (format!("{name}__subcmd__{}", sub.get_name()), sub));
    for (label, command) in subcommands.chain([(name.to_owned(), command)]) {
        if command.get_positionals().next().is_none() {
            continue;
        }
        let with_values = command
            .get_opts()
            .filter(|option| !option.get_possible_values().is_empty())
            .filter_map(Arg::get_long)
            .map(|long| format!("--{long}"));
        let with_values = with_values.collect::<Vec<_>>().join("|");
        let case = format!("        {label})\n            opts=");
        ensure!(text.contains(&case), "bash's completions lack {label}");
        let empty = format!(
            "        {label})\n            \
             [[ -n ${{cur}} || ${{prev}} =~ ^({with_values})$ ]] || return 0\n            opts="
        );
        text = text.replace(&case, &empty);
    }
    Ok(text)
}
