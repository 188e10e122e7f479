// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checks the rules of CONTRIBUTING.md that a program can check. A check returns each place that
//! breaks its rule.
//!
//! Runs in the top directory, in the suite `style`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::Arguments;
use libtest_mimic::Trial;
use regex_lite::Captures;
use regex_lite::Regex;
use walkdir::WalkDir;

/// The texts of the project's files, by path.
type Tree = BTreeMap<String, String>;
type Check = fn(&Tree) -> Vec<String>;

const CHECKS: &[(&str, Check)] = &[
    ("lints are on in every crate", missing_lints),
    ("comments have at most 100 columns", long_comments),
    ("documents have at most 100 columns", long_prose),
    ("safety comments have one form", safety_comments),
    ("unsafe is only in files that may contain it", unsafe_code),
    ("words that were replaced are not used", replaced_words),
    ("links in documents lead somewhere", dead_links),
    ("programs share code by libraries", shared_files),
    ("files do not import each other in circles", circles),
    ("the tests that SECURITY.md names exist", missing_tests),
    ("all that is released has one version", other_versions),
];

fn main() -> Result<ExitCode> {
    let tree: &Tree = Box::leak(Box::new(read_tree()?));
    let trials = CHECKS.iter().map(|&(name, check)| {
        Trial::test(name, move || match &*check(tree) {
            [] => Ok(()),
            places => Err(places.join("\n").into()),
        })
    });
    let trials = trials.collect();
    Ok(libtest_mimic::run(&Arguments::from_args(), trials).exit_code())
}

/// Reads the files that git does not ignore or, outside a git checkout, the files that were not
/// built. Binary files count as empty.
fn read_tree() -> Result<Tree> {
    let git = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output();
    let mut files: Vec<_> = match git {
        Ok(git) if git.status.success() => {
            let files = String::from_utf8(git.stdout)?;
            files.split('\0').map(PathBuf::from).collect()
        }
        _ => WalkDir::new(".")
            .into_iter()
            .filter_entry(|entry| entry.file_name() != "build")
            .map(|entry| Ok(entry?.path().strip_prefix(".")?.to_owned()))
            .collect::<Result<_>>()?,
    };
    // This file contains what it looks for.
    files.retain(|file| file.is_file() && !file.ends_with(file!()));
    let read = |file: PathBuf| -> Result<_> {
        let text = String::from_utf8(fs::read(&file)?).unwrap_or_default();
        Ok((file.display().to_string(), text))
    };
    files.into_iter().map(read).collect()
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is valid")
}

/// Returns the lines that match `wrong`, as `file:line: text`, unless that matches `right`. A tab
/// counts as 8 spaces.
fn lines(tree: &Tree, files: &str, wrong: &str, right: &str) -> Vec<String> {
    let [files, wrong, right] = [files, wrong, right].map(regex);
    let mut places = Vec::new();
    for (file, text) in tree.iter().filter(|(file, _)| files.is_match(file)) {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.replace('\t', "        ");
            let place = format!("{file}:{number}: {line}");
            if wrong.is_match(&line) && !right.is_match(&place) {
                places.push(place);
            }
        }
    }
    places
}

/// Finds manifests that neither contain the lints nor take those of their workspace.
fn missing_lints(tree: &Tree) -> Vec<String> {
    let is_wrong = |text: &str| {
        let has = |lines: &str| format!("\n{text}").contains(&format!("\n{lines}\n"));
        let off = has("[package]") && !has("[lints]") && !has("[lints.clippy]");
        let inherits = has("[lints]\nworkspace = true") && !has("[workspace]");
        let lints = ["unsafe_op_in_unsafe_fn", "undocumented_unsafe_blocks"];
        off || !inherits && !lints.iter().all(|lint| has(&format!("{lint} = \"warn\"")))
    };
    let manifests = tree.iter().filter(|(file, _)| file.ends_with("Cargo.toml"));
    let wrong = manifests.filter(|(_, text)| is_wrong(text));
    wrong.map(|(file, _)| format!("{file}: no lints")).collect()
}

fn long_comments(tree: &Tree) -> Vec<String> {
    let comment = regex(r"^[^:]*:\d+: *(//|/?\*|#)| // ");
    let mut places = lines(tree, "", "^.{101}", r"^([^:]*\.(md|svg|lock):|LICENSES/)");
    places.retain(|place| comment.is_match(place));
    places
}

