// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The examples in the manual pages. Each consists of a title and of lines for a shell.

/// Returns the examples of a page.
pub fn of(page: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match page {
        "adler32" => &[
            (
                "Show which backends work on this machine, and how to fix the others:",
                &["adler32 info"],
            ),
            (
                "Sum all files below a directory, and check later whether they have changed:",
                &["adler32 sum -r data > LIST", "adler32 sum -c LIST"],
            ),
        ],
        "adler32sum" => &[
            (
                "Sum all files below a directory, and check later whether they have changed:",
                &["adler32sum -r data > LIST", "adler32sum -c --quiet LIST"],
            ),
            ("Sum the data from a pipe:", &["tar -c data | adler32sum"]),
            (
                "Sum with the kernel module, and report the backend:",
                &["adler32sum --via device --debug FILE"],
            ),
            ("Print only the checksum:", &["adler32 sum --no-names FILE"]),
            (
                "Take checksums from XRootD's attributes, and store those that are missing:",
                &["adler32 sum -r --xattr data"],
            ),
            (
                "Find files that no longer have their stored checksums:",
                &["adler32 sum -c -r --xattr --quiet data"],
            ),
            (
                "Report files that are in no list:",
                &["adler32 sum -c --audit data LIST"],
            ),
            (
                "Check the digest that a web server sends:",
                &["curl -sI -H 'Want-Digest: adler32' URL | adler32 sum -c --name FILE"],
            ),
            (
                "Check a list from xrdadler32:",
                &["xrdadler32 FILE > LIST", "adler32sum -c LIST"],
            ),
        ],
        "adler32-combine" => &[(
            "Sum a file in two parts, which may be on two machines:",
            &[
                "adler32 sum --range 0:1000000000 FILE > PARTS",
                "adler32 sum --range 1000000000:1000000000 FILE >> PARTS",
                "adler32 combine < PARTS",
            ],
        )],
        "adler32-copy" => &[
            (
                "Copy a file with its times and attributes, and read the copy again:",
                &["adler32 copy --preserve --verify FILE data"],
            ),
            (
                "Save a download, and sum it:",
                &["curl -s URL | adler32 copy - FILE"],
            ),
        ],
        "adler32-xrootd" => &[(
            "Print what a server gets for a file, with one type of checksum and with several:",
            &[
                "adler32 xrootd /data/file",
                "adler32 xrootd adler32 /data/file user.1:2@host",
            ],
        )],
        "adler32-info" => &[(
            "In a script, sum with the kernel module if it works:",
            &["adler32 info > /dev/null && adler32 sum --via device FILE"],
        )],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use crate::page;

    /// Returns the commands in a line for a shell, each with its arguments.
    fn calls(line: &str) -> impl Iterator<Item = Vec<&str>> {
        let commands = line.split(['|', '&']).map(|command| {
            let words = command.split(' ').filter(|word| !word.is_empty());
            let words = words.take_while(|word| !"<>".contains(&word[..1]));
            words.collect::<Vec<_>>()
        });
        commands.filter(|call| !call.is_empty())
    }

    #[test]
    fn the_commands_accept_the_examples() {
        let [adler32, adler32sum] = adler32_cli::commands();
        for (file, _) in page::all().unwrap() {
            let examples = super::of(file.trim_end_matches(".1"));
            for line in examples.iter().flat_map(|(_, lines)| *lines) {
                let mut accepted = 0;
                for call in calls(line) {
                    let command = match call[0] {
                        "adler32" => &adler32,
                        "adler32sum" => &adler32sum,
                        _ => continue,
                    };
                    let matches = command.clone().try_get_matches_from(&call);
                    assert!(matches.is_ok(), "{file}: {line}: {matches:?}");
                    accepted += 1;
                }
                assert!(accepted > 0 || line.starts_with("xrdadler32 "), "{line}");
            }
        }
    }
}
