//! The pages of the reference that the programs write themselves: their commands and settings. `UPDATE_GOLDEN=1` writes
//! them anew.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::programs;

fn kept(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(page);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/reference/{page} is out of date: run this test with UPDATE_GOLDEN=1");
}

fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(programs().join(program)).args(arguments).env_clear().output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The help of a command, and then of every command below it.
fn explain(program: &str, below: &[&str], page: &mut String) {
    let mut arguments = below.to_vec();
    arguments.push("--help");
    let help = says(program, &arguments);
    let title = [&[program], below].concat().join(" ");
    let level = if below.is_empty() { "##" } else { "###" };
    let trimmed: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n{level} `{title}`\n\n```text\n{}\n```\n", trimmed.join("\n").trim());
    let commands = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    // Two blanks stand before a name, more before the rest of its explanation.
    let names = commands.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    for name in names.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help") {
        explain(program, &[below, &[name]].concat(), page);
    }
}

#[test]
fn the_reference_of_commands_is_what_the_programs_say_of_themselves() {
    let mut page = "# Commands\n\nWritten by the programs themselves; do not edit.\n".to_owned();
    explain("sekisho", &[], &mut page);
    explain("sekisho-agent", &[], &mut page);
    kept("commands.md", &page);
}

#[test]
fn the_reference_of_settings_is_what_the_server_prints() {
    let text = says("sekisho", &["--config", "/dev/null", "server", "--print-config"]);
    let mut page = "# Settings\n\nThe server reads `/etc/sekisho/sekisho.toml`, or the file that `--config` names. An \
                    environment variable wins over\nthe file: `SEKISHO_LISTEN` over `listen`. What is in force, and \
                    where it came from, is shown by\n`sekisho server --print-config`. Secrets are never settings: \
                    they stand in files that settings name.\n\nWritten by the program itself; do not \
                    edit.\n\n| setting | meaning | default |\n|---|---|---|\n"
        .to_owned();
    let mut meaning = "";
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            meaning = comment;
        } else if let Some((key, value)) = line.split_once(" = ") {
            let value = value.trim_end_matches("  # default").trim_matches('"');
            let shown = if value.is_empty() { String::new() } else { format!("`{value}`") };
            let _ = writeln!(page, "| `{key}` | {} | {shown} |", meaning.replace('|', "\\|"));
        }
    }
    kept("settings.md", &page);
}
