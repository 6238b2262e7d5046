//! SSH clients as everybody has them, through the gate to a machine that lets nothing in.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::SOON;
use super::bastion::host;
use super::bastion_files::{noise, sha256};
use super::bastion_ssh::{ADMIN_LOGIN, Ssh, USER_LOGIN};

/// A client with a key of its own and what the API has told it.
pub(super) struct Client {
    pub(super) dir: tempfile::TempDir,
    id: String,
}

impl Client {
    pub(super) fn path(&self, name: &str) -> PathBuf {
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
    pub(super) fn recorded(&self, at_least: usize) -> Vec<Value> {
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

    /// How many bytes the file of a recording has, and a piece of it.
    pub(super) fn piece(&self, session: &str, offset: u64) -> Result<(u64, Vec<u8>), String> {
        let path = format!(
            "{}/providers/Sekisho.Bastion/downloadRecording?api-version=2026-11-01",
            self.bastion.machine("db")
        );
        let answer = self.bastion.world.api.post(&path, &json!({"id": session, "offset": offset}));
        let answer = answer.map_err(|refused| refused.to_string())?;
        let content = STANDARD.decode(answer["content"].as_str().unwrap()).unwrap();
        Ok((answer["size"].as_u64().unwrap(), content))
    }

    pub(super) fn frames(&self, recording: &Value) -> Vec<Value> {
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

pub(super) fn said(lane: &str, frames: &[Value]) -> String {
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

/// A host that records and serves clients of everybody's own.
pub(super) fn recording_host(more: &Value) -> Value {
    let mut properties = json!({"enableTunneling": true, "enableSessionRecording": true});
    properties.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"location": "home", "sku": {"name": "Premium"}, "properties": properties})
}

impl Ssh {
    /// What is recorded of files in a session, and what it was told to run.
    pub(super) fn files(&self, recording: &Value) -> (String, Vec<Value>) {
        let frames = self.frames(recording);
        let files = frames.iter().filter(|f| f[1] == "f");
        let files = files.map(|f| serde_json::from_str(f[2].as_str().unwrap()).unwrap());
        (said("c", &frames), files.collect())
    }

    /// What the log tells of files in a session: the last word of each operation, its status, and particulars.
    fn told(&self, recording: &Value) -> Vec<(String, String, Value)> {
        let all = self.log_of(recording["name"].as_str().unwrap()).into_iter();
        let word = |operation: &str| operation.rsplit('/').nth(1).unwrap_or_default().to_owned();
        all.map(|(operation, status, about)| (word(&operation), status, about)).collect()
    }
}

#[test]
fn files_go_both_ways_and_each_is_in_the_recording_and_in_the_log_with_its_hash() {
    let Some(ssh) = Ssh::new("fbf") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let client = ssh.client();
    world.api.put(&host(world, ""), &recording_host(&json!({"enableFileCopy": true}))).unwrap();
    let bytes = noise(5_000_000);
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
    // The newest first: the two of the old protocol, whose client says what the file is called here, then those of SFTP.
    let all = ssh.recorded(4);
    let hash = sha256(&bytes);
    for (recording, command, op, path) in [
        (&all[0], "scp -f sent.bin", "download", "sent.bin"),
        (&all[1], "scp -t sent.bin", "upload", "関 所.bin"),
        (&all[2], "subsystem sftp", "download", "sent.bin"),
        (&all[3], "subsystem sftp", "upload", "sent.bin"),
    ] {
        let (asked, files) = ssh.files(recording);
        assert_eq!(asked, command);
        let done = json!({"op": op, "path": path, "bytes": 5_000_000, "sha256": hash});
        assert_eq!(files, [done]);
        let told = ssh.told(recording);
        let [(begun, started, _), (ended, succeeded, about)] = told.as_slice() else { panic!("{told:#?}") };
        assert_eq!(
            (begun.as_str(), started.as_str(), ended.as_str(), succeeded.as_str()),
            (op, "Started", op, "Succeeded")
        );
        let about = ["path", "bytes", "sha256", "command"].map(|field| about[field].as_str().unwrap());
        assert_eq!(about, [path, "5000000", &hash, command]);
    }
    let play = format!(
        "{}/providers/Sekisho.Bastion/playRecording?api-version=2026-09-01",
        ssh.bastion.machine("db")
    );
    let done = world.api.post(&play, &json!({"id": all[2]["name"], "format": "events"})).unwrap();
    let lanes: Vec<_> = done["frames"].as_array().unwrap().iter().map(|f| f[1].as_str().unwrap()).collect();
    assert_eq!(lanes, ["c", "f"]);

    // rsync, whose files the machine's own tells: made, exchanged and removed.
    let folder = client.path("folder");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    std::fs::write(folder.join("deep/a 関"), "synced").unwrap();
    std::fs::write(folder.join("old"), "old").unwrap();
    let through = format!("ssh -F {}", client.config().display());
    let sync = |from: &str, to: &str| {
        Command::new("rsync").args(["-a", "--delete", "-e", &through, from, to]).output().unwrap()
    };
    let (own, there) = (format!("{}/", folder.display()), "root@db.sekisho:synced/");
    for _ in 0..2 {
        let done = sync(&own, there);
        assert!(done.status.success() && done.stderr.is_empty(), "{}", text(&done.stderr));
        let _ = std::fs::remove_file(folder.join("old"));
    }
    let done = sync(there, &format!("{}/", client.path("again").display()));
    assert!(done.status.success() && done.stderr.is_empty(), "{}", text(&done.stderr));
    assert_eq!(std::fs::read(client.path("again/deep/a 関")).unwrap(), b"synced");
    // What it complains of comes through, and how it ends.
    let done = sync("root@db.sekisho:nowhere/", &own);
    assert_eq!(done.status.code(), Some(23));
    let complaint = text(&done.stderr);
    assert!(complaint.contains("nowhere") && !complaint.contains("[sender] building"), "{complaint}");
    assert!(!complaint.lines().any(|line| line.starts_with("20")), "{complaint}");
    let all = ssh.recorded(8);
    let (asked, files) = ssh.files(&all[3]);
    assert!(asked.starts_with("rsync --server -") && !asked.contains("log-file"), "{asked}");
    assert!(files.contains(&json!({"op": "upload", "path": "deep/a 関", "bytes": 6})), "{files:#?}");
    assert!(files.contains(&json!({"op": "mkdir", "path": "deep/"})), "{files:#?}");
    assert!(ssh.files(&all[2]).1.contains(&json!({"op": "remove", "path": "old"})));
    assert!(ssh.files(&all[1]).1.contains(&json!({"op": "download", "path": "deep/a 関", "bytes": 6})));
    let told = ssh.told(&all[1]);
    assert_eq!(
        (told[0].0.as_str(), told[0].1.as_str(), &told[0].2["path"]),
        ("download", "Started", &json!("synced/"))
    );
    assert!(
        told.iter().any(|(op, status, about)| op == "download"
            && status == "Succeeded"
            && about["path"] == "deep/a 関"),
        "{told:#?}"
    );
    let told = ssh.told(&all[0]);
    assert!(
        told.iter().any(|(_, status, about)| status == "Failed" && about["path"] == "nowhere/"),
        "{told:#?}"
    );
}

#[test]
fn what_the_host_says_of_files_holds_for_every_client_and_what_cannot_be_read_ends() {
    let Some(ssh) = Ssh::new("fbp") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let client = ssh.client();
    let allow = |limits: &Value| {
        let more = json!({"enableFileCopy": limits["enableFileCopy"] != false, "sekisho": limits});
        world.api.put(&host(world, ""), &recording_host(&more)).unwrap();
    };
    let home = world.site.machine("db").unwrap().host.own_files().unwrap().join("home/root");
    let (small, large) = (client.path("small"), client.path("large"));
    std::fs::write(&small, noise(500)).unwrap();
    std::fs::write(&large, noise(200_000)).unwrap();
    std::fs::write(home.join("there"), noise(500)).unwrap();
    std::fs::write(home.join("large-there"), noise(200_000)).unwrap();
    let through = format!("ssh -F {}", client.config().display());
    let back = client.path("back");
    let run = |how: &str, from: &str, to: &str| {
        let mut command = Command::new(how.split(' ').next().unwrap());
        match how {
            "rsync" => command.args(["-e", &through]),
            _ => command.arg("-F").arg(client.config()).args(how.split(' ').skip(1)),
        };
        let done = command.args([from, to]).output().unwrap();
        (done.status.success(), text(&done.stderr))
    };
    let up = |how: &str, from: &Path| run(how, from.to_str().unwrap(), "root@db.sekisho:got");
    let down = |how: &str, from: &str| run(how, &format!("root@db.sekisho:{from}"), back.to_str().unwrap());
    let ways = ["scp", "scp -O", "rsync"];

    for (limits, up_works, down_works, text) in [
        (json!({"enableFileCopy": false}), false, false, "enableFileCopy"),
        (json!({"disableUpload": true}), false, true, "disableUpload"),
        (json!({"disableDownload": true}), true, false, "disableDownload"),
    ] {
        allow(&limits);
        for how in ways {
            let told = |why: &str| why.contains(text) || (how == "scp" && why.contains("Permission denied"));
            let (done, why) = up(how, &small);
            assert!(done == up_works && (done || told(&why)), "{limits} {how}: {why}");
            let (done, why) = down(how, "there");
            assert!(done == down_works && (done || told(&why)), "{limits} {how}: {why}");
            assert_eq!((home.join("got").exists(), back.exists()), (up_works, down_works), "{limits} {how}");
            let _ = (std::fs::remove_file(home.join("got")), std::fs::remove_file(&back));
        }
    }
    // The largest file.
    allow(&json!({"maximumFileBytes": 1000}));
    for how in ways {
        assert!(up(how, &small).0, "{how}");
        assert_eq!(std::fs::metadata(home.join("got")).unwrap().len(), 500);
        // OpenSSH has words of its own for what an SFTP server says, and rsync leaves the file out.
        let text = if how == "scp" { "Failure" } else { "maximumFileBytes" };
        let (_, why) = up(how, &large);
        assert!(how == "rsync" || why.contains(text), "{how}: {why}");
        assert!(std::fs::metadata(home.join("got")).unwrap().len() <= 1000, "{how}");
        let _ = std::fs::remove_file(home.join("got"));
        let (done, why) = down(how, "large-there");
        assert!(!done && why.contains(text), "{how}: {why}");
        assert!(std::fs::metadata(&back).map_or(0, |there| there.len()) <= 1000, "{how}");
        let _ = std::fs::remove_file(&back);
    }
    // What a shell could read otherwise is refused where not everything may go.
    let done = ssh.run(&client, &["root@db.sekisho", "rsync --server --sender -re . 'x'"], "");
    assert!(text(&done.stderr).contains("maximumFileBytes"), "{}", text(&done.stderr));

    // What only begins like scp.
    allow(&json!({}));
    let done = ssh.run(&client, &["root@db.sekisho", "scp -t x; cat /etc/passwd"], "C0644 1 x\nx\0");
    assert_eq!((done.status.code(), text(&done.stdout).contains("root:")), (Some(255), false));
    assert!(text(&done.stderr).contains("not how scp works"), "{}", text(&done.stderr));
    let done = ssh.run(&client, &["root@db.sekisho", "echo hello; scp -f x"], "");
    assert_eq!(text(&done.stdout), "hello\n");
    let done = ssh.run(&client, &["-s", "root@db.sekisho", "sftp"], "this is no packet at all");
    assert_eq!(done.status.code(), Some(255));
    assert!(text(&done.stderr).contains("larger than 256 KiB"), "{}", text(&done.stderr));

    // A session that is ended tells what it was at.
    let mut child = ssh.start(&client, &["root@db.sekisho", "scp -t cut"]);
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.as_mut().unwrap());
    let mut yes = [1];
    stdout.read_exact(&mut yes).unwrap();
    stdin.write_all(b"C0644 100 cut\n").unwrap();
    stdout.read_exact(&mut yes).unwrap();
    assert_eq!(yes, [0]);
    ssh.bastion.take_away("db", ADMIN_LOGIN);
    child.wait().unwrap();
    let began = Instant::now();
    loop {
        let all = ssh.recorded(1);
        let told = ssh.told(&all[0]);
        if told
            .iter()
            .any(|(op, status, about)| op == "upload" && status == "Failed" && about["path"] == "cut")
        {
            break;
        }
        assert!(began.elapsed() < SOON, "{told:#?}");
    }
}

#[test]
fn whoever_touches_more_files_than_anybody_reads_of_is_counted_and_nothing_is_lost() {
    let Some(ssh) = Ssh::new("fbm") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let client = ssh.client();
    world.api.put(&host(world, ""), &recording_host(&json!({"enableFileCopy": true}))).unwrap();
    let batch = client.path("batch");
    let lines: String = (0..1010).map(|n| format!("mkdir d{n}\n")).collect();
    std::fs::write(&batch, lines).unwrap();
    let done = Command::new("sftp")
        .arg("-F")
        .arg(client.config())
        .arg("-b")
        .arg(&batch)
        .arg("root@db.sekisho")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let recording = &ssh.recorded(1)[0];
    assert_eq!(ssh.files(recording).1.len(), 1010);
    let told = ssh.told(recording);
    let count = |op: &str, status: &str| told.iter().filter(|t| t.0 == op && t.1 == status).count();
    assert_eq!([count("makeFolder", "Started"), count("makeFolder", "Succeeded")], [1000, 1000]);
    assert_eq!([count("moreFiles", "Started"), count("moreFiles", "Succeeded")], [1, 1]);
    let others = &told.iter().find(|t| t.0 == "moreFiles" && t.1 == "Succeeded").unwrap().2;
    assert!(others["makeFolder"].as_str().unwrap().contains("\"files\":10"), "{others}");
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
fn a_desktop_is_reached_through_a_host_that_does_not_record_or_the_one_that_does_is_named() {
    let Some(ssh) = Ssh::new("fbw") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let client = ssh.client();
    world.api.put(&host(world, ""), &recording_host(&json!({}))).unwrap();
    // Whatever is there, of VNC's port it is not read.
    let listener = world.site.machine("db").unwrap().host.listen_tcp(([127, 0, 0, 1], 5900).into()).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"desktop");
        }
    });
    let go = || ssh.run(&client, &["-W", "localhost:5900", "root@db.sekisho"], "");
    let refused = text(&go().stderr);
    assert!(refused.contains("The bastion host 'gate' records"), "{refused}");
    // Another one that leads nowhere is no help, and says nothing instead.
    let other = host(world, "").replace("/gate?", "/other?");
    let body = |tunnels: bool| json!({"location": "home", "sku": {"name": "Standard"}, "properties": {"enableTunneling": tunnels}});
    world.api.put(&other, &body(false)).unwrap();
    let refused = text(&go().stderr);
    assert!(refused.contains("The bastion host 'gate' records"), "{refused}");
    world.api.put(&other, &body(true)).unwrap();
    let done = go();
    assert_eq!(text(&done.stdout), "desktop", "{}", text(&done.stderr));
    // Logins still go through the first one, and are recorded.
    assert!(ssh.run(&client, &["root@db.sekisho", "true"], "").status.success());
    assert_eq!(ssh.recorded(1).len(), 1);
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
