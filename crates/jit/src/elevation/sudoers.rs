//! The file of a grant below `/etc/sudoers.d` (source: sudoers(5) of sudo 1.9): one rule, for one account.
//!
//! `sudo` itself ends it at `NOTAFTER`, by the machine's wall clock and with nobody's help. `NOTBEFORE` keeps a clock that
//! was set back behind the beginning, or that a machine without a battery starts with, from giving anything. `TIMEOUT` has
//! `sudo` end what it runs when nobody else does.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{CommandPath, Elevation, Given, UnixName};
use crate::settings::Existing;

/// What the names of our files begin with. `sudo` reads no file with a dot in its name, or a tilde at its end.
pub const PREFIX: &str = "90-sekisho-";

const INSTANT: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day][hour][minute][second]Z");

/// The name of a grant's file.
pub fn name(mark: u32) -> String {
    format!("{PREFIX}{mark}")
}

/// The grant of a file of ours.
pub fn mark(name: &str) -> Option<u32> {
    let mark = name.strip_prefix(PREFIX)?.parse().ok()?;
    (self::name(mark) == name).then_some(mark)
}

/// How much earlier than it begins a rule holds, in milliseconds: a clock that is corrected by a little takes nothing away.
const EARLY: i64 = 60_000;

/// When a rule holds, by the machine's wall clock, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From.
    pub begin: i64,
    /// Until.
    pub end: i64,
}

/// The file of a grant; `None` when it gives no `sudo`, or a time cannot be written.
pub fn text(elevation: &Elevation, span: Span) -> Option<String> {
    let Given::Sudo { sudo, existing } = &elevation.gives else { return None };
    let run_as: Vec<&str> = sudo.run_as.iter().map(UnixName::as_str).collect();
    let commands = match &sudo.commands {
        None => "ALL".to_owned(),
        Some(all) => all.iter().map(escaped).collect::<Vec<_>>().join(", "),
    };
    // Not 0, which is for ever.
    let timeout = match existing {
        Existing::Cut => format!(" TIMEOUT={}", (span.end - span.begin).max(0) / 1000 + 1),
        Existing::Drain => String::new(),
    };
    let (mark, user, run_as) = (elevation.mark, &elevation.user, run_as.join(","));
    let (begin, end) = (instant(span.begin.saturating_sub(EARLY))?, instant(span.end)?);
    Some(format!(
        "# Kept by the Sekisho agent for grant {mark}; it ends by itself.\n\
         {user} ALL=({run_as}) NOTBEFORE={begin} NOTAFTER={end}{timeout} NOPASSWD: {commands}\n"
    ))
}

/// A command as `sudo` reads it: what separates commands there is part of this one.
fn escaped(command: &CommandPath) -> String {
    let one = |c: char| match c {
        ',' | ':' | '=' => vec!['\\', c],
        c => vec![c],
    };
    command.as_str().chars().flat_map(one).collect()
}

/// Whole seconds: never later.
fn instant(ms: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok()?;
    // Four digits of a year are what there is room for.
    (0..=9999).contains(&at.year()).then(|| at.format(INSTANT).ok())?
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::elevation::Sudo;

    fn elevation(user: UnixName, run_as: Vec<UnixName>, commands: Option<Vec<CommandPath>>) -> Elevation {
        let gives = Given::Sudo { sudo: Sudo { run_as, commands }, existing: Existing::Cut };
        Elevation { mark: 17, user, gives, end: 0, longest: 600 }
    }

    const SPAN: Span = Span { begin: 1_796_000_000_999, end: 1_796_003_600_999 };

    #[test]
    fn the_file_says_who_what_and_until_when_and_its_name_is_read_back() {
        let commands = vec!["/usr/bin/a,b:c=d".parse().unwrap(), "/bin/ls".parse().unwrap()];
        let one = elevation("alice.b".parse().unwrap(), vec![UnixName::root()], Some(commands));
        assert_eq!(
            text(&one, SPAN).unwrap().lines().nth(1).unwrap(),
            "alice.b ALL=(root) NOTBEFORE=20261130005220Z NOTAFTER=20261130015320Z TIMEOUT=3601 NOPASSWD: \
             /usr/bin/a\\,b\\:c\\=d, /bin/ls"
        );
        assert_eq!(text(&one, Span { end: i64::MAX, ..SPAN }), None);
        assert_eq!(mark(&name(17)), Some(17));
        for other in
            ["90-sekisho-", "90-sekisho-017", "90-sekisho-+7", "90-sekisho-7~", "90-sekisho-7.new", "sudo"]
        {
            assert_eq!(mark(other), None, "{other}");
        }
        assert!(!name(u32::MAX).contains(['.', '~']));
    }

    /// What sudo's own parser makes of a file.
    fn read_by_sudo(text: &str) -> Option<Value> {
        let dir = std::env::temp_dir().join(format!("sekisho-sudoers-{}", std::process::id()));
        std::fs::write(&dir, text).unwrap();
        let said = Command::new("cvtsudoers").args(["-f", "json"]).arg(&dir).output();
        std::fs::remove_file(&dir).unwrap();
        let said = said.ok()?;
        assert!(said.status.success() && said.stderr.is_empty(), "{text}: {said:?}");
        Some(serde_json::from_slice(&said.stdout).unwrap())
    }

    fn listed(kind: &str, all: &[impl ToString]) -> Value {
        all.iter().map(|one| json!({ kind: one.to_string() })).collect::<Vec<_>>().into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever can be put in at all is one rule, and says to `sudo` what was meant.
        #[test]
        fn no_name_and_no_command_makes_a_second_rule_or_another_one(
            user in "[ -~\n\t]{1,12}|[a-z_][a-z0-9_.-]{0,31}|default|defaults|host_alias|include",
            run_as in prop::collection::vec("[ -~\n]{1,8}|[a-z_][a-z0-9_.-]{0,31}", 1..4),
            commands in prop::option::of(
                prop::collection::vec("/[ -~\n\t]{1,12}|(/[a-zA-Z0-9._+@,:=-]{1,9}){1,4}", 1..4)),
        ) {
            let Ok(user) = user.parse::<UnixName>() else { return Ok(()) };
            let run_as: Vec<UnixName> = run_as.iter().filter_map(|n| n.parse().ok()).collect();
            let commands: Option<Vec<CommandPath>> =
                commands.map(|all| all.iter().filter_map(|c| c.parse().ok()).collect());
            prop_assume!(!run_as.is_empty() && commands.as_ref().is_none_or(|c| !c.is_empty()));
            let written = text(&elevation(user.clone(), run_as.clone(), commands.clone()), SPAN).unwrap();
            prop_assert_eq!(written.lines().count(), 2);
            let Some(read) = read_by_sudo(&written) else { return Ok(()) };
            let commands = match commands {
                None => listed("command", &["ALL"]),
                Some(all) => listed("command", &all.into_iter().map(String::from).collect::<Vec<_>>()),
            };
            prop_assert_eq!(read.as_object().unwrap().len(), 1, "{}", written);
            let specs = read["User_Specs"].as_array().unwrap();
            prop_assert_eq!(specs.len(), 1);
            prop_assert_eq!(&specs[0]["User_List"], &listed("username", &[user]));
            let rules = specs[0]["Cmnd_Specs"].as_array().unwrap();
            prop_assert_eq!(rules.len(), 1);
            prop_assert_eq!(&rules[0]["runasusers"], &listed("username", &run_as));
            prop_assert_eq!(&rules[0]["Commands"], &commands);
            let end = json!({"notafter": "20261130015320Z"});
            prop_assert!(rules[0]["Options"].as_array().unwrap().contains(&end));
        }
    }
}
