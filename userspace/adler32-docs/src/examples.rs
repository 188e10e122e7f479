// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The examples of the manual pages, each what it does and the lines of the shell that do it.

/// Returns those of a page.
pub fn of(page: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match page {
        "adler32" => &[
            (
                "Which backends work here, and what mends those that do not:",
                &["adler32 info"],
            ),
            (
                "Checksums of all files below a folder, and whether they are still the same:",
                &["adler32 sum -r data > LIST", "adler32 sum -c LIST"],
            ),
        ],
        "adler32sum" => &[
            (
                "Checksums of all files below a folder, and whether they are still the same:",
                &["adler32sum -r data > LIST", "adler32sum -c --quiet LIST"],
            ),
            (
                "The checksum of what a pipe brings:",
                &["tar -c data | adler32sum"],
            ),
            (
                "By the module, and who computed:",
                &["adler32sum --via device --debug FILE"],
            ),
            (
                "Check a list that was made by xrdadler32:",
                &["xrdadler32 FILE > LIST", "adler32sum -c LIST"],
            ),
        ],
        "adler32-combine" => &[(
            "Sum a file in two parts, which could be done by two machines:",
            &[
                "adler32 sum --range 0:1000000000 FILE > PARTS",
                "adler32 sum --range 1000000000:1000000000 FILE >> PARTS",
                "adler32 combine < PARTS",
            ],
        )],
        "adler32-info" => &[(
            "Sum by the module only where that works, in a script:",
            &["adler32 info > /dev/null && adler32 sum --via device FILE"],
        )],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use crate::page;

    /// The calls of a program in a line of the shell, each with its arguments.
    fn calls(line: &str) -> impl Iterator<Item = Vec<&str>> {
        let commands = line.split(['|', '&']).map(|command| {
            let words = command.split(' ').filter(|word| !word.is_empty());
            let words = words.take_while(|word| !"<>".contains(&word[..1]));
            words.collect::<Vec<_>>()
        });
        commands.filter(|call| !call.is_empty())
    }

    #[test]
    fn examples_are_calls_that_the_commands_understand() {
        let [adler32, adler32sum] = adler32_cli::commands();
        for (file, _) in page::all().unwrap() {
            let examples = super::of(file.trim_end_matches(".1"));
            for line in examples.iter().flat_map(|(_, lines)| *lines) {
                let mut understood = 0;
                for call in calls(line) {
                    let command = match call[0] {
                        "adler32" => &adler32,
                        "adler32sum" => &adler32sum,
                        _ => continue,
                    };
                    let matches = command.clone().try_get_matches_from(&call);
                    assert!(matches.is_ok(), "{file}: {line}: {matches:?}");
                    understood += 1;
                }
                assert!(understood > 0 || line.starts_with("xrdadler32 "), "{line}");
            }
        }
    }
}