/// Code blocks and tables may be wider.
fn long_prose(tree: &Tree) -> Vec<String> {
    let block = regex("(?ms)^ *```.*?^ *```");
    let mut prose = tree.clone();
    for text in prose.values_mut() {
        let blank = |block: &Captures| "\n".repeat(block[0].matches('\n').count());
        *text = block.replace_all(text, blank).into_owned();
    }
    lines(&prose, r"\.md$", "^.{101}", r"^[^:]*:\d+: (    | *\|)")
}

/// A safety comment begins with a capital letter or the name of a function.
fn safety_comments(tree: &Tree) -> Vec<String> {
    let right = r"// SAFETY: ([^a-z]|\w+\(\))";
    lines(tree, r"\.rs$", "SAFETY|Safety:", right)
}

/// CONTRIBUTING.md lists the files that may contain unsafe code.
fn unsafe_code(tree: &Tree) -> Vec<String> {
    let listed =
        r"src/(kernel_ext/|adler32/(arm64|x86/|mod\.rs|platform\.rs)|platform\.rs|chrdev\.rs)";
    let right = format!(r"^{listed}|:\d+: *//");
    lines(tree, r"^src/.*\.rs$", r"\bunsafe\b", &right)
}

/// Finds words that other words have replaced, and turns that are not plain English.
fn replaced_words(tree: &Tree) -> Vec<String> {
    let words = r"(?ix)\b(anew|meanwhile|whoever|for\ want\ of|but\ for|mend(s|ed|ing)?|doors?|
        (?-i:engines?)|folders?|fuzz[-_]doors|vm-suite|run-tests|beside|gives?\ back|its\ like|
        as\ things\ are|who\ computes|(behavi|col)our|licence)\b";
    lines(tree, "", words, r"^([^:]*\.(svg|lock):|LICENSES/)")
}

fn dead_links(tree: &Tree) -> Vec<String> {
    let link = regex(r"\]\(([^):\s]+)\)|\d: \[[^\]]+\]: ([^):\s]+)$");
    let mut places = lines(tree, r"\.md$", r"\](\(|: )", "^$");
    places.retain(|place| {
        let file = place.split(':').next().unwrap_or_default();
        let links = link
            .captures_iter(place)
            .filter_map(|link| link.get(1).or(link.get(2)));
        { links }.any(|link| !leads_somewhere(tree, file, link.as_str()))
    });
    places
}

fn leads_somewhere(tree: &Tree, file: &str, link: &str) -> bool {
    let (page, anchor) = link.split_once('#').unwrap_or((link, ""));
    let mut path = PathBuf::from(file);
    if !page.is_empty() {
        path.pop();
    }
    for part in Path::new(page).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
    }
    let text = tree.get(&*path.to_string_lossy()).map_or("", |text| text);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    tree.keys().any(|file| Path::new(file).starts_with(&path))
        && (anchor.is_empty() || headings.map(anchor_of).any(|other| other == anchor))
}

/// Returns the anchor of a heading, as GitHub makes it.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim_start();
    let mut anchor = text.to_lowercase().replace(' ', "-");
    anchor.retain(|char| char.is_alphanumeric() || "_-".contains(char));
    anchor
}

