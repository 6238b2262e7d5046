//! SSH clients as everybody has them, through the gate to a machine that lets nothing in.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::SOON;
use super::bastion::host;
use super::bastion_ssh::{ADMIN_LOGIN, Ssh, USER_LOGIN};

/// A client with a key of its own and what the API has told it.
pub(super) struct Client {
    dir: tempfile::TempDir,
    id: String,
}

impl Client {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path("config")
    }
}

fn new_key(dir: &Path) -> String {
    let key = dir.join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    std::fs::read_to_string(key.with_extension("pub")).unwrap()
}

impl Ssh {
    /// Says that a new key is the tests' own, and sets a client up as the answer says.
    pub(super) fn client(&self) -> Client {
        let dir = tempfile::tempdir().unwrap();
        let line = new_key(dir.path());
        let told = self.bastion.world.api.post("/ssh/keys", &json!({"publicKey": line})).unwrap();
        let text = |field: &str| told[field].as_str().unwrap().to_owned();
        std::fs::write(dir.path().join("known_hosts"), text("knownHosts")).unwrap();
        let client = Client { id: text("id"), dir };
        let own = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nBatchMode yes\n\
             IdentityFile {}\nIdentitiesOnly yes\nConnectTimeout 20\nLogLevel INFO\n",
            client.path("known_hosts").display(),
            client.path("key").display()
        );
        // ProxyJump starts another ssh, which knows of this file by its argument only.
        let jump = text("config").replace(
            "ProxyJump gate.sekisho",
            &format!("ProxyCommand ssh -F {} -W %h:%p gate.sekisho", client.config().display()),
        );
        std::fs::write(client.config(), format!("{own}{jump}")).unwrap();
        // Until the machine's SSH server trusts the installation.
        let began = Instant::now();
        loop {
            let tried = self.run(&client, &["root@db.sekisho", "true"], "");
            if tried.status.success() {
                return client;
            }
            let why = String::from_utf8_lossy(&tried.stderr).into_owned();
            assert!(began.elapsed() < Duration::from_secs(60), "{why}");
        }
    }

    pub(super) fn start(&self, client: &Client, arguments: &[&str]) -> Child {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(client.config()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(super) fn run(&self, client: &Client, arguments: &[&str], typed: &str) -> Output {
        let mut child = self.start(client, arguments);
        // It may not want to hear it.
        let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// The recordings of `db` that are whole, the newest first, once there are so many.
    fn recorded(&self, at_least: usize) -> Vec<Value> {
        let list = format!(
            "{}/providers/Sekisho.Bastion/recordings?api-version=2026-09-01",
            self.bastion.machine("db")
        );
        let began = Instant::now();
        loop {
            let all = self.bastion.world.api.get(&list).unwrap()["value"].as_array().unwrap().clone();
            let closed = all.iter().filter(|r| r["properties"]["state"] == "closed").count();
            if closed >= at_least && closed == all.len() {
                return all;
            }
            assert!(began.elapsed() < SOON, "{all:#?}");
        }
    }

    fn frames(&self, recording: &Value) -> Vec<Value> {
        let play = format!(
            "{}/providers/Sekisho.Bastion/playRecording?api-version=2026-09-01",
            self.bastion.machine("db")
        );
        let played = self.bastion.world.api.post(&play, &json!({"id": recording["name"]})).unwrap();
        played["frames"].as_array().unwrap().clone()
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(lane: &str, frames: &[Value]) -> String {
    frames.iter().filter(|f| f[1] == lane).map(|f| f[2].as_str().unwrap()).collect()
}

#[test]
fn stock_openssh_runs_commands_and_shells_with_nothing_of_ours_and_all_of_it_is_recorded() {
    let Some(ssh) = Ssh::new("fbg") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let client = ssh.client();
    let body = json!({"location": "home", "sku": {"name": "Premium"},
        "properties": {"enableTunneling": true, "enableSessionRecording": true}});
    world.api.put(&host(world, ""), &body).unwrap();

    // A command: both of its outputs, its input and its exit status.
    let done =
        ssh.run(&client, &["root@db.sekisho", "cat; echo 関所-$((40+2)); echo oops >&2; exit 3"], "typed\n");
    assert_eq!(
        (done.status.code(), text(&done.stdout)),
        (Some(3), "typed\n関所-42\n".into()),
        "{}",
        text(&done.stderr)
    );
    assert_eq!(text(&done.stderr), "oops\n");
    let frames = ssh.frames(&ssh.recorded(1)[0]);
    assert!(said("c", &frames).starts_with("cat; echo"), "{frames:?}");
    let output = said("o", &frames);
    assert!(output.contains("typed\r\n関所-42\r\n") && output.contains("oops\r\n"), "{output}");
    assert_eq!(said("x", &frames), "3");

    // A shell in a terminal, under the machine's other name.
    let name = format!("root@db.{}.sekisho", world.site.group().rsplit('/').next().unwrap().to_lowercase());
    let done = ssh.run(&client, &["-tt", &name], "echo needle-$((6*7)); tty; exit 4\n");
    assert_eq!(done.status.code(), Some(4), "{}", text(&done.stderr));
    let shown = text(&done.stdout);
    assert!(shown.contains("needle-42\r\n") && shown.contains("/dev/pts/"), "{shown}");
    let frames = ssh.frames(&ssh.recorded(2)[0]);
    assert!(said("o", &frames).contains("needle-42\r\n"), "{frames:?}");
    assert!(frames.iter().any(|f| f[1] == "r"), "{frames:?}");

    // A signal is the program's end, and is told as such.
    let done = ssh.run(&client, &["root@db.sekisho", "kill -TERM $$"], "");
    assert_eq!(done.status.code(), Some(255));

    // Whoever does not go on is told what to do.
    let done = ssh.run(&client, &["gate.sekisho"], "");
    assert_eq!(done.status.code(), Some(255));
    assert!(text(&done.stderr).contains("ssh ACCOUNT@MACHINE.sekisho"), "{}", text(&done.stderr));
    assert!(!world.passes("web", "db", 22), "the port is open");
}

#[test]
fn files_go_both_ways_and_each_is_in_the_recording() {
    let Some(ssh) = Ssh::new("fbf") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let client = ssh.client();
    let body = json!({"location": "home", "sku": {"name": "Premium"},
        "properties": {"enableTunneling": true, "enableSessionRecording": true}});
    world.api.put(&host(world, ""), &body).unwrap();
    let mut bytes = vec![0; 5_000_000];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    let (here, back) = (client.path("関 所.bin"), client.path("back"));
    std::fs::write(&here, &bytes).unwrap();
    let copy = |from: &str, to: &str, more: &[&str]| {
        let mut command = Command::new("scp");
        let done = command.arg("-F").arg(client.config()).args(more).args([from, to]).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    let there = "root@db.sekisho:sent.bin";
    for more in [&[][..], &["-O"]] {
        copy(here.to_str().unwrap(), there, more);
        copy(there, back.to_str().unwrap(), more);
        assert!(std::fs::read(&back).unwrap() == bytes, "{more:?}");
        std::fs::remove_file(&back).unwrap();
    }
    let all = ssh.recorded(4);
    let events = |recording: &Value| {
        let frames = ssh.frames(recording);
        let files = frames.iter().filter(|f| f[1] == "f");
        let files = files.map(|f| serde_json::from_str::<Value>(f[2].as_str().unwrap()).unwrap());
        (said("c", &frames), files.collect::<Vec<_>>())
    };
    // The newest first: the two of the old protocol, which is a command like others, then those of SFTP.
    assert!(events(&all[0]).0.starts_with("scp "), "{:?}", events(&all[0]));
    let (asked, files) = events(&all[2]);
    assert_eq!(asked, "subsystem sftp");
    let play = format!(
        "{}/providers/Sekisho.Bastion/playRecording?api-version=2026-09-01",
        ssh.bastion.machine("db")
    );
    let done = world.api.post(&play, &json!({"id": all[2]["name"], "format": "events"})).unwrap();
    let lanes: Vec<_> = done["frames"].as_array().unwrap().iter().map(|f| f[1].as_str().unwrap()).collect();
    assert_eq!(lanes, ["c", "f"]);
    assert!(files.contains(&json!({"op": "download", "path": "sent.bin", "bytes": 5_000_000})), "{files:?}");
    let (_, files) = events(&all[3]);
    assert!(files.contains(&json!({"op": "upload", "path": "sent.bin", "bytes": 5_000_000})), "{files:?}");
}

#[test]
fn the_gate_lets_nobody_in_whom_it_does_not_know_or_to_what_is_not_theirs_and_ends_with_what_let_them_in() {
    let Some(ssh) = Ssh::new("fbn") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let client = ssh.client();

    // A port of the machine's loopback, but none of elsewhere.
    let listener = world.site.machine("db").unwrap().host.listen_tcp(([127, 0, 0, 1], 7777).into()).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 64];
            let read = stream.read(&mut buffer).unwrap();
            stream.write_all(&buffer[..read]).unwrap();
        }
    });
    let done = ssh.run(&client, &["-W", "localhost:7777", "root@db.sekisho"], "echoed");
    assert_eq!(text(&done.stdout), "echoed", "{}", text(&done.stderr));
    let done = ssh.run(&client, &["-W", "192.0.2.1:22", "root@db.sekisho"], "");
    assert!(text(&done.stderr).contains("only ports of the machine itself"), "{}", text(&done.stderr));

    // Names that are none, and machines that are somebody else's.
    let done = ssh.run(&client, &["root@nowhere.sekisho", "true"], "");
    assert!(text(&done.stderr).contains("you may log in to no machine"), "{}", text(&done.stderr));
    let done = ssh.run(&client, &["root@web.sekisho", "true"], "");
    assert!(text(&done.stderr).contains("may not log in to"), "{}", text(&done.stderr));
    let done = ssh.run(&client, &["nobody-here@db.sekisho", "true"], "");
    assert!(text(&done.stderr).contains("no account 'nobody-here'"), "{}", text(&done.stderr));

    // A key that nobody has said is theirs, and one that is certified by somebody.
    let own = ["key", "key.pub"].map(|name| (name, std::fs::read(client.path(name)).unwrap()));
    std::fs::remove_file(client.path("key")).unwrap();
    new_key(client.dir.path());
    let certified = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(client.path("key"))
        .args(["-I", "x", "-n", "root"])
        .arg(client.path("key.pub"))
        .status();
    assert!(certified.unwrap().success());
    let done = ssh.run(&client, &["root@db.sekisho", "true"], "");
    assert!(text(&done.stderr).contains("Permission denied"), "{}", text(&done.stderr));
    std::fs::remove_file(client.path("key-cert.pub")).unwrap();
    for (name, bytes) in own {
        std::fs::write(client.path(name), bytes).unwrap();
    }

    // Without the role it is over at once, and the person is told.
    let mut child = ssh.start(&client, &["root@db.sekisho", "echo there; sleep 1000"]);
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(ssh.bastion.sessions().len(), 1);
    ssh.bastion.take_away("db", ADMIN_LOGIN);
    let gone = Instant::now();
    let done = child.wait_with_output().unwrap();
    assert!(gone.elapsed() < Duration::from_secs(2), "the session outlives the role: {:?}", gone.elapsed());
    assert_eq!(done.status.code(), Some(255));
    assert!(text(&done.stderr).contains("NotAllowedAnyMore"), "{}", text(&done.stderr));
    ssh.bastion.give("db", USER_LOGIN);
    let done = ssh.run(&client, &["root@db.sekisho", "true"], "");
    assert!(text(&done.stderr).contains("Virtual Machine Administrator Login"), "{}", text(&done.stderr));
    ssh.bastion.give("db", ADMIN_LOGIN);

    // And with the key taken back.
    let mut child = ssh.start(&client, &["root@db.sekisho", "echo there; sleep 1000"]);
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    world.api.delete(&format!("/ssh/keys/{}", client.id)).unwrap();
    let gone = Instant::now();
    let done = child.wait_with_output().unwrap();
    assert!(gone.elapsed() < Duration::from_secs(2), "the session outlives the key: {:?}", gone.elapsed());
    assert_eq!(done.status.code(), Some(255));
    let done = ssh.run(&client, &["root@db.sekisho", "true"], "");
    assert!(text(&done.stderr).contains("Permission denied"), "{}", text(&done.stderr));
    while !ssh.bastion.sessions().is_empty() {
        assert!(gone.elapsed() < SOON, "a session is left");
    }

    // A host that does not serve native clients ends them.
    let body =
        json!({"location": "home", "sku": {"name": "Standard"}, "properties": {"enableTunneling": false}});
    world.api.put(&host(world, ""), &body).unwrap();
    let again = ssh.bastion.world.api.post(
        "/ssh/keys",
        &json!({"publicKey":
        std::fs::read_to_string(client.path("key.pub")).unwrap()}),
    );
    assert!(again.is_ok());
}

#[test]
fn clients_of_others_come_in_as_well() {
    let Some(ssh) = Ssh::new("fbo") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let client = ssh.client();
    let (authority, _) = ssh.bastion.address.split_once('/').unwrap();
    let (name, port) = authority.rsplit_once(':').unwrap();
    // Dropbear's client, which knows neither Galois counter mode nor host certificates.
    let key = client.path("key.dropbear");
    let converted = Command::new("dropbearconvert")
        .args(["openssh", "dropbear"])
        .arg(client.path("key"))
        .arg(&key)
        .output();
    assert!(converted.unwrap().status.success());
    let key = key.display();
    let jump = format!("dbclient -y -y -i {key} -p {port} -B db.sekisho:22 me@{name}");
    let done = Command::new("dbclient")
        .args([
            "-y",
            "-y",
            "-i",
            &key.to_string(),
            "-J",
            &jump,
            "root@db.sekisho",
            "echo 関所-$((6*7)); exit 5",
        ])
        .env("HOME", client.dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(
        (text(&done.stdout), done.status.code()),
        ("関所-42\n".into(), Some(5)),
        "{}",
        text(&done.stderr)
    );
    // rsync over OpenSSH.
    let folder = client.path("folder");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    std::fs::write(folder.join("deep/file"), "synced").unwrap();
    let through = format!("ssh -F {}", client.config().display());
    for _ in 0..2 {
        let done = Command::new("rsync")
            .args(["-a", "--delete", "-e", &through])
            .arg(format!("{}/", folder.display()))
            .arg("root@db.sekisho:synced/")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    let done = ssh.run(&client, &["root@db.sekisho", "cat synced/deep/file"], "");
    assert_eq!(text(&done.stdout), "synced");
}

#[test]
fn a_thousand_clients_that_say_nothing_keep_nobody_out() {
    let Some(ssh) = Ssh::new("fbh") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let client = ssh.client();
    let (authority, _) = ssh.bastion.address.split_once('/').unwrap();
    let silent: Vec<_> = (0..1000)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(authority).unwrap();
            let _ = stream.write_all(b"SSH-2.0-silent\r\n");
            stream
        })
        .collect();
    // All come from one address, as this one does, which gets in as soon as some of them are given up.
    assert!(ssh.bastion.sessions().is_empty(), "the API answers");
    let began = Instant::now();
    while !ssh.run(&client, &["root@db.sekisho", "true"], "").status.success() {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody gets in any more");
    }
    drop(silent);
}
