//! What an agent is to do so that exactly what is to be given is given, from what is wanted, what it remembers and what it
//! sees. Pure, and the same question again after a crash at any place.
//!
//! What is remembered ([`Kept`]) is written before anything is done for it, and forgotten after it is undone. An account
//! counts as the agent's own only when it is remembered, and has the number that it was seen to get, or the comment that it
//! was made with; no other account is ever touched. As long as nobody knows how long something still is given, nothing is,
//! and nothing is removed either.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::sudoers::{self, Span};
use super::{Elevation, Given, Home, Keeping, UnixName};
use crate::agent::SinceBoot;
use crate::settings::Existing;

/// The least number of an account that belongs to a person, and the one that belongs to nobody.
const FIRST_UID: u32 = 1000;
const NOBODY: u32 = 65534;
/// How far the machine's wall clock may go astray, in milliseconds, before the rules are written anew.
const ASTRAY: i64 = 2000;

/// Whether it is to be given now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Until then, by the kernel's clock.
    Until(SinceBoot),
    /// Nobody knows how long still: it is not given, and is not over.
    Unknown,
}

/// What is to be given, or may have to be. What is over is not among it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'e> {
    /// What.
    pub elevation: &'e Elevation,
    /// For how long.
    pub life: Life,
}

/// What was begun, on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kept {
    /// The rules of `sudo`, by grant.
    pub rules: BTreeMap<u32, Rule>,
    /// The accounts.
    pub accounts: BTreeMap<UnixName, Made>,
}

/// A rule of `sudo` that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// For whom.
    pub user: UnixName,
    /// What happens to what still runs by it.
    pub existing: Existing,
    /// The boot that `since` belongs to.
    pub boot: String,
    /// When it was begun, by the kernel's clock.
    pub since: SinceBoot,
    /// What the wall clock showed, less the kernel's, in milliseconds, when the file was written.
    pub offset: i64,
}

/// An account that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// The grant.
    pub mark: u32,
    /// The comment that it is made with, which no other account has.
    pub tag: String,
    /// Its number, once it was seen.
    pub uid: Option<u32>,
    /// What becomes of it.
    pub keeping: Keeping,
    /// When it was over, by the server's clock, in milliseconds since 1970; 0 while that is not known.
    pub over: Option<i64>,
}

/// An account that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub uid: u32,
    /// The first field of its comment.
    pub comment: String,
    /// Who can log in to it.
    pub login: Login,
}

/// Whether people can log in to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Nobody, whatever way.
    Locked,
    /// Until the end of the day before this one, in days since 1970: shadow(5) knows nothing finer.
    Until(i64),
    /// Otherwise than an agent would have it.
    Otherwise,
}

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Our files below `/etc/sudoers.d`, by grant.
    pub files: BTreeMap<u32, String>,
    /// The accounts of all names that are wanted or remembered.
    pub accounts: BTreeMap<UnixName, Seen>,
}

/// What time it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// The kernel's boot id.
    pub boot: String,
    /// The kernel's clock.
    pub since_boot: SinceBoot,
    /// What the machine's wall clock shows, less the kernel's, in milliseconds.
    pub offset: i64,
    /// The server's time in milliseconds since 1970, once it has been heard.
    pub server: Option<i64>,
}

/// Why something is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The name is taken.
    #[error("the machine has an account of this name already, which the agent has not made")]
    Exists,
    /// There is nobody to give it to.
    #[error("the machine has no account of this name")]
    Nobody,
    /// It is no person's account.
    #[error("the account is root's, or one of the system's")]
    System,
    /// Somebody has removed it while it was given.
    #[error("the account was removed on the machine by somebody else")]
    Removed,
    /// The time cannot be written.
    #[error("the time that it ends at cannot be written")]
    Time,
}

