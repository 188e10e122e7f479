// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Manual pages.

use std::io::Write;

use anyhow::Context;
use anyhow::Result;
use clap::Command;
use clap_mangen::roff::bold;
use clap_mangen::roff::roman;
use clap_mangen::roff::Roff;
use clap_mangen::Man;

use crate::examples;

/// The subcommand that is also a program.
const SUM: &str = "sum";

/// The beginning of the text on the exit status in the help. A page has a section for this text.
const EXIT_STATUS: &str = "The exit status";

/// The page of the device.
const DEVICE: &str = "adler32.4";

/// Returns the names and texts of the files of all pages.
pub fn all() -> Result<Vec<(String, String)>> {
    let [adler32, adler32sum] = adler32_cli::commands().map(|command| {
        let mut command = command.disable_help_subcommand(true);
        // This sets the full names of the subcommands.
        command.build();
        command
    });
    let sum = adler32
        .find_subcommand(SUM)
        .context("adler32 has no subcommand sum")?;
    let mut pages = vec![
        page("adler32", &[&adler32])?,
        page("adler32sum", &[sum, &adler32sum])?,
    ];
    for command in adler32.get_subcommands() {
        if command.get_name() != SUM {
            let name = format!("adler32-{}", command.get_name());
            pages.push(page(&name, &[command])?);
        }
    }
    let files: Vec<_> = pages.iter().map(|(file, _)| file.clone()).collect();
    for (file, page) in &mut pages {
        let others = files.iter().filter(|other| *other != file);
        let others = others.map(String::as_str).chain([DEVICE]);
        page.push_str(&see_also(others));
    }
    pages.push(("adler32-sum.1".into(), ".so man1/adler32sum.1\n".into()));
    Ok(pages)
}

/// Returns the page of a command. `calls` are the ways to call it.
fn page(name: &str, calls: &[&Command]) -> Result<(String, String)> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let command = *calls.first().context("a page of no command")?;
    let man = Man::new(command.clone().display_name(name));
    let (description, exit_status) = description(command);

    let mut page = Vec::new();
    // Man::render_title() would omit an empty date, and so shift the arguments after it.
    writeln!(page, ".\\\" SPDX-License-Identifier: GPL-2.0 OR MIT")?;
    writeln!(
        page,
        r#".TH {name} 1 "" "adler32 {VERSION}" "User Commands""#
    )?;
    man.render_name_section(&mut page)?;
    write!(page, "{}", synopsis(calls))?;
    write!(page, "{}", paragraphs("DESCRIPTION", &description))?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if !exit_status.is_empty() {
        write!(page, "{}", paragraphs("EXIT STATUS", &exit_status))?;
    }
    write!(page, "{}", examples(examples::of(name)))?;
    Ok((man.get_filename(), String::from_utf8(page)?))
}

fn synopsis(calls: &[&Command]) -> String {
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]);
    for (number, command) in calls.iter().enumerate() {
        if number > 0 {
            section.control("br", []);
        }
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let usage = (*command).clone().render_usage().to_string();
        let arguments = usage.split_once(name).map_or("", |(_, rest)| rest);
        section.text([bold(name), roman(arguments)]);
    }
    section.to_roff()
}

/// Returns the paragraphs of the help before and after the options. The second list contains the
/// text on the exit status, and the first list all other text.
fn description(command: &Command) -> (Vec<String>, Vec<String>) {
    let texts = [
        command.get_long_about().or_else(|| command.get_about()),
        command.get_after_help(),
    ];
    let (mut description, mut exit_status) = (Vec::new(), Vec::new());
    for text in texts.into_iter().flatten() {
        for paragraph in text.to_string().split("\n\n") {
            let status = paragraph.find(EXIT_STATUS).unwrap_or(paragraph.len());
            let (before, status) = paragraph.split_at(status);
            for (text, section) in [(before, &mut description), (status, &mut exit_status)] {
                let text = text.trim_end();
                if !text.is_empty() {
                    // clap removes the period of the first sentence.
                    let stop = if text.ends_with('.') { "" } else { "." };
                    section.push(format!("{text}{stop}"));
                }
            }
        }
    }
    (description, exit_status)
}

fn paragraphs(heading: &str, paragraphs: &[String]) -> String {
    let mut section = Roff::new();
    section.control("SH", [heading]);
    for paragraph in paragraphs {
        section.control("PP", []);
        for line in paragraph.lines() {
            section.text([roman(line)]);
        }
    }
    section.to_roff()
}

fn examples(examples: &[(&str, &[&str])]) -> String {
    let mut section = Roff::new();
    if !examples.is_empty() {
        section.control("SH", ["EXAMPLES"]);
    }
    for (what, lines) in examples {
        section.control("PP", []);
        section.text([roman(*what)]);
        section.control("PP", []);
        section.control("RS", []);
        section.control("nf", []);
        for line in *lines {
            section.text([bold(*line)]);
        }
        section.control("fi", []);
        section.control("RE", []);
    }
    section.to_roff()
}

fn see_also<'a>(files: impl Iterator<Item = &'a str>) -> String {
    let mut section = Roff::new();
    section.control("SH", ["SEE ALSO"]);
    let mut separator = "";
    let mut line = Vec::new();
    for (name, number) in files.filter_map(|file| file.rsplit_once('.')) {
        line.extend([roman(separator), bold(name), roman(format!("({number})"))]);
        separator = ", ";
    }
    section.text(line);
    section.to_roff()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &str) -> String {
        page.replace("\\-", "-")
    }

    #[test]
    fn pages_contain_the_options_and_the_exit_status_of_the_help() {
        let [adler32, adler32sum] = adler32_cli::commands();
        let subcommands = adler32.get_subcommands().cloned();
        let mut commands: Vec<_> = subcommands
            .map(|command| (format!("adler32-{}.1", command.get_name()), command))
            .collect();
        commands.push(("adler32.1".to_owned(), adler32));
        commands.push(("adler32sum.1".to_owned(), adler32sum));
        let pages = all().unwrap();
        for (file, mut command) in commands {
            let (_, page) = pages.iter().find(|(name, _)| *name == file).unwrap();
            let mut page = text(page);
            if page.starts_with(".so ") {
                let (_, target) = pages
                    .iter()
                    .find(|(name, _)| page.trim_end().ends_with(&format!("/{name}")))
                    .unwrap();
                page = text(target);
            }
            let help = command.render_long_help().to_string();
            let words: Vec<_> = help.split_whitespace().collect();
            assert_eq!(
                words.join(" ").contains(EXIT_STATUS),
                page.contains(".SH \"EXIT STATUS\""),
                "{file}"
            );
            let lines = help.lines().map(str::trim_start);
            let options: Vec<_> = lines
                .filter(|line| line.starts_with('-') && !line.starts_with("- "))
                .flat_map(|line| line.split(' ').take_while(|word| word.starts_with('-')))
                .filter_map(|option| option.split([',', '[']).next())
                .collect();
            assert!(options.contains(&"--help"), "{help}");
            for option in options {
                assert!(
                    page.contains(&format!("\\fB{option}\\fR")),
                    "{option} is not in {file}"
                );
            }
        }
    }
}
