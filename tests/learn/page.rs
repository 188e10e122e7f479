// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a page says: the commands in its blocks, and what each prints.

use anyhow::bail;
use anyhow::Result;

/// How a block of commands begins, and how every block ends.
const BLOCK: &str = "```console";
const END: &str = "```";
/// What stands for anything in a line, and alone for any lines.
const ANYTHING: &str = "...";

/// A command, and what the page says that it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Example<'a> {
    /// The number of its line in the page.
    pub line: usize,
    /// `#` or `$`.
    pub prompt: char,
    pub command: String,
    pub output: Vec<&'a str>,
}

impl Example<'_> {
    /// Returns whether the page says this of what was printed.
    pub fn foretells(&self, printed: &str) -> bool {
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
                bail!("line {line}: there is no command that prints this");
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

/// Returns whether the lines `output` are what a page says by `expected`.
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

/// How wide a space is does not matter.
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
