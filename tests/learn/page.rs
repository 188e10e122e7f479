// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The commands in the blocks of a page, and the output that the page shows for each.
//!
//! trycmd and snapbox run each command by itself. The commands of a page share one shell, and only
//! those with one prompt run.

use anyhow::bail;
use anyhow::Result;

/// The line before a block of commands, and the line after every block.
const BLOCK: &str = "```console";
const END: &str = "```";
/// Stands for any text in a line, or alone for any number of lines.
const ANYTHING: &str = "...";

/// A command, and the output that the page shows for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Example<'a> {
    /// The number of the command's line in the page.
    pub line: usize,
    /// `#` or `$`.
    pub prompt: char,
    pub command: String,
    pub output: Vec<&'a str>,
}

impl Example<'_> {
    /// Returns whether the command printed what the page shows.
    pub fn matches(&self, printed: &str) -> bool {
        agree(&self.output, &printed.lines().collect::<Vec<_>>())
    }
}

/// Returns the examples of a page in their order.
pub fn examples(page: &str) -> Result<Vec<Example<'_>>> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((_, start)) = lines.find(|(text, _)| *text == BLOCK) {
        let before = examples.len();
        loop {
            let Some((text, line)) = lines.next() else {
                bail!("line {start}: the block does not end");
            };
            if text == END {
                break;
            }
            if let Some((prompt, command)) = command(text) {
                examples.push(Example {
                    line,
                    prompt,
                    command: command.to_owned(),
                    output: Vec::new(),
                });
                continue;
            }
            let Some(example) = examples[before..].last_mut() else {
                bail!("line {line}: no command precedes this output");
            };
            match text.strip_prefix("> ") {
                Some(more) if example.output.is_empty() => {
                    example.command.push('\n');
                    example.command.push_str(more);
                }
                _ => example.output.push(text),
            }
        }
    }
    Ok(examples)
}

fn command(line: &str) -> Option<(char, &str)> {
    let (prompt, command) = line.split_once(' ')?;
    match prompt {
        "#" => Some(('#', command)),
        "$" => Some(('$', command)),
        _ => None,
    }
}

/// Returns whether the lines `output` match the lines `expected` of a page.
fn agree(expected: &[&str], output: &[&str]) -> bool {
    match (expected.split_first(), output.split_first()) {
        (None, _) => output.is_empty(),
        (Some((&ANYTHING, expected)), _) => {
            (0..=output.len()).any(|skipped| agree(expected, &output[skipped..]))
        }
        (Some((line, expected)), Some((printed, output))) => {
            line_agrees(line, printed) && agree(expected, output)
        }
        (Some(_), None) => false,
    }
}

/// Compares a line. The width of spaces does not matter.
fn line_agrees(expected: &str, printed: &str) -> bool {
    let [expected, printed] =
        [expected, printed].map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let Some((start, mut rest)) = expected.split_once(ANYTHING) else {
        return expected == printed;
    };
    let Some(mut printed) = printed.strip_prefix(start) else {
        return false;
    };
    while let Some((part, after)) = rest.split_once(ANYTHING) {
        let Some((_, remains)) = printed.split_once(part) else {
            return false;
        };
        (rest, printed) = (after, remains);
    }
    printed.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found() {
        let page = "\
# A title
```console
# first \\
> second
one
> two

```
    # not in a block
```sh
# nor here
```
```console
$ third
# fourth
```
";
        let example = |line, prompt, command: &str, output: &[&'static str]| Example {
            line,
            prompt,
            command: command.to_owned(),
            output: output.to_owned(),
        };
        assert_eq!(
            examples(page).unwrap(),
            [
                example(3, '#', "first \\\nsecond", &["one", "> two", ""]),
                example(14, '$', "third", &[]),
                example(15, '#', "fourth", &[]),
            ]
        );
    }

    #[test]
    fn broken_blocks_are_refused() {
        for page in [
            "```console\n# a\n",
            "```console\nprinted\n```\n",
            "```console\n# a\n```\n```console\nprinted\n```\n",
        ] {
            assert!(examples(page).is_err(), "{page}");
        }
    }

    #[test]
    fn lines_are_compared() {
        for (expected, printed) in [
            ("", ""),
            ("adler32  73728 0", "adler32 73728  0"),
            ("[...] adler32: loaded", "[   3.14] adler32: loaded"),
            ("a...b...c", "abc"),
            ("a...b...c", "a b b c c"),
            ("x ...", "x y"),
        ] {
            assert!(line_agrees(expected, printed), "{expected} {printed}");
        }
        for (expected, printed) in [
            ("", "a"),
            ("a", "a b"),
            ("a...", "ba"),
            ("...a", "ab"),
            ("a...b...c", "acb"),
            ("ab...b", "ab"),
        ] {
            assert!(!line_agrees(expected, printed), "{expected} {printed}");
        }
    }

    #[test]
    fn outputs_are_compared() {
        let printed = ["one", "two", "three"];
        for expected in [
            &["one", "two", "three"][..],
            &["..."],
            &["one", "..."],
            &["...", "two", "...", "three", "..."],
            &["one", "t...", "t..."],
        ] {
            assert!(agree(expected, &printed), "{expected:?}");
        }
        for expected in [
            &[][..],
            &["one", "two"],
            &["two", "..."],
            &["...", "three", "two", "..."],
            &["one", "two", "three", "four"],
        ] {
            assert!(!agree(expected, &printed), "{expected:?}");
        }
        assert!(agree(&[], &[]));
        assert!(!agree(&["one"], &[]));
    }
}