/// A step. Each can be done again when it is not known whether it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Remove the file of a grant.
    RemoveFile(u32),
    /// End what still runs by `sudo` for an account since then, by the kernel's clock.
    EndSudo {
        /// The grant.
        mark: u32,
        /// For whom.
        user: UnixName,
        /// Since when.
        since: SinceBoot,
    },
    /// Forget a rule that is gone.
    ForgetRule(u32),
    /// Let nobody log in any more.
    Lock(UnixName),
    /// End every process of an account.
    EndProcesses(UnixName, u32),
    /// Remember an account, or otherwise than before.
    KeepAccount(UnixName, Made),
    /// Remove an account.
    RemoveAccount(UnixName, Home, u32),
    /// Forget an account that is gone, or is not ours.
    ForgetAccount(UnixName),
    /// Make an account that is remembered, for logins until a day.
    Make(UnixName, Made, i64),
    /// Let people log in until a day.
    Unlock(UnixName, i64),
    /// Remember a rule, or otherwise than before.
    KeepRule(u32, Rule),
    /// Write the file of a grant.
    Write(u32, UnixName, String),
    /// Say that it is not given.
    Refuse(u32, Refusal),
    /// Say that it is given: the grant and its end.
    Tell(u32, i64),
}

/// Steps of which each needs those before it.
pub type Chain = Vec<Action>;