/// Test programs and benchmarks share code by libraries.
fn shared_files(tree: &Tree) -> Vec<String> {
    lines(tree, r"^(tests|bench)/.*\.rs$", r#"#\[path = "\.\./"#, "^$")
}

fn circles(tree: &Tree) -> Vec<String> {
    let mut imports: BTreeSet<_> = tree.keys().flat_map(|file| imports(tree, file)).collect();
    loop {
        let all = imports.clone();
        // The files of an import in a circle import, and are imported.
        imports.retain(|(from, _, to)| {
            all.iter().any(|(other, ..)| other == to) && all.iter().any(|(.., other)| other == from)
        });
        if imports == all {
            let place = |(from, line, to)| format!("{from}:{line}: imports {to}");
            return all.into_iter().map(place).collect();
        }
    }
}

/// Returns the imports in a file: the file, the line, and the file from which it imports. Leaves
/// out test modules, and imports by a module from its own submodules.
fn imports(tree: &Tree, file: &str) -> Vec<(String, usize, String)> {
    let has = |file: &String| tree.contains_key(file);
    let is_root = |root: &&str| {
        let files = ["main", "lib"].map(|name| format!("{root}/{name}.rs"));
        files.iter().any(has)
    };
    let mut parents = file.rmatch_indices('/').map(|(at, _)| &file[..at]);
    let (Some(root), Some(module)) = (parents.find(is_root), file.strip_suffix(".rs")) else {
        return Vec::new();
    };
    let module = Path::new(module[root.len() + 1..].trim_end_matches("/mod"));
    let code = tree[file].split("\nmod tests {").next().unwrap_or_default();
    let import = regex(r"(?m)^ *(pub(\(\w+\))? )?use ((crate|super)::[^;]+);");
    let mut imports = Vec::new();
    for import in import.captures_iter(code) {
        let start = import.get(3).map_or(0, |path| path.start());
        let line = code[..start].lines().count();
        for import in import_paths(&import[3]) {
            let mut path = module.to_owned();
            for name in import.split("::") {
                match name {
                    "crate" => path.clear(),
                    "super" => drop(path.pop()),
                    _ => path.push(name),
                }
            }
            // The last names may be those of items.
            let modules = path
                .ancestors()
                .take_while(|path| !path.starts_with(module));
            let other = modules
                .map(|path| format!("{root}/{}", path.display()))
                .flat_map(|path| [format!("{path}.rs"), format!("{path}/mod.rs")])
                .find(has);
            imports.extend(other.map(|other| (file.to_owned(), line, other)));
        }
    }
    imports
}

/// Returns the paths in an import, which may contain braces and comments.
fn import_paths(import: &str) -> Vec<String> {
    let import = regex(r"//.*| as \w+|\s").replace_all(import, "");
    let (mut import, group) = (import.into_owned(), regex(r"([^{},]*)\{([^{}]*)\}"));
    while let Some(found) = group.captures(&import) {
        let names = found[2].split(',').filter(|name| !name.is_empty());
        let paths: Vec<_> = names.map(|name| format!("{}{name}", &found[1])).collect();
        import = import.replace(&found[0], &paths.join(","));
    }
    import.split(',').map(str::to_owned).collect()
}

fn missing_tests(tree: &Tree) -> Vec<String> {
    let test = regex("`([a-z0-9_]*)::([a-z0-9_]*)`");
    let exists = |theme: &str, name: &str| {
        let (file, suite) = (format!("/{theme}.rs"), format!("kunit_tests({theme})"));
        let mut files = tree.iter().filter(|(path, text)| {
            path.starts_with("tests/") && path.ends_with(&file) || text.contains(&suite)
        });
        files.any(|(_, text)| text.contains(&format!("fn {name}()")))
    };
    let mut places = lines(tree, "^SECURITY.md$", test.as_str(), "^$");
    places.retain(|place| {
        test.captures_iter(place)
            .any(|test| !exists(&test[1], &test[2]))
    });
    places
}

fn other_versions(tree: &Tree) -> Vec<String> {
    let version = regex(r#"(?m)^version = "(.*)"$"#).captures(&tree["Cargo.toml"]);
    let version = version.map_or(String::new(), |version| version[1].to_owned());
    let expected = [
        (
            "lab/kit/Cargo.toml",
            format!("(?m)^version = \"{version}\"$"),
        ),
        ("CHANGELOG.md", format!("(?m)^## {version}(,|$)")),
    ];
    let wrong = |(file, line): &(&str, String)| !regex(line).is_match(&tree[*file]);
    let place = |(file, _)| format!("{file}: no version {version}");
    expected.into_iter().filter(wrong).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that a check finds these places in these files.
    fn finds(check: Check, files: &[(&str, &str)], places: &str) {
        let owned = |(file, text): &(&str, &str)| (file.to_string(), text.to_string());
        let found = check(&files.iter().map(owned).collect());
        let found: Vec<_> = found
            .iter()
            .filter_map(|place| place.split(": ").next())
            .collect();
        assert_eq!(found.join(" "), places);
    }

    #[test]
    fn crate_without_lints() {
        let [first, second] = ["unsafe_op_in_unsafe_fn", "undocumented_unsafe_blocks"];
        let both = format!("{first} = \"warn\"\n{second} = \"warn\"\n");
        let workspace = format!("[workspace]\n[workspace.lints.clippy]\n{both}");
        let half = format!("[package]\n[lints.clippy]\n{second} = \"warn\"\n");
        let files = [
            ("Cargo.toml", &*workspace),
            ("a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n"),
            ("b/Cargo.toml", "[package]\n"),
            ("c/Cargo.toml", &half),
            ("d/Cargo.toml", "[workspace]\n"),
        ];
        finds(
            missing_lints,
            &files,
            "b/Cargo.toml c/Cargo.toml d/Cargo.toml",
        );
    }

    #[test]
    fn lines_of_101_columns() {
        let [right, wrong] = [100, 101].map(|columns| "x".repeat(columns));
        let code = format!("\t// {}\n\t// {}\n{wrong}\n", &right[11..], &wrong[11..]);
        finds(long_comments, &[("a.c", &code)], "a.c:2");
        let page = format!("```\n{wrong}\n```\n{right}\n    {wrong}\n| {wrong} |\n{wrong}\n");
        finds(long_prose, &[("a.md", &page)], "a.md:7");
    }

    #[test]
    fn safety_comment_in_another_form() {
        let text = "// SAFETY: `x` is.\n// SAFETY: get() is.\n// SAFETY: the x\n// Safety: The x\n";
        finds(safety_comments, &[("a.rs", text)], "a.rs:3 a.rs:4");
    }

    #[test]
    fn unsafe_in_another_file() {
        let files = [
            "src/chrdev.rs",
            "src/kernel_ext/a.rs",
            "src/shash.rs",
            "tests/a.rs",
        ];
        let files = files.map(|file| (file, "// unsafe\nunsafe {}\n"));
        finds(unsafe_code, &files, "src/shash.rs:2");
    }

    #[test]
    fn word_that_was_replaced() {
        let text = "renewed\nIt begins Anew.\nrun fuzz_doors\nuse base64::Engine;\n";
        finds(
            replaced_words,
            &[("a.md", text), ("a.lock", text)],
            "a.md:2 a.md:3",
        );
    }

    #[test]
    fn link_to_nothing() {
        let page = "# A page\n[a](#a-page) [b](b.md) [c](../src) [d](https://d)\n[e](#e)\n\
            [f]: f.md\n[a](../src/a.rs) [g](b.md#g)\n[h]: b.md#bs-2-words\n";
        let other = ("docs/b.md", "## B's 2 words\n");
        let files = [("docs/a.md", page), other, ("src/a.rs", "")];
        finds(dead_links, &files, "docs/a.md:3 docs/a.md:4 docs/a.md:5");
    }

    #[test]
    fn file_of_another_program() {
        let text = "#[path = \"../x.rs\"]\nmod x;\n#[path = \"y.rs\"]\nmod y;\n";
        finds(
            shared_files,
            &[("tests/a/main.rs", text)],
            "tests/a/main.rs:1",
        );
    }

    #[test]
    fn circle_of_two_files() {
        let a = "mod c;\n\nuse crate::{\n    b::{self, B as X}, // Why.\n    d::*, //\n};\n";
        let d = "// use crate::a::A;\n\nmod tests {\n    use crate::a::A;\n}\n";
        let files = [
            ("src/lib.rs", "use crate::a::A;\n"),
            ("src/a.rs", a),
            ("src/a/c.rs", "use super::A;\n"),
            ("src/b/mod.rs", "// Why.\npub(crate) use super::a::A;\n"),
            ("src/d.rs", d),
        ];
        finds(circles, &files, "src/a.rs:3 src/b/mod.rs:2");
    }

    #[test]
    fn test_that_does_not_exist() {
        let files = [
            ("SECURITY.md", "`a::b` and\n`c::d`, but `a::d`.\n`c::b`\n"),
            ("tests/vm/a.rs", "fn b() {}\n"),
            ("src/x.rs", "#[kunit_tests(c)]\nfn d() {}\n"),
        ];
        finds(missing_tests, &files, "SECURITY.md:2 SECURITY.md:3");
    }

    #[test]
    fn another_version() {
        let files = [
            ("Cargo.toml", "[workspace.package]\nversion = \"1.2\"\n"),
            ("lab/kit/Cargo.toml", "version = \"1.1\"\n"),
            ("CHANGELOG.md", "## 1.2, today\n"),
        ];
        finds(other_versions, &files, "lab/kit/Cargo.toml");
        let files = [
            files[0],
            ("lab/kit/Cargo.toml", files[0].1),
            ("CHANGELOG.md", "## 1.1\n"),
        ];
        finds(other_versions, &files, "CHANGELOG.md");
    }
}
