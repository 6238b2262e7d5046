//! Sessions that others look at, type in and say something to, and that end when their time is over.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::SOON;
use super::bastion::host;
use super::bastion_gate::{Client, text};
use super::bastion_ssh::{ADMIN_LOGIN, Ssh, Terminal};

/// A stock client in a terminal of 100 by 30, and what that shows.
struct Native {
    child: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    shown: String,
}

impl Native {
    fn start(client: &Client) -> Native {
        let ssh = format!("stty rows 30 cols 100; exec ssh -F {} root@db.sekisho", client.config().display());
        let mut child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &ssh, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (keys, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Native { child, keys, output, shown: String::new() }
    }

    fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn until(&mut self, text: &str, limit: Duration) {
        let began = Instant::now();
        while !self.shown.contains(text) {
            let left = limit.checked_sub(began.elapsed()).unwrap_or_default();
            match self.output.recv_timeout(left) {
                Ok(more) => self.shown.push_str(&String::from_utf8_lossy(&more)),
                Err(_) => panic!("{text:?} is not in {:?}", self.shown),
            }
        }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ssh {
    /// Does something with a session of somebody else's.
    fn do_with(&self, session: &str, what: &str, body: &Value) -> Result<Value, String> {
        let (_, place) = self.bastion.address.split_once('/').unwrap();
        let path = format!("/{place}/api/sessions/{session}/{what}");
        self.bastion.world.api.post(&path, body).map_err(|e| e.to_string())
    }

    fn look(&self, session: &str, mode: &str) -> Terminal {
        self.enter(&self.do_with(session, "watch", &json!({"mode": mode})).unwrap(), 0)
    }

    /// The session that is open, once it has a terminal or has none.
    fn open(&self, has_terminal: bool) -> String {
        let list = format!(
            "{}/providers/Sekisho.Bastion/sessions?api-version=2026-09-01",
            self.bastion.machine("db")
        );
        let began = Instant::now();
        loop {
            let all = self.bastion.world.api.get(&list).unwrap()["value"].as_array().unwrap().clone();
            match all.as_slice() {
                [one] if one["properties"]["terminal"] == has_terminal => {
                    return one["name"].as_str().unwrap().to_owned();
                }
                other => assert!(began.elapsed() < SOON, "{other:?}"),
            }
        }
    }

    fn nobody_is_there(&self) {
        let began = Instant::now();
        while !self.bastion.sessions().is_empty() {
            assert!(began.elapsed() < SOON, "a session is left");
        }
    }

    fn hears(&self, terminal: &mut Terminal, kind: &str) -> Value {
        let began = Instant::now();
        loop {
            if let Some(told) = terminal.told.iter().rev().find(|told| told["kind"] == kind) {
                return told.clone();
            }
            assert!(began.elapsed() < SOON && self.next(terminal), "{kind} is not told: {:?}", terminal.told);
        }
    }
}

#[test]
fn the_terminal_of_a_stock_client_is_looked_at_and_typed_in_as_a_browsers_and_its_client_is_told() {
    let Some(ssh) = Ssh::new("fbl") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let client = ssh.client();
    let mut native = Native::start(&client);
    native.type_in("echo $((6*7))-here; stty size\n");
    native.until("42-here\r\n30 100", SOON);

    // What is there is seen on arrival, and nothing can be done by whoever only looks.
    let session = ssh.open(true);
    let mut looking = ssh.look(&session, "readOnly");
    ssh.until(&mut looking, "42-here");
    let ready = looking.told[0].clone();
    assert_eq!((&ready["mode"], &ready["account"]), (&json!("readOnly"), &json!("root")), "{ready}");
    assert_eq!(ready["upload"], false);
    let size = ssh.hears(&mut looking, "size");
    assert_eq!((&size["columns"], &size["rows"]), (&json!(100), &json!(30)));
    native.until("[sekisho] watching: ", SOON);
    ssh.type_in(&mut looking, "echo $((40+1))-mute\r");
    // Whoever joins types, and everybody sees it.
    let mut joining = ssh.look(&session, "interactive");
    native.until("typing with you: ", SOON);
    ssh.type_in(&mut joining, "echo $((40+3))-joined\r");
    native.until("43-joined", SOON);
    ssh.until(&mut looking, "43-joined");
    assert!(!native.shown.contains("41-mute"), "{}", native.shown);

    // What somebody says is a line, whatever stands in it.
    let said = json!({"text": "stop\u{1b}[2J this\nplease\u{202e}"});
    ssh.do_with(&session, "message", &said).unwrap();
    native.until(": stop\\u{1b}[2J this please\\u{202e}\r\n", SOON);
    assert_eq!(ssh.hears(&mut looking, "message")["text"], said["text"]);
    drop(joining);
    drop(looking);
    native.until("nobody else is in this session any more", SOON);
    let log = ssh.bastion.world.site.sekisho(&["audit", "export"]).unwrap();
    for right in ["watch", "join", "message"] {
        let entry = format!("Sekisho.Bastion/sessions/{right}/action");
        let stands = log.lines().any(|line| line.contains(&entry) && line.contains(&session));
        assert!(stands, "{entry} is not in the log");
    }

    // It is its client's own: no browser takes it over.
    assert!(ssh.resume(&session).unwrap_err().contains("not one of yours"));
    let mut looking = ssh.look(&session, "readOnly");
    ssh.until(&mut looking, "43-joined");
    native.type_in("exit 3\n");
    assert_eq!(ssh.end(&mut looking).0, "Closed");
    assert_eq!(ssh.hears(&mut looking, "exit")["status"], 3);
    assert_eq!(native.child.wait().unwrap().code(), Some(3));
    assert!(ssh.do_with(&session, "watch", &json!({"mode": "readOnly"})).unwrap_err().contains("over"));

    // A command has no terminal.
    ssh.nobody_is_there();
    let mut child = ssh.start(&client, &["root@db.sekisho", "echo there; sleep 1000"]);
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let session = ssh.open(false);
    for (what, body) in [("watch", json!({"mode": "interactive"})), ("message", json!({"text": "stop"}))] {
        let refused = ssh.do_with(&session, what, &body).unwrap_err();
        assert!(refused.contains("SessionHasNoTerminal"), "{refused}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn whoever_opens_their_own_terminal_in_another_window_takes_it_there() {
    let Some(ssh) = Ssh::new("fbv") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let mut first = ssh.log_in("root");
    ssh.type_in(&mut first, "echo $((6*7))-first\r");
    ssh.until(&mut first, "42-first");
    let mut second = ssh.enter(&ssh.resume(&first.session).unwrap(), 0);
    ssh.until(&mut second, "42-first");
    assert_eq!(ssh.end(&mut first).0, "TakenOver");
    ssh.type_in(&mut second, "echo $((6*7))-second\r");
    ssh.until(&mut second, "42-second");
}

#[test]
fn a_recording_that_is_over_goes_where_recordings_go_and_is_played_searched_verified_and_deleted_there() {
    let Some(mut ssh) = Ssh::new("fby") else { return };
    let place = ssh.bastion.world.dir.path().join("everywhere");
    let environment = [("SEKISHO_RECORDINGS", place.to_str().unwrap())];
    ssh.bastion.world.site.kill_server();
    ssh.bastion.world.site.start_server_with(&environment).unwrap();
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let body = json!({"location": "home", "sku": {"name": "Premium"},
        "properties": {"enableTunneling": true, "enableSessionRecording": true}});
    world.api.put(&host(world, ""), &body).unwrap();
    let mut terminal = ssh.log_in("root");
    ssh.type_in(&mut terminal, "echo needle-$((40+2))\r");
    ssh.until(&mut terminal, "needle-42");
    let own = world.dir.path().join(format!("server/recordings/{}.skr", terminal.session));
    assert!(own.exists(), "it is not made on this server's disk");
    ssh.type_in(&mut terminal, "exit\r");
    assert_eq!(ssh.end(&mut terminal).0, "Closed");
    let began = Instant::now();
    while own.exists() {
        assert!(began.elapsed() < SOON, "it stays on this server's disk");
    }
    let folders: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [folder] = folders.as_slice() else { panic!("{folders:?}") };
    let file = folder.join(format!("{}.skr", terminal.session));
    let machine = ssh.bastion.machine("db");
    let of = |what: &str| format!("{machine}/providers/Sekisho.Bastion/{what}");
    let found = world.api.get(&of("recordings?api-version=2026-09-01&search=needle-42")).unwrap();
    assert_eq!(found["value"][0]["name"], terminal.session, "{found}");
    let play = of("playRecording?api-version=2026-09-01");
    let played = world.api.post(&play, &json!({"id": terminal.session, "format": "text"})).unwrap();
    assert!(played["content"].as_str().unwrap().contains("needle-42"), "{played}");
    // Somebody who has no access to the place gets the file, byte by byte.
    let piece = |offset| ssh.piece(&terminal.session, offset);
    let kept = std::fs::read(&file).unwrap();
    let size = kept.len() as u64;
    assert_eq!(piece(0).unwrap(), (size, kept.clone()));
    assert_eq!(piece(size - 9).unwrap(), (size, kept[kept.len() - 9..].to_vec()));
    assert_eq!(piece(size).unwrap(), (size, Vec::new()));
    assert!(piece(size + 1).unwrap_err().contains("InvalidOffset"));

    let log = world.dir.path().join("log.jsonl");
    std::fs::write(&log, world.site.sekisho(&["audit", "export"]).unwrap()).unwrap();
    let (path, log) = (file.to_str().unwrap(), log.to_str().unwrap());
    let said = world.site.sekisho(&["recording", "verify", path, "--log", log]).unwrap();
    assert!(said.contains("it ends with its session"), "{said}");
    let delete = of("deleteRecording?api-version=2026-09-01");
    world.api.post(&delete, &json!({"id": terminal.session, "reason": "no room"})).unwrap();
    let began = Instant::now();
    while file.exists() {
        assert!(began.elapsed() < SOON, "the file of a deleted recording stays");
    }
}

#[test]
fn native_sessions_end_when_nobody_types_or_their_time_is_over_and_say_why() {
    let Some(ssh) = Ssh::new("fbx") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let client = ssh.client();
    let allow = |limits: Value| {
        let world = &ssh.bastion.world;
        let body = json!({"location": "home", "sku": {"name": "Standard"},
            "properties": {"enableTunneling": true, "sekisho": limits}});
        world.api.put(&host(world, ""), &body).unwrap();
    };
    // The smallest limits there are, all at once.
    allow(json!({"maximumMinutes": 1}));
    let mut longest = ssh.start(&client, &["root@db.sekisho", "echo there; sleep 1000"]);
    let mut first = [0; 6];
    longest.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    allow(json!({"idleMinutes": 1}));
    let mut native = Native::start(&client);
    let began = Instant::now();
    native.type_in("echo $((6*7))-here\n");
    native.until("42-here", SOON);
    let limit = Duration::from_secs(60);
    native.until("[sekisho] nothing was typed for long: this session ends in 30 s\r\n", limit);
    assert!(began.elapsed() > limit / 2, "it was warned at once");
    native.until("the session ended (Idle): nothing was typed for 1 min.", limit);
    assert!(began.elapsed() > limit, "it ended after {:?}", began.elapsed());
    assert_eq!(native.child.wait().unwrap().code(), Some(255));
    let done = longest.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(255));
    let why = "the session ended (TimeOver): it may last 1 min.";
    assert!(text(&done.stderr).contains(why), "{}", text(&done.stderr));
    ssh.nobody_is_there();
}
