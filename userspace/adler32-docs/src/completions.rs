// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Shell completions.

use anyhow::ensure;
use anyhow::Result;
use clap_complete::generate;
use clap_complete::Generator;
use clap_complete::Shell;

/// Returns the names and texts of the files of completions.
pub fn all() -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for mut command in adler32_cli::commands() {
        let name = command.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut text = Vec::new();
            generate(shell, &mut command, &name, &mut text);
            let mut text = String::from_utf8(text)?;
            if shell == Shell::Bash {
                text = prefer_files(&text)?;
            }
            files.push((shell.file_name(&name), text));
        }
    }
    Ok(files)
}

/// Returns completions that leave an empty word to bash, which completes it to the name of a file,
/// for adler32sum and 'adler32 sum'. clap_complete offers options instead, whatever the `ValueHint`
/// is.
fn prefer_files(text: &str) -> Result<String> {
    const CASE: &str = "\n    case \"${cmd}\" in\n";
    const EMPTY: &str = "\n    [[ -n ${cur} || ${prev} == --via || ${cmd} != *sum ]] || return 0\n";
    ensure!(text.matches(CASE).count() == 1, "clap_complete has changed");
    Ok(text.replace(CASE, &format!("{EMPTY}{CASE}")))
}
