//! `sudo` and accounts for a time, with the real programs, in machines with an `/etc` of their own: that they are there,
//! that they end, whatever is dead by then, and that nothing else is touched.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bastion_ssh::{ADMIN_LOGIN, Ssh, USER_LOGIN};
use super::{AGENT, SOON, World, clocks, programs, skipped, unable};

const VERSION: &str = "api-version=2020-01-01";

/// `db`, which has the user `bob`.
struct Users {
    world: World,
    bob: u32,
}

fn has_programs() -> bool {
    let all =
        ["/usr/sbin/visudo", "/usr/bin/sudo", "/usr/sbin/useradd"].iter().all(|p| Path::new(p).exists());
    if !all {
        skipped("sudo or useradd is not installed");
    }
    all
}

/// The path of the policy of the tests, or of an action of it.
fn path(world: &World, rest: &str) -> String {
    let group = world.site.group();
    format!(
        "{group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/users{rest}?{VERSION}"
    )
}

fn write_policy(world: &World, sekisho: Value) {
    let machines = json!([{"id": world.machine_id("db"), "ports": []}]);
    let body = json!({"properties": {"virtualMachines": machines, "sekisho": sekisho}});
    world.api.put(&path(world, ""), &body).unwrap();
}

/// Asks for something; the request's name.
fn ask(world: &World, what: Value) -> String {
    let body = json!({"virtualMachines": [{"id": world.machine_id("db"), "sekisho": what}]});
    let made = world.api.post(&path(world, "/initiate"), &body).unwrap();
    made["sekisho"]["id"].as_str().unwrap().to_owned()
}

fn revoke(world: &World, name: &str) {
    world.api.post(&path(world, "/revoke"), &json!({ "requestId": name })).unwrap();
}

impl Users {
    fn new(prefix: &str) -> Option<Users> {
        if unable().is_some() || !has_programs() {
            return None;
        }
        let mut users = Users { world: World::new(prefix), bob: 0 };
        let made = users.run("useradd", &["--no-log-init", "bob"]);
        assert!(made.status.success(), "{made:?}");
        users.bob = users.uid("bob");
        // The machines of a lab see each other's processes, and this one's.
        assert!(users.bob > 1_000_000, "{}", users.bob);
        users.world.give_role("db", ADMIN_LOGIN);
        users.policy(json!({"sudo": {"maxRequestAccessDuration": "PT1H"},
            "account": {"maxRequestAccessDuration": "PT1H"}}));
        Some(users)
    }

    fn own(&self) -> PathBuf {
        self.world.site.machine("db").unwrap().host.own_files().unwrap().to_owned()
    }

    fn etc(&self) -> PathBuf {
        self.own().join("etc")
    }