/// What is to be done, in order: first what ends, then what begins. `refused` are the grants that were refused already.
pub fn plan(
    wanted: &[Wanted<'_>],
    kept: &Kept,
    observed: &Observed,
    clocks: &Clocks,
    refused: &BTreeSet<u32>,
) -> Vec<Chain> {
    let wanted: Vec<&Wanted<'_>> = wanted.iter().filter(|w| !refused.contains(&w.elevation.mark)).collect();
    let rules: Vec<(&Elevation, Existing, SinceBoot)> =
        wanted.iter().filter_map(|w| Some((w.elevation, sudo_of(w.elevation)?, until(w)?))).collect();
    let mut todo = end_rules(&rules, kept, observed, clocks);
    let mut accounts: BTreeMap<&UnixName, &Wanted<'_>> = BTreeMap::new();
    for w in wanted.iter().filter(|w| sudo_of(w.elevation).is_none()) {
        let first = accounts.entry(&w.elevation.user).or_insert(w);
        // What is known to be given comes before what may be.
        if until(first).is_none() && until(w).is_some() {
            *first = w;
        }
    }
    for (user, made) in &kept.accounts {
        todo.push(settle(user, made, accounts.get(user).copied(), observed.accounts.get(user), clocks));
    }
    for (user, w) in accounts.iter().filter(|(user, _)| !kept.accounts.contains_key(**user)) {
        todo.extend(until(w).map(|ends| begin(user, w.elevation, ends, observed, clocks)));
    }
    // The number of an account once the steps so far are done.
    let there = |user: &UnixName| {
        let any =
            |step: fn(&Action) -> Option<&UnixName>| todo.iter().flatten().any(|a| step(a) == Some(user));
        let goes = any(|a| match a {
            Action::Lock(name) | Action::RemoveAccount(name, ..) => Some(name),
            _ => None,
        });
        let comes = any(|a| match a {
            Action::Make(name, ..) | Action::Unlock(name, _) => Some(name),
            _ => None,
        });
        match observed.accounts.get(user) {
            _ if goes => None,
            None => comes.then_some(FIRST_UID),
            Some(seen) if seen.login == Login::Locked && kept.accounts.contains_key(user) && !comes => None,
            Some(seen) => Some(seen.uid),
        }
    };
    let begun: Vec<Chain> = rules
        .iter()
        .map(|(elevation, existing, ends)| {
            begin_rule(elevation, *existing, *ends, there(&elevation.user), (kept, observed, clocks))
        })
        .collect();
    todo.extend(begun);
    todo.retain(|chain| !chain.is_empty());
    todo
}

fn sudo_of(elevation: &Elevation) -> Option<Existing> {
    match &elevation.gives {
        Given::Sudo { existing, .. } => Some(*existing),
        Given::Account(_) => None,
    }
}

fn until(wanted: &Wanted<'_>) -> Option<SinceBoot> {
    match wanted.life {
        Life::Until(ends) => Some(ends),
        Life::Unknown => None,
    }
}

fn is_person(uid: u32) -> bool {
    uid >= FIRST_UID && uid != NOBODY
}

/// The day after the one on which the wall clock will show that it ends, in days since 1970.
fn day_after(ends: SinceBoot, clocks: &Clocks) -> i64 {
    wall(ends, clocks.offset).div_euclid(86_400_000) + 1
}

/// What a wall clock will show, in milliseconds since 1970.
fn wall(since_boot: SinceBoot, offset: i64) -> i64 {
    i64::try_from(since_boot).unwrap_or(i64::MAX).saturating_add(offset)
}

fn end_rules(
    rules: &[(&Elevation, Existing, SinceBoot)],
    kept: &Kept,
    observed: &Observed,
    clocks: &Clocks,
) -> Vec<Chain> {
    let marks: BTreeSet<u32> = observed.files.keys().chain(kept.rules.keys()).copied().collect();
    let gone = marks.into_iter().filter(|mark| !rules.iter().any(|(e, ..)| e.mark == *mark));
    let end = |mark| {
        let mut chain: Chain = Vec::new();
        if observed.files.contains_key(&mark) {
            chain.push(Action::RemoveFile(mark));
        }
        let Some(rule) = kept.rules.get(&mark) else { return chain };
        // What runs by one rule and what by another cannot be told apart.
        let has_other = rules.iter().any(|(e, ..)| e.user == rule.user);
        if rule.existing == Existing::Cut && !has_other {
            let since = if rule.boot == clocks.boot { rule.since } else { 0 };
            chain.push(Action::EndSudo { mark, user: rule.user.clone(), since });
        }
        chain.push(Action::ForgetRule(mark));
        chain
    };
    gone.map(end).collect()
}

/// Brings an account that is remembered to where it should be.
fn settle(
    user: &UnixName,
    made: &Made,
    wanted: Option<&Wanted<'_>>,
    seen: Option<&Seen>,
    clocks: &Clocks,
) -> Chain {
    let given = wanted.and_then(|w| Some((w.elevation, until(w)?)));
    let forget = |why| {
        let refusal = given.map(|(elevation, _)| Action::Refuse(elevation.mark, why));
        [Action::ForgetAccount(user.clone())].into_iter().chain(refusal).collect()
    };
    let Some(seen) = seen else {
        return match (made.uid, given) {
            // It was remembered and not made yet.
            (None, Some((elevation, ends))) => make(user, made.clone(), (elevation, ends), clocks),
            (None, None) => vec![Action::ForgetAccount(user.clone())],
            (Some(_), _) => forget(Refusal::Removed),
        };
    };
    let ours = match made.uid {
        Some(uid) => uid == seen.uid,
        None => seen.comment == made.tag,
    };
    if !ours || !is_person(seen.uid) {
        return forget(Refusal::Exists);
    }
    let known = Made { uid: Some(seen.uid), ..made.clone() };
    let mut chain = Vec::new();
    let keep = |now: Made, chain: &mut Chain| {
        if now != *made {
            chain.push(Action::KeepAccount(user.clone(), now));
        }
    };
    let lock = [Action::Lock(user.clone()), Action::EndProcesses(user.clone(), seen.uid)];
    match (wanted, given) {
        (_, Some((elevation, ends))) => {
            let Given::Account(keeping) = elevation.gives else { return chain };
            keep(Made { mark: elevation.mark, keeping, over: None, ..known }, &mut chain);
            let day = day_after(ends, clocks);
            if seen.login != Login::Until(day) {
                chain.push(Action::Unlock(user.clone(), day));
            }
            chain.push(Action::Tell(elevation.mark, elevation.end));
        }
        // Not known to be over.
        (Some(_), None) => {
            keep(known, &mut chain);
            if seen.login != Login::Locked {
                chain.extend(lock);
            }
        }
        (None, None) => {
            // Whoever died between the two left processes behind.
            if seen.login != Login::Locked || made.over.is_none() {
                chain.extend(lock);
            }
            let over = made.over.filter(|at| *at > 0).or(clocks.server).unwrap_or(0);
            let now = Made { over: Some(over), ..known };
            let kept_for = now.keeping.remove_after.saturating_mul(1000);
            let gone_for = clocks.server.filter(|_| over > 0).map_or(0, |server| server - over);
            if gone_for >= kept_for {
                chain.push(Action::RemoveAccount(user.clone(), now.keeping.home, now.mark));
                chain.push(Action::ForgetAccount(user.clone()));
            } else {
                keep(now, &mut chain);
            }
        }
    }
    chain
}

/// An account that is not there.
fn make(user: &UnixName, made: Made, (elevation, ends): (&Elevation, SinceBoot), clocks: &Clocks) -> Chain {
    let made = Made { mark: elevation.mark, ..made };
    vec![
        Action::KeepAccount(user.clone(), made.clone()),
        Action::Make(user.clone(), made, day_after(ends, clocks)),
        Action::Tell(elevation.mark, elevation.end),
    ]
}

fn begin(
    user: &UnixName,
    elevation: &Elevation,
    ends: SinceBoot,
    observed: &Observed,
    clocks: &Clocks,
) -> Chain {
    let Given::Account(keeping) = elevation.gives else { return Vec::new() };
    let mark = elevation.mark;
    if user.is_root() {
        return vec![Action::Refuse(mark, Refusal::System)];
    }
    if observed.accounts.contains_key(user) {
        return vec![Action::Refuse(mark, Refusal::Exists)];
    }
    let tag = format!("sekisho-{mark}-{}", elevation.end);
    make(user, Made { mark, tag, uid: None, keeping, over: None }, (elevation, ends), clocks)
}

fn begin_rule(
    elevation: &Elevation,
    existing: Existing,
    ends: SinceBoot,
    uid: Option<u32>,
    (kept, observed, clocks): (&Kept, &Observed, &Clocks),
) -> Chain {
    let mark = elevation.mark;
    let refuse = |why| {
        let file = observed.files.contains_key(&mark).then_some(Action::RemoveFile(mark));
        file.into_iter().chain([Action::Refuse(mark, why)]).collect()
    };
    match uid {
        _ if elevation.user.is_root() => return refuse(Refusal::System),
        None => return refuse(Refusal::Nobody),
        Some(uid) if !is_person(uid) => return refuse(Refusal::System),
        Some(_) => {}
    }
    let before = kept.rules.get(&mark).filter(|rule| rule.boot == clocks.boot);
    let steady = |rule: &&Rule| (rule.offset - clocks.offset).abs() <= ASTRAY;
    let rule = Rule {
        user: elevation.user.clone(),
        existing,
        boot: clocks.boot.clone(),
        since: before.map_or(clocks.since_boot, |rule| rule.since),
        offset: before.filter(steady).map_or(clocks.offset, |rule| rule.offset),
    };
    let span = Span { begin: wall(rule.since, rule.offset), end: wall(ends, rule.offset) };
    let Some(text) = sudoers::text(elevation, span) else { return refuse(Refusal::Time) };
    let mut todo = Vec::new();
    if kept.rules.get(&mark) != Some(&rule) {
        todo.push(Action::KeepRule(mark, rule));
    }
    if observed.files.get(&mark) != Some(&text) {
        todo.push(Action::Write(mark, elevation.user.clone(), text));
    }
    todo.push(Action::Tell(mark, elevation.end));
    todo
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Sudo;
    use super::*;

    /// A machine on which steps are really done.
    #[derive(Debug, Clone, Default)]
    struct World {
        kept: Kept,
        there: Observed,
        /// The accounts that somebody else has made.
        others: BTreeMap<UnixName, Seen>,
        running: BTreeSet<(UnixName, &'static str)>,
        refused: BTreeSet<u32>,
        next_uid: u32,
    }

    impl World {
        fn new(others: &[(&str, u32)]) -> World {
            let seen = |uid| Seen { uid, comment: String::new(), login: Login::Otherwise };
            let others: BTreeMap<UnixName, Seen> =
                others.iter().map(|(name, uid)| (name.parse().unwrap(), seen(*uid))).collect();
            let there = Observed { accounts: others.clone(), ..Observed::default() };
            World { there, others, next_uid: 2000, ..World::default() }
        }

        fn does(&mut self, action: &Action) {
            match action.clone() {
                Action::RemoveFile(mark) => drop(self.there.files.remove(&mark)),
                Action::EndSudo { user, .. } => drop(self.running.remove(&(user, "sudo"))),
                Action::ForgetRule(mark) => drop(self.kept.rules.remove(&mark)),
                Action::Lock(user) => self.own(&user).login = Login::Locked,
                Action::Unlock(user, day) => self.own(&user).login = Login::Until(day),
                Action::EndProcesses(user, uid) => {
                    assert_eq!(self.own(&user).uid, uid);
                    self.running.remove(&(user, "login"));
                }
                Action::KeepAccount(user, made) => drop(self.kept.accounts.insert(user, made)),
                Action::RemoveAccount(user, ..) => {
                    self.own(&user);
                    assert!(!self.running.contains(&(user.clone(), "login")), "it still runs");
                    self.there.accounts.remove(&user);
                }
                Action::ForgetAccount(user) => drop(self.kept.accounts.remove(&user)),
                Action::Make(user, made, day) => {
                    assert_eq!(self.kept.accounts.get(&user), Some(&made), "it is remembered first");
                    assert!(!self.there.accounts.contains_key(&user));
                    self.next_uid += 1;
                    let seen = Seen { uid: self.next_uid, comment: made.tag, login: Login::Until(day) };
                    self.there.accounts.insert(user, seen);
                }
                Action::KeepRule(mark, rule) => drop(self.kept.rules.insert(mark, rule)),
                Action::Write(mark, user, text) => {
                    assert!(self.kept.rules.contains_key(&mark), "it is remembered first");
                    assert!(is_person(self.there.accounts[&user].uid));
                    self.there.files.insert(mark, text);
                }
                Action::Refuse(mark, _) => drop(self.refused.insert(mark)),
                Action::Tell(..) => {}
            }
        }

        fn is_locked(&self, user: &str) -> bool {
            self.there.accounts[&name(user)].login == Login::Locked
        }

        /// An account of ours; nothing is ever done to another one.
        fn own(&mut self, user: &UnixName) -> &mut Seen {
            assert!(!self.others.contains_key(user), "{user} is somebody else's");
            self.there.accounts.get_mut(user).unwrap()
        }

        /// Until nothing is to be done any more; the steps of each round end after `crash` of them, once.
        fn converges(&mut self, wanted: &[Wanted<'_>], clocks: &Clocks, crash: Option<usize>) {
            let mut crash = crash;
            for _ in 0..8 {
                let todo = plan(wanted, &self.kept, &self.there, clocks, &self.refused);
                let news = todo.iter().flatten().filter(|a| !matches!(a, Action::Tell(..)));
                let news: Vec<&Action> = news.collect();
                if news.is_empty() {
                    return;
                }
                let most = crash.take().unwrap_or(news.len());
                news.into_iter().take(most).for_each(|action| self.does(action));
            }
            panic!("it never ends: {:?}", plan(wanted, &self.kept, &self.there, clocks, &self.refused));
        }
    }

    fn name(text: &str) -> UnixName {
        text.parse().unwrap()
    }

    fn sudo(mark: u32, user: &str) -> Elevation {
        let sudo = Sudo { run_as: vec![UnixName::root()], commands: None };
        let gives = Given::Sudo { sudo, existing: Existing::Cut };
        Elevation { mark, user: name(user), gives, end: 9_000_000, longest: 600 }
    }

    fn account(mark: u32, user: &str, remove_after: i64) -> Elevation {
        let gives = Given::Account(Keeping { home: Home::Remove, remove_after });
        Elevation { mark, user: name(user), gives, end: 9_000_000, longest: 600 }
    }

    fn clocks(since_boot: u64) -> Clocks {
        let now = 1_000_000_000_000 + i64::try_from(since_boot).unwrap();
        Clocks { boot: "a".to_owned(), since_boot, offset: 1_000_000_000_000, server: Some(now) }
    }

    fn open(all: &[Elevation]) -> Vec<Wanted<'_>> {
        all.iter().map(|elevation| Wanted { elevation, life: Life::Until(600_000) }).collect()
    }

    #[test]
    fn an_account_and_its_rule_come_together_and_go_without_a_trace() {
        let mut world = World::new(&[("bob", 1000)]);
        let all = [account(1, "alice", 0), sudo(2, "alice"), sudo(3, "bob")];
        world.converges(&open(&all), &clocks(0), None);
        assert_eq!(world.there.files.keys().copied().collect::<Vec<_>>(), [2, 3]);
        assert!(world.refused.is_empty() && world.there.accounts.contains_key(&name("alice")));
        world.running =
            BTreeSet::from([(name("alice"), "sudo"), (name("alice"), "login"), (name("bob"), "sudo")]);
        world.converges(&[], &clocks(9), None);
        assert_eq!((world.there.accounts, world.there.files.len()), (world.others, 0));
        assert_eq!((world.kept, world.running.len()), (Kept::default(), 0));
    }

    #[test]
    fn nobody_elses_account_is_taken_and_nothing_is_given_to_the_system() {
        let mut world = World::new(&[("bob", 1000), ("daemon", 1), ("nobody", 65534), ("toor", 0)]);
        let all = [
            account(1, "bob", 0),
            sudo(2, "daemon"),
            sudo(3, "nobody"),
            sudo(4, "toor"),
            sudo(5, "ghost"),
            account(6, "root", 0),
            sudo(7, "root"),
        ];
        world.converges(&open(&all), &clocks(0), None);
        assert_eq!(world.refused, (1..=7).collect());
        assert!(world.there.files.is_empty() && world.kept.accounts.is_empty());
    }

    #[test]
    fn as_long_as_nobody_knows_the_time_nothing_is_given_and_nothing_is_removed() {
        let mut world = World::new(&[]);
        let all = [account(1, "alice", 0), sudo(2, "alice")];
        world.converges(&open(&all), &clocks(0), None);
        // The machine starts again, and nobody has said what time it is.
        let unheard = Clocks { boot: "b".to_owned(), server: None, ..clocks(5) };
        let unknown: Vec<_> = all.iter().map(|elevation| Wanted { elevation, life: Life::Unknown }).collect();
        world.converges(&unknown, &unheard, None);
        assert!(world.there.files.is_empty());
        assert!(world.is_locked("alice"));
        let heard = Clocks { server: clocks(5).server, ..unheard };
        world.converges(&open(&all), &heard, None);
        assert!(!world.is_locked("alice") && world.there.files.contains_key(&2));
    }

    #[test]
    fn an_account_that_is_kept_for_a_while_is_locked_until_the_server_says_that_it_is_over() {
        let mut world = World::new(&[]);
        let all = [account(1, "alice", 60)];
        world.converges(&open(&all), &clocks(0), None);
        world.running.insert((name("alice"), "login"));
        let unheard = Clocks { server: None, ..clocks(10) };
        world.converges(&[], &unheard, None);
        assert!(world.is_locked("alice") && world.running.is_empty());
        for (now, is_there) in [(20_000, true), (79_999, true), (80_000, false)] {
            world.converges(&[], &clocks(now), None);
            assert_eq!(world.there.accounts.contains_key(&name("alice")), is_there, "{now}");
        }
        // Asked for again meanwhile, it is the same one.
        world.converges(&open(&all), &clocks(0), None);
        let uid = world.there.accounts[&name("alice")].uid;
        world.converges(&[], &clocks(10), None);
        world.converges(&open(&[account(4, "alice", 60)]), &clocks(20), None);
        assert!(!world.is_locked("alice"));
        let again = (world.there.accounts[&name("alice")].uid, world.kept.accounts[&name("alice")].mark);
        assert_eq!(again, (uid, 4));
    }

    #[test]
    fn what_root_did_meanwhile_is_respected() {
        let mut world = World::new(&[]);
        let all = [account(1, "alice", 0)];
        world.converges(&open(&all), &clocks(0), None);
        let mut removed = world.clone();
        removed.there.accounts.clear();
        removed.converges(&open(&all), &clocks(1), None);
        assert_eq!((removed.refused, removed.there.accounts.len()), (BTreeSet::from([1]), 0));
        // The name is another account's by now.
        let theirs = Seen { uid: 1234, comment: String::new(), login: Login::Otherwise };
        world.there.accounts.insert(name("alice"), theirs.clone());
        world.others.insert(name("alice"), theirs);
        world.converges(&[], &clocks(1), None);
        assert_eq!((world.there.accounts, world.kept.accounts.len()), (world.others, 0));
    }

    #[test]
    fn the_file_follows_the_wall_clock_so_that_setting_it_gives_nothing_more() {
        let mut world = World::new(&[("bob", 1000)]);
        let all = [sudo(1, "bob")];
        world.converges(&open(&all), &clocks(0), None);
        let before = world.there.files[&1].clone();
        world.converges(&open(&all), &Clocks { offset: clocks(0).offset + 1999, ..clocks(10_000) }, None);
        assert_eq!(world.there.files[&1], before, "as clocks go");
        world.converges(
            &open(&all),
            &Clocks { offset: clocks(0).offset - 86_400_000, ..clocks(10_000) },
            None,
        );
        let earlier = |text: &str| text.split("NOTAFTER=").nth(1).unwrap()[..15].to_owned();
        assert!(earlier(&world.there.files[&1]) < earlier(&before));
        // Somebody has changed the file.
        world.there.files.insert(1, "bob ALL=(ALL) ALL\n".to_owned());
        world.there.files.insert(7, "eve ALL=(ALL) ALL\n".to_owned());
        world.converges(&open(&all), &clocks(20_000), None);
        assert_eq!(world.there.files, BTreeMap::from([(1, before)]));
    }

    proptest! {
        /// Crashes after any step, restarts, other wishes: in the end there is exactly what is wanted.
        #[test]
        fn whatever_dies_where_it_converges_and_touches_only_its_own(
            rounds in prop::collection::vec(
                (prop::collection::btree_set(0_usize..7, 0..7), prop::option::of(0_usize..9), 0_u64..100_000, any::<bool>()),
                1..8),
        ) {
            let mut world = World::new(&[("bob", 1000), ("daemon", 1)]);
            let all = [
                account(1, "alice", 0), sudo(2, "alice"), sudo(3, "bob"), account(4, "bob", 0),
                account(5, "carol", 60), sudo(6, "carol"), sudo(7, "daemon"),
            ];
            let mut at = 0;
            for (chosen, crash, later, heard) in rounds {
                at += later;
                let now = if heard { clocks(at) } else { Clocks { server: None, ..clocks(at) } };
                let picked: Vec<Elevation> = chosen.iter().map(|n| all[*n].clone()).collect();
                world.refused.clear();
                world.running.extend(picked.iter().filter(|e| e.user != name("daemon")).map(|e| (e.user.clone(), "sudo")));
                world.converges(&open(&picked), &now, crash);
                let has = |mark: u32| picked.iter().any(|e| e.mark == mark);
                prop_assert_eq!(world.there.files.contains_key(&3), has(3));
                prop_assert_eq!(world.there.files.contains_key(&2), has(2) && has(1));
                prop_assert!(!world.there.files.contains_key(&7));
                prop_assert_eq!(world.there.accounts.contains_key(&name("alice")), has(1));
                prop_assert_eq!(world.there.files.contains_key(&6), has(6) && has(5));
                let carol = world.there.accounts.contains_key(&name("carol"));
                let open = carol && !world.is_locked("carol");
                prop_assert_eq!(open, has(5));
                for (user, seen) in &world.others {
                    prop_assert_eq!(&world.there.accounts[user], seen);
                }
            }
        }
    }
}
