// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Names in messages, quoted byte for byte as coreutils does. The crate os_display uses another
//! style.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::LazyLock;

use crate::locale;

/// Quotes a name for a shell if necessary, as in the messages of coreutils. The result can be
/// copied to a shell, and cannot control the terminal.
pub fn quote(name: &OsStr) -> String {
    static UTF8: LazyLock<bool> = LazyLock::new(locale::is_utf8);
    quote_for(name, *UTF8)
}

/// Quotes a name for a locale with UTF-8, or for a locale in which only ASCII is printable.
fn quote_for(name: &OsStr, utf8: bool) -> String {
    let quotable = name.to_str().filter(|name| utf8 || name.is_ascii());
    let plain = quotable.filter(|name| is_plain(name));
    if let Some(name) = plain {
        return name.to_owned();
    }
    if let Some(name) = quotable.filter(|name| suits_double_quotes(name)) {
        return format!("\"{name}\"");
    }
    let mut quoted = Quoted::new();
    for chunk in name.as_bytes().utf8_chunks() {
        for char in chunk.valid().chars() {
            match utf8 || char.is_ascii() {
                true => quoted.push(char),
                false => quoted.push_octal(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        quoted.push_octal(chunk.invalid());
    }
    quoted.finish()
}

/// Returns whether the name contains control characters, or bytes that are not UTF-8.
pub fn has_controls(name: &[u8]) -> bool {
    !std::str::from_utf8(name).is_ok_and(|name| name.chars().all(|char| !is_control(char)))
}

/// Returns whether the name needs no quotes. A shell would accept a colon, but in a message a colon
/// looks like the end of the name.
fn is_plain(name: &str) -> bool {
    let special = |(index, char): (usize, char)| match char {
        '#' | '~' => index == 0,
        '{' | '}' => name.len() == 1,
        ':' | '\'' => true,
        _ => is_control(char) || is_special(char),
    };
    !name.is_empty() && !name.char_indices().any(special)
}

/// Returns whether the character has a meaning for shells anywhere in a word.
fn is_special(char: char) -> bool {
    r##" !"$&()*;<=>?[\^`|"##.contains(char)
}

/// Returns whether the character is not printable. Separators of lines and of paragraphs may end a
/// line.
fn is_control(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

/// Returns whether the name contains a single quote, and no character that is special in double
/// quotes.
fn suits_double_quotes(name: &str) -> bool {
    let harmless = |(index, char): (usize, char)| match char {
        ' ' => true,
        '{' | '}' => false,
        '#' | '~' => index == 0,
        _ => !is_control(char) && !is_special(char),
    };
    name.contains('\'') && name.char_indices().all(harmless)
}

/// A name in single quotes, with escapes such as `$'\n'` for characters that are not printable.
struct Quoted {
    text: String,
    in_escapes: bool,
}

impl Quoted {
    fn new() -> Self {
        Self {
            text: "'".to_owned(),
            in_escapes: false,
        }
    }

    fn push(&mut self, char: char) {
        let escape = match char {
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\x0b' => "\\v",
            '\x0c' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\'' => {
                self.text.push_str("'\\''");
                self.in_escapes = false;
                return;
            }
            _ if is_control(char) => {
                self.push_octal(char.encode_utf8(&mut [0; 4]).as_bytes());
                return;
            }
            _ => {
                if self.in_escapes {
                    self.text.push_str("''");
                    self.in_escapes = false;
                }
                self.text.push(char);
                return;
            }
        };
        self.push_escape(escape);
    }

    fn push_octal(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push_escape(&format!("\\{byte:03o}"));
        }
    }

    fn push_escape(&mut self, escape: &str) {
        if !self.in_escapes {
            self.text.push_str("'$'");
            self.in_escapes = true;
        }
        self.text.push_str(escape);
    }

    fn finish(mut self) -> String {
        self.text.push('\'');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::Command;

    #[test]
    fn quotes_only_what_needs_it() {
        for (name, quoted) in [
            ("a-b/c.d_e,f@g%h+i", "a-b/c.d_e,f@g%h+i"),
            ("a#b~", "a#b~"),
            ("\u{e9}", "\u{e9}"),
            ("", "''"),
            ("a b", "'a b'"),
            ("a:b", "'a:b'"),
            ("~a", "'~a'"),
            ("it's", "\"it's\""),
            ("it's $1", "'it'\\''s $1'"),
            ("a\nb", "'a'$'\\n''b'"),
            ("\u{85}", "''$'\\302\\205'"),
        ] {
            assert_eq!(quote_for(OsStr::new(name), true), quoted);
        }
        let quoted = quote_for(OsStr::from_bytes(b"\xffa"), true);
        assert_eq!(quoted, "''$'\\377''a'");
    }

    #[test]
    fn bash_gives_the_name_back() {
        let parts: [&[u8]; 14] = [
            b"a", b" ", b"'", b"\"", b"\\", b"\n", b"\x01", b"\xff", b"~", b"#", b"$", b"{", b"!",
            b":",
        ];
        let mut names = vec![b"x".to_vec()];
        for first in parts {
            for second in parts {
                names.extend(parts.map(|third| [first, second, third].concat()));
            }
        }
        let mut command = "printf '%s\\0'".to_owned();
        for name in &names {
            command.push(' ');
            command.push_str(&quote(OsStr::from_bytes(name)));
        }
        let output = Command::new("bash").args(["-c", &command]).output();
        let output = output.expect("bash runs").stdout;
        let given: Vec<&[u8]> = output.split(|&byte| byte == 0).collect();
        assert_eq!(
            given.split_last(),
            Some((
                &&b""[..],
                &*names.iter().map(|name| &name[..]).collect::<Vec<_>>()
            ))
        );
    }
}