    fn command(&self, program: &str) -> Command {
        self.world.site.machine("db").unwrap().host.command(program)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    fn policy(&self, sekisho: Value) {
        write_policy(&self.world, sekisho);
    }

    /// Asks for a user; the request's name.
    fn ask(&self, user: &str, mut what: Value) -> String {
        what["user"] = user.into();
        ask(&self.world, what)
    }

    fn revoke(&self, name: &str) {
        revoke(&self.world, name);
    }

    /// Waits until everything of the newest request is in a state, and returns it.
    fn becomes(&self, state: &str) -> Value {
        let start = Instant::now();
        loop {
            let policy = self.world.api.get(&path(&self.world, "")).unwrap();
            let all =
                policy["properties"]["requests"][0]["virtualMachines"][0]["sekisho"]["elevations"].clone();
            if all.as_array().is_some_and(|all| all.iter().all(|e| e["state"] == state)) {
                return all;
            }
            assert!(start.elapsed() < SOON * 2, "it does not become {state}: {all}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A program as a user of the machine.
    fn as_user(&self, uid: u32, arguments: &[&str]) -> Command {
        let mut command = self.command("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".to_owned()]);
        command.args(arguments).current_dir("/").stdin(Stdio::null());
        command
    }

    fn is_root(&self, uid: u32) -> bool {
        let said = self.as_user(uid, &["sudo", "-n", "/usr/bin/id", "-u"]).output().unwrap();
        said.status.success() && said.stdout == b"0\n"
    }

    fn root_becomes(&self, uid: u32, is: bool, limit: Duration) {
        let start = Instant::now();
        while self.is_root(uid) != is {
            assert!(start.elapsed() < limit, "{uid} may be root: {} after {limit:?}", !is);
        }
    }

    fn start(&self, uid: u32, arguments: &[&str]) -> Child {
        self.as_user(uid, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Our files.
    fn rules(&self) -> Vec<String> {
        let all = std::fs::read_dir(self.etc().join("sudoers.d")).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("sekisho")).collect()
    }

    /// An account's line.
    fn account(&self, user: &str) -> Option<Vec<String>> {
        let all = std::fs::read(self.etc().join("passwd")).unwrap();
        let all = String::from_utf8_lossy(&all);
        let line = all.lines().find(|line| line.starts_with(&format!("{user}:")))?;
        Some(line.split(':').map(str::to_owned).collect())
    }

    fn uid(&self, user: &str) -> u32 {
        self.account(user).unwrap()[2].parse().unwrap()
    }

    fn account_goes(&self, user: &str) {
        let start = Instant::now();
        while self.account(user).is_some() || !self.rules().is_empty() {
            assert!(start.elapsed() < SOON, "{user} stays");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn ends(mut child: Child, limit: Duration) -> Duration {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < limit, "it still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

#[test]
fn sudo_is_there_for_its_time_for_what_was_asked_for_and_its_end_ends_what_still_runs() {
    let Some(users) = Users::new("fea") else { return };
    assert!(!users.is_root(users.bob));
    let start = Instant::now();
    let commands = json!(["/usr/bin/id", "/usr/bin/sleep"]);
    users.ask("bob", json!({"sudo": {"duration": "PT12S", "commands": commands}}));
    users.root_becomes(users.bob, true, SOON);
    println!("root {:?} after it was asked for", start.elapsed());
    let given = users.becomes("active");
    assert_eq!((&given[0]["user"], &given[0]["runAs"]), (&json!("bob"), &json!(["root"])));
    let other = users.as_user(users.bob, &["sudo", "-n", "/usr/bin/cat", "/etc/shadow"]).output().unwrap();
    assert!(!other.status.success() && other.stdout.is_empty(), "{other:?}");
    let by_sudo = users.start(users.bob, &["sudo", "-n", "/usr/bin/sleep", "600"]);
    let mut own = users.start(users.bob, &["/usr/bin/sleep", "600"]);
    ends(by_sudo, SOON);
    let lived = start.elapsed();
    println!("asked for 12 s, what still ran was ended {lived:?} after it was asked for");
    assert!(lived > Duration::from_millis(11_000) && lived < Duration::from_millis(14_500), "{lived:?}");
    assert!(own.try_wait().unwrap().is_none(), "what bob runs as bob is not concerned");
    own.kill().unwrap();
    assert!(!users.is_root(users.bob) && users.rules().is_empty());
    users.becomes("expired");

    let name = users.ask("bob", json!({"sudo": {"duration": "PT10M"}}));
    users.root_becomes(users.bob, true, SOON);
    let by_sudo = users.start(users.bob, &["sudo", "-n", "/bin/sh", "-c", "sleep 600; true"]);
    users.revoke(&name);
    println!("ended {:?} after it was revoked", ends(by_sudo, Duration::from_secs(4)));
    users.root_becomes(users.bob, false, Duration::from_millis(1));
}

#[test]
fn with_the_server_and_the_agent_dead_sudo_itself_ends_it_and_what_still_runs() {
    let Some(mut users) = Users::new("feb") else { return };
    let start = Instant::now();
    users.ask("bob", json!({"sudo": {"duration": "PT9S"}}));
    users.root_becomes(users.bob, true, SOON);
    users.world.site.kill_agent("db").unwrap();
    users.world.site.kill_server();
    let by_sudo = users.start(users.bob, &["sudo", "-n", "/usr/bin/sleep", "600"]);
    users.root_becomes(users.bob, false, SOON);
    let lived = start.elapsed();
    println!("asked for 9 s, root until {lived:?} after it was asked for");
    assert!(lived < Duration::from_millis(11_000), "{lived:?}");
    assert_eq!(users.rules().len(), 1, "nobody has touched the file");
    ends(by_sudo, SOON);
}

#[test]
fn an_account_comes_with_its_sudo_and_goes_with_its_home_and_everything_that_it_runs() {
    let Some(mut users) = Users::new("fec") else { return };
    // Somebody has a comment of other times.
    let mut passwd = std::fs::read(users.etc().join("passwd")).unwrap();
    passwd.extend_from_slice(b"jose:x:999:999:Jos\xe9:/nonexistent:/usr/sbin/nologin\n");
    std::fs::write(users.etc().join("passwd"), passwd).unwrap();
    let name = users.ask("carol.k", json!({"account": {"duration": "PT10M"}, "sudo": {"duration": "PT10M"}}));
    users.becomes("active");
    let (uid, home) = (users.uid("carol.k"), users.own().join("home/carol.k"));
    assert!(users.is_root(uid) && home.is_dir());
    let own = users.start(uid, &["/usr/bin/sleep", "600"]);
    let by_sudo = users.start(uid, &["sudo", "-n", "/usr/bin/sleep", "600"]);
    users.revoke(&name);
    users.account_goes("carol.k");
    ends(own, Duration::from_secs(1));
    ends(by_sudo, Duration::from_secs(1));
    assert!(!home.exists());

    // A name that is taken is nobody's to give, and says so to whoever asked.
    let before = users.account("bob");
    users.ask("bob", json!({"account": {"duration": "PT10M"}}));
    let refused = users.becomes("refused");
    assert!(refused[0]["problem"].as_str().unwrap().contains("already"), "{refused}");
    users.ask("daemon", json!({"sudo": {"duration": "PT10M"}}));
    let refused = users.becomes("refused");
    assert!(refused[0]["problem"].as_str().unwrap().contains("system"), "{refused}");
    users.ask("ghost", json!({"sudo": {"duration": "PT10M"}}));
    let refused = users.becomes("refused");
    assert!(refused[0]["problem"].as_str().unwrap().contains("no account"), "{refused}");
    assert_eq!((users.account("bob"), users.rules().len()), (before, 0));

    // One that is kept for a while is locked by every way in, and its home stays for root.
    users.policy(
        json!({"account": {"maxRequestAccessDuration": "PT1H", "removeAfter": "P1D", "home": "keep"}}),
    );
    let name = users.ask("dave", json!({"account": {"duration": "PT10M"}}));
    users.becomes("active");
    let own = users.start(users.uid("dave"), &["/usr/bin/sleep", "600"]);
    users.revoke(&name);
    ends(own, SOON);
    assert_eq!(users.account("dave").unwrap()[6], "/usr/sbin/nologin");
    let shadow = std::fs::read_to_string(users.etc().join("shadow")).unwrap();
    let dave = shadow.lines().find(|l| l.starts_with("dave:")).unwrap();
    assert!(dave.starts_with("dave:!*:") && dave.ends_with(":1:"), "{dave}");
    assert!(users.own().join("home/dave").is_dir());

    // A machine that leaves gives nothing any more.
    let name = format!("dave.sekisho-{}", dave_mark(&users));
    users.ask("bob", json!({"account": {"duration": "PT10M"}}));
    users.world.site.kill_agent("db").unwrap();
    let agent = programs().join("sekisho-agent").display().to_string();
    let state = users.world.site.machine("db").unwrap().state.display().to_string();
    let left = users.run(&agent, &["--state-dir", &state, "leave"]);
    assert!(left.status.success(), "{left:?}");
    assert!(users.account("dave").is_none() && users.account("bob").is_some());
    let kept = std::fs::metadata(users.own().join("home").join(name)).unwrap();
    assert_eq!((kept.uid(), kept.permissions().mode() & 0o777), (0, 0o700));
}

fn dave_mark(users: &Users) -> u64 {
    let path = users.world.site.machine("db").unwrap().state.join("elevations.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    kept["kept"]["accounts"]["dave"]["mark"].as_u64().unwrap()
}

#[test]
fn somebody_who_may_only_log_in_has_an_account_of_their_own_and_is_root_there_for_as_long_as_it_lasts() {
    if !has_programs() {
        return;
    }
    let Some(ssh) = Ssh::new("feg") else { return };
    let world = &ssh.bastion.world;
    ssh.bastion.give("db", ADMIN_LOGIN);
    let hour = json!({"maxRequestAccessDuration": "PT1H"});
    write_policy(world, json!({"sudo": hour, "account": hour}));
    ssh.bastion.take_away("db", ADMIN_LOGIN);
    ssh.bastion.give("db", USER_LOGIN);
    let name = ask(world, json!({"account": {"duration": "PT10M"}, "sudo": {"duration": "PT10M"}}));
    let shown = world.api.get(&path(world, "")).unwrap();
    let given = &shown["properties"]["requests"][0]["virtualMachines"][0]["sekisho"]["elevations"][0];
    let own = given["user"].as_str().unwrap();
    let mut terminal = ssh.log_in(own);
    // The rule comes after the account.
    ssh.type_in(
        &mut terminal,
        "until [ \"$(sudo -n id -u)\" = 0 ]; do :; done 2>/dev/null; echo $(whoami)-root\r",
    );
    ssh.until(&mut terminal, &format!("{own}-root\r\n"));
    drop(terminal);
    // What is theirs for a time does not make the account one that is for administrators.
    let mut terminal = ssh.log_in(own);
    revoke(world, &name);
    let (_, lasted) = ssh.end(&mut terminal);
    println!("the session ended {lasted:?} after it was revoked");
    assert!(lasted < Duration::from_secs(5), "{lasted:?}");
}

#[test]
fn what_keeps_sudo_from_reading_its_rules_is_said_and_left_alone() {
    let Some(users) = Users::new("fed") else { return };
    let broken = users.etc().join("sudoers.d/zz-somebodys");
    std::fs::write(&broken, "bob ALL=(root\n").unwrap();
    users.ask("bob", json!({"sudo": {"duration": "PT10M"}}));
    let refused = users.becomes("refused");
    assert!(refused[0]["problem"].as_str().unwrap().contains("does not read its rules"), "{refused}");
    assert_eq!((users.rules().len(), users.is_root(users.bob)), (0, false));
    assert!(broken.exists());
    std::fs::remove_file(&broken).unwrap();
    let sudoers = users.etc().join("sudoers");
    let kept = std::fs::read_to_string(&sudoers).unwrap();
    std::fs::write(&sudoers, kept.replace("@includedir", "# @includedir")).unwrap();
    users.ask("bob", json!({"sudo": {"duration": "PT10M"}}));
    let refused = users.becomes("refused");
    assert!(refused[0]["problem"].as_str().unwrap().contains("does not include it"), "{refused}");
    std::fs::write(&sudoers, kept).unwrap();

    // What somebody writes into our file, or under our name, is undone.
    let name = users.ask("bob", json!({"sudo": {"duration": "PT10M", "commands": ["/usr/bin/id"]}}));
    users.becomes("active");
    let [ours] = &users.rules()[..] else { panic!("{:?}", users.rules()) };
    let file = users.etc().join("sudoers.d").join(ours);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "bob ALL=(ALL) NOPASSWD: ALL\n").unwrap();
    std::fs::write(users.etc().join("sudoers.d/90-sekisho-4000000000"), "bob ALL=(ALL) NOPASSWD: ALL\n")
        .unwrap();
    let start = Instant::now();
    while std::fs::read_to_string(&file).unwrap() != text || users.rules().len() > 1 {
        assert!(start.elapsed() < SOON, "it stays");
        std::thread::sleep(Duration::from_millis(20));
    }

    // More time is written anew, and told.
    let longer = json!({"requestId": name, "duration": "PT30M"});
    users.world.api.post(&path(&users.world, "/extend"), &longer).unwrap();
    let start = Instant::now();
    while std::fs::read_to_string(&file).unwrap() == text {
        assert!(start.elapsed() < SOON, "it ends as before");
        std::thread::sleep(Duration::from_millis(20));
    }
    users.becomes("active");
    assert!(users.is_root(users.bob));
}

#[test]
fn an_agent_that_dies_at_any_step_leaves_nothing_that_the_next_one_does_not_put_right() {
    let Some(mut users) = Users::new("fee") else { return };
    let both = || json!({"account": {"duration": "PT10M"}, "sudo": {"duration": "PT10M"}});
    for (n, point) in ["account-kept", "account-made", "rule-kept", "rule-written"].into_iter().enumerate() {
        users.world.site.kill_agent("db").unwrap();
        users.world.site.start_agent("db", AGENT, &[("SEKISHO_AGENT_DIES_AT", point)]).unwrap();
        let user = format!("user{n}");
        let name = users.ask(&user, both());
        assert_eq!(users.world.site.agent_dies("db", SOON).unwrap(), Some(9), "{point}");
        users.world.site.start_agent("db", AGENT, &[]).unwrap();
        users.becomes("active");
        users.root_becomes(users.uid(&user), true, SOON);
        users.revoke(&name);
        users.account_goes(&user);
    }
    for (n, point) in ["locked", "account-removed"].into_iter().enumerate() {
        users.world.site.kill_agent("db").unwrap();
        users.world.site.start_agent("db", AGENT, &[("SEKISHO_AGENT_DIES_AT", point)]).unwrap();
        let user = format!("other{n}");
        let name = users.ask(&user, both());
        users.becomes("active");
        let own = users.start(users.uid(&user), &["/usr/bin/sleep", "600"]);
        users.revoke(&name);
        assert_eq!(users.world.site.agent_dies("db", SOON).unwrap(), Some(9), "{point}");
        users.world.site.start_agent("db", AGENT, &[]).unwrap();
        users.account_goes(&user);
        ends(own, Duration::from_secs(2));
    }
    let kept = users.world.site.machine("db").unwrap().state.join("elevations.json");
    let start = Instant::now();
    let nothing = json!({"rules": {}, "accounts": {}});
    while serde_json::from_str::<Value>(&std::fs::read_to_string(&kept).unwrap()).unwrap()["kept"] != nothing
    {
        assert!(start.elapsed() < SOON, "something is still remembered");
    }
}

#[test]
fn after_a_reboot_nothing_is_given_until_the_server_says_what_time_it_is() {
    let Some(mut users) = Users::new("fef") else { return };
    users.ask("erin", json!({"account": {"duration": "PT10M"}, "sudo": {"duration": "PT10M"}}));
    users.becomes("active");
    let uid = users.uid("erin");
    users.root_becomes(uid, true, SOON);
    users.world.site.kill_agent("db").unwrap();
    users.world.site.kill_server();
    // Another boot than the one that was written down.
    let path = users.world.site.machine("db").unwrap().state.join("elevations.json");
    let mut kept: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    kept["ledger"]["boot"] = "another".into();
    std::fs::write(&path, kept.to_string()).unwrap();
    users.world.site.start_agent("db", AGENT, &[]).unwrap();
    users.root_becomes(uid, false, SOON);
    let start = Instant::now();
    while users.account("erin").unwrap()[6] != "/usr/sbin/nologin" {
        assert!(start.elapsed() < SOON, "it is not locked");
    }
    assert!(users.own().join("home/erin").is_dir(), "it was removed by a clock that nobody vouches for");
    users.world.site.start_server().unwrap();
    users.root_becomes(uid, true, SOON);
    assert_eq!((users.uid("erin"), users.account("erin").unwrap()[6].as_str()), (uid, "/bin/bash"));
}

#[test]
fn the_rule_ends_by_the_clock_that_the_machine_shows_whatever_that_is() {
    if !clocks::is_there() {
        skipped("libfaketime is not installed");
        return;
    }
    let Some(mut users) = Users::new("feh") else { return };
    users.ask("bob", json!({"sudo": {"duration": "PT10M"}}));
    users.root_becomes(users.bob, true, SOON);
    // For the agent it is yesterday; for sudo, which no clock but the machine's is shown, the rule is over.
    for (by, is_root) in [("-1d", false), ("+0", true)] {
        users.world.site.kill_agent("db").unwrap();
        users.world.site.start_agent("db", AGENT, &clocks::off(by)).unwrap();
        users.root_becomes(users.bob, is_root, SOON);
    }
}
