//! What an operator works with beside the portal: the doctor, figures, logs, a certificate of another authority, and
//! the installer that machines are given.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use sekisho_link::pki::{Authority, Identity};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::installation::Installation;
use crate::{SOON, skipped, unable};

/// An authority that is not the installation's, such as the company's.
fn other_authority(dir: &Path) -> Authority {
    let made = Authority::generate("Another CA", OffsetDateTime::now_utc()).unwrap();
    std::fs::write(dir.join("other-ca.pem"), &made.certificate).unwrap();
    Authority::load(&made).unwrap()
}

fn put(dir: &Path, identity: &Identity) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(dir.join("chain.pem"), &identity.certificate).unwrap();
    std::fs::write(dir.join("chain.key"), identity.key.as_bytes()).unwrap();
    std::fs::set_permissions(dir.join("chain.key"), std::fs::Permissions::from_mode(0o640)).unwrap();
}

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["--silent", "--show-error", "--fail"]).args(arguments).output().unwrap()
}

fn findings(here: &Installation) -> (bool, Vec<Value>) {
    let output = here.run(&["doctor", "--json"]);
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap())
}

fn found(all: &[Value], area: &str, state: &str) -> Vec<String> {
    let of = |f: &&Value| f["area"] == area && f["state"] == state;
    all.iter().filter(of).map(|f| f["seen"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_certificate_of_another_authority_is_shown_to_browsers_exchanged_on_reload_and_agents_join_all_the_same()
{
    if unable().is_some() {
        return;
    }
    let here = Installation::new();
    let dir = here.dir.path().to_owned();
    let authority = other_authority(&dir);
    let now = OffsetDateTime::now_utc();
    let names = ["localhost".to_owned()];
    put(&dir, &authority.server(&names, now).unwrap());
    let path = |name: &str| dir.join(name).display().to_string();
    let mut here = here
        .with("SEKISHO_CERTIFICATE_FILE", path("chain.pem"))
        .with("SEKISHO_CERTIFICATE_KEY_FILE", path("chain.key"));
    here.start();
    let url = format!("https://localhost:{}/auth/state", here.port);
    let with = |ca: &str| curl(&["--cacert", ca, &url]).status.success();
    let own = here.data().join("keys/ca.pem").display().to_string();
    assert!(with(&path("other-ca.pem")) && !with(&own));
    // The agent pins the installation's own authority, in its join string.
    let join = here.dir.path().join("join");
    std::fs::write(&join, here.sekisho(&["agent-token", "create"])).unwrap();
    std::fs::set_permissions(&join, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let joined = Command::new(crate::programs().join("sekisho-agent"))
        .args(["--state-dir", &path("agent"), "join", "--file", &path("join")])
        .output()
        .unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    // A key that does not fit changes nothing and is said; the right one is shown without a restart.
    let pin = || here.sekisho(&["agent-token", "create", "--install-command"]);
    let pinned = |line: &str| line.split("sha256//").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let before = pinned(&pin());
    let second = authority.server(&names, now).unwrap();
    std::fs::write(dir.join("chain.pem"), &second.certificate).unwrap();
    here.reload();
    let began = Instant::now();
    while !here.words().contains("the certificate stays as it is") {
        assert!(began.elapsed() < SOON, "{}", here.words());
    }
    assert!(with(&path("other-ca.pem")));
    assert_eq!(pinned(&pin()), before);
    let (well, all) = findings(&here);
    assert!(!well && found(&all, "certificates", "bad")[0].contains("cannot be shown"), "{all:?}");
    put(&dir, &second);
    here.reload();
    let began = Instant::now();
    while pinned(&pin()) == before {
        assert!(began.elapsed() < SOON, "{}", here.words());
    }
    assert!(with(&path("other-ca.pem")));
}

#[test]
fn the_doctor_finds_nothing_bad_in_a_new_installation_and_names_what_is_broken_on_this_database() {
    let mut here = Installation::new();
    let (well, all) = findings(&here);
    assert!(!well || found(&all, "database", "bad").is_empty());
    here.start();
    let (well, all) = findings(&here);
    assert!(well, "{all:#?}");
    for area in ["server", "certificates", "database", "kernel", "headroom"] {
        assert!(!found(&all, area, "fine").is_empty(), "{area}: {all:#?}");
    }
    // How much room this machine has left is not the installation's doing.
    let room = ["fine", "warning"].map(|state| found(&all, "disk", state).len());
    assert!(room.iter().sum::<usize>() > 0, "{all:#?}");
    assert!(found(&all, "settings", "warning").iter().any(|seen| seen.contains("localhost")));

    let keys = here.data().join("keys");
    let open =
        |mode| std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    open(0o755);
    let (well, all) = findings(&here);
    assert!(!well && found(&all, "settings", "bad")[0].contains("everybody"), "{all:#?}");
    open(0o700);

    let here = here.with("SEKISHO_LISTN", "0.0.0.0:1".to_owned());
    let (well, all) = findings(&here);
    let warned = found(&all, "settings", "warning");
    assert!(well && warned.iter().any(|seen| seen.contains("SEKISHO_LISTN")), "{all:#?}");
}

#[test]
fn the_doctor_says_when_a_certificate_has_ended_or_is_for_another_name() {
    let here = Installation::new();
    let dir = here.dir.path().to_owned();
    let authority = other_authority(&dir);
    let path = |name: &str| dir.join(name).display().to_string();
    let here = here
        .with("SEKISHO_CERTIFICATE_FILE", path("chain.pem"))
        .with("SEKISHO_CERTIFICATE_KEY_FILE", path("chain.key"));
    let mut here = here;
    let long_ago = OffsetDateTime::now_utc() - Duration::days(398);
    put(&dir, &authority.server(&["elsewhere.example".to_owned()], long_ago).unwrap());
    here.start();
    let (well, all) = findings(&here);
    let bad = found(&all, "certificates", "bad").join("; ");
    assert!(!well && bad.contains("ended on") && bad.contains("not for 'localhost'"), "{all:#?}");
}

#[test]
fn figures_are_for_whoever_has_the_right_and_at_their_own_address_for_whoever_reaches_it() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut here = Installation::new().with("SEKISHO_METRICS_LISTEN", format!("127.0.0.1:{port}"));
    here.start();
    let _ = here.owner();
    let read = || {
        let output = curl(&[&format!("http://127.0.0.1:{port}/metrics")]);
        String::from_utf8(output.stdout).unwrap()
    };
    let value = |text: &str, name: &str| -> f64 {
        let line =
            text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.trim().parse().unwrap()
    };
    let before = read();
    let wanted = "sekisho_http_requests_total{surface=\"signin\",method=\"GET\",code=\"200\"}";
    let ca = here.data().join("keys/ca.pem").display().to_string();
    let state = format!("https://localhost:{}/auth/state", here.port);
    assert!(curl(&["--cacert", &ca, &state]).status.success());
    let after = read();
    let count = |text: &str| -> f64 {
        text.lines().find_map(|l| l.strip_prefix(wanted)).map_or(0.0, |n| n.trim().parse().unwrap())
    };
    assert!((count(&after) - count(&before) - 1.0).abs() < f64::EPSILON, "{after}");
    assert!(value(&after, "sekisho_audit_entries_total") >= 2.0);
    assert!(value(&after, "sekisho_database_bytes") > 4096.0);
    assert!(value(&after, "process_resident_memory_bytes") > 1e6);
    assert!(after.ends_with("# EOF\n"));
    // Where everybody connects, nobody without a right reads them.
    let outside = curl(&["--cacert", &ca, &format!("https://localhost:{}/metrics", here.port)]);
    assert!(String::from_utf8_lossy(&outside.stderr).contains("401"));
}

#[test]
fn every_line_of_a_log_at_its_most_talkative_is_json_and_none_holds_a_secret() {
    let here = Installation::new();
    let mut here = here.with("SEKISHO_LOG", "trace".to_owned()).with("SEKISHO_LOG_JSON", "true".to_owned());
    here.start();
    let owner = here.owner();
    owner.write("one").unwrap();
    let link = here.sekisho(&["setup-link"]);
    let join = here.sekisho(&["agent-token", "create"]);
    let path = |name: &str| here.dir.path().join(name).display().to_string();
    std::fs::write(here.dir.path().join("join"), &join).unwrap();
    std::fs::set_permissions(path("join"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let joined = Command::new(crate::programs().join("sekisho-agent"))
        .args(["--state-dir", &path("agent"), "join", "--file", &path("join")])
        .env("SEKISHO_LOG", "trace")
        .output()
        .unwrap();
    assert!(joined.status.success());
    let token = link.trim().rsplit(['/', '#', '=']).next().unwrap().to_owned();
    let secret = join.trim().rsplit('.').next().unwrap().to_owned();
    let ca = here.data().join("keys/ca.pem").display().to_string();
    let inspect = format!("https://localhost:{}/auth/setup/inspect", here.port);
    let body = format!("{{\"token\": \"{token}\"}}");
    // A secret in an argument of this test's own curl, which nobody else sees.
    let inspected = curl(&["--cacert", &ca, "--json", &body, &inspect]);
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    let log = here.words();
    assert!(log.contains("/auth/setup/inspect") && log.contains("/link/join"), "the log shows requests");
    let agents = String::from_utf8_lossy(&joined.stderr).into_owned();
    for secret in [&token, &secret, &owner.password, &owner.token()] {
        assert!(secret.len() > 20);
        for (whose, text) in [("server", &log), ("agent", &agents)] {
            assert!(!text.contains(secret.as_str()), "the {whose}'s log holds a secret");
        }
    }
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string());
    }
}

#[test]
fn the_installer_comes_from_the_server_that_was_pinned_with_packages_that_it_names_by_their_digests() {
    let here = Installation::new();
    let packages = here.dir.path().join("agents");
    std::fs::create_dir(&packages).unwrap();
    let name = format!("sekisho-agent_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    std::fs::write(packages.join(&name), b"the package of this version").unwrap();
    std::fs::write(packages.join("sekisho-agent_0.0.1_amd64.deb"), b"an old one").unwrap();
    std::fs::write(packages.join("sekisho-agent_9_amd64'.deb"), b"not a package").unwrap();
    let mut here = here.with("SEKISHO_AGENTS_DIR", packages.display().to_string());
    here.start();
    let line = here.sekisho(&["agent-token", "create", "--install-command"]);
    // The join string goes to standard input: it is behind the here-string, and nowhere else.
    let (command, join) = line.trim().split_once(" <<< ").unwrap();
    assert!(join.starts_with("'skj1.") && !command.contains("skj1."));
    let fetch = command.strip_prefix("sudo sh -c \"$(").unwrap().strip_suffix(")\"").unwrap();
    let run = |command: &str| Command::new("sh").arg("-c").arg(command).output().unwrap();
    let script = String::from_utf8(run(fetch).stdout).unwrap();
    assert!(script.contains(&name) && !script.contains("0.0.1") && !script.contains("_9_"), "{script}");
    let digest = run(&format!("sha256sum {}", packages.join(&name).display())).stdout;
    let digest = String::from_utf8(digest).unwrap();
    assert!(script.contains(digest.split(' ').next().unwrap()));
    // Another key is refused by curl itself.
    let other = fetch.replacen("sha256//", "sha256//A", 1);
    assert!(run(&other).stdout.is_empty());
    let file = here.dir.path().join("install.sh");
    std::fs::write(&file, &script).unwrap();
    assert!(run(&format!("sh -n {}", file.display())).status.success());
    let fetched = run(&fetch.replace("/link/install", &format!("/link/agent/{name}")));
    assert_eq!(fetched.stdout, b"the package of this version");
    for outside in ["..%2F..%2Fkeys%2Fca.key", "sekisho-agent_9_amd64'.deb", "sekisho.db"] {
        let fetched = run(&fetch.replace("/link/install", &format!("/link/agent/{outside}")));
        assert!(!fetched.status.success() && fetched.stdout.is_empty());
    }
    if run("command -v shellcheck").status.success() {
        let checked = run(&format!("shellcheck {}", file.display()));
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    } else {
        skipped("shellcheck is not installed");
    }
}
