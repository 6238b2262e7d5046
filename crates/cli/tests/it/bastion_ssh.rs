//! Sessions over SSH on a machine that lets nothing in, whose OpenSSH server listens on loopback only and is left as the
//! distribution has it.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::bastion::{Bastion, Socket, host};
use super::{AGENT, SOON, World, skipped, unable};

pub(super) const ADMIN_LOGIN: &str = "1c0163c0-47e6-4577-8991-ea5c82e286e4";
pub(super) const USER_LOGIN: &str = "fb879df8-f326-4884-b1cf-06f3ad86be52";
const SSHD: &str = "/usr/sbin/sshd";

/// A bastion host before `db`, where an OpenSSH server runs.
pub(super) struct Ssh {
    pub(super) bastion: Bastion,
    server: Child,
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A terminal, and what of it was seen.
pub(super) struct Terminal {
    socket: Socket,
    pub(super) session: String,
    seen: Vec<u8>,
    /// The number of the next byte.
    at: u64,
    pub(super) told: Vec<Value>,
}

impl Ssh {
    pub(super) fn new(prefix: &str) -> Option<Ssh> {
        if unable().is_some() {
            return None;
        }
        if !Path::new(SSHD).exists() {
            skipped("there is no OpenSSH server (sshd)");
            return None;
        }
        let world = World::new(prefix);
        let machine = world.site.machine("db").unwrap();
        let etc = machine.host.own_files().unwrap().join("etc/ssh");
        std::fs::write(etc.join("sshd_config.d/50-lab.conf"), "ListenAddress 127.0.0.1\n").unwrap();
        let log = world.site.log("sshd").unwrap();
        let server = machine
            .host
            .command(SSHD)
            .args(["-D", "-e"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Some(Ssh { bastion: Bastion::before(world), server })
    }

    pub(super) fn begin(&self, account: &str) -> Result<Value, String> {
        let (_, place) = self.bastion.address.split_once('/').unwrap();
        let body =
            json!({"resourceId": self.bastion.machine("db"), "account": account, "columns": 100, "rows": 30});
        self.bastion.world.api.post(&format!("/{place}/api/sessions"), &body).map_err(|e| e.to_string())
    }

    /// Waits until the machine's SSH server trusts the bastion, and logs in.
    pub(super) fn log_in(&self, account: &str) -> Terminal {
        let began = Instant::now();
        let begun = loop {
            match self.begin(account) {
                Ok(begun) => break begun,
                Err(why) => assert!(began.elapsed() < Duration::from_secs(60), "{why}"),
            }
        };
        self.enter(&begun, 0)
    }

    pub(super) fn enter(&self, begun: &Value, have: u64) -> Terminal {
        let secret = begun["secret"].as_str().unwrap();
        let url = format!("wss://{}/terminal/{secret}?have={have}", self.bastion.address);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "sekisho.terminal.v1".parse().unwrap());
        let socket = self.bastion.connect(request).unwrap();
        let session = begun["sessionId"].as_str().unwrap().to_owned();
        Terminal { socket, session, seen: Vec::new(), at: have, told: Vec::new() }
    }

    pub(super) fn resume(&self, session: &str) -> Result<Value, String> {
        let (_, place) = self.bastion.address.split_once('/').unwrap();
        let path = format!("/{place}/api/sessions/{session}/resume");
        self.bastion.world.api.post(&path, &json!({})).map_err(|e| e.to_string())
    }

    pub(super) fn type_in(&self, terminal: &mut Terminal, text: &str) {
        let frame = [b"\0", text.as_bytes()].concat();
        self.bastion.runtime.block_on(terminal.socket.send(Message::Binary(frame.into()))).unwrap();
    }

    fn say(&self, terminal: &mut Terminal, what: &Value) {
        let frame = [b"\x01", what.to_string().as_bytes()].concat();
        self.bastion.runtime.block_on(terminal.socket.send(Message::Binary(frame.into()))).unwrap();
    }

    /// Takes the next frame; false when the other side has closed.
    pub(super) fn next(&self, terminal: &mut Terminal) -> bool {
        let next = async { timeout(SOON, terminal.socket.next()).await.unwrap() };
        match self.bastion.runtime.block_on(next) {
            Some(Ok(Message::Binary(frame))) => {
                match frame.split_first().unwrap() {
                    (0, rest) => {
                        let from = u64::from_be_bytes(rest[..8].try_into().unwrap());
                        assert_eq!(from, terminal.at, "a byte is missing or came twice");
                        terminal.seen.extend_from_slice(&rest[8..]);
                        terminal.at += rest.len() as u64 - 8;
                    }
                    (_, rest) => terminal.told.push(serde_json::from_slice(rest).unwrap()),
                }
                true
            }
            Some(Ok(Message::Close(_))) | None | Some(Err(_)) => false,
            Some(Ok(_)) => true,
        }
    }

    pub(super) fn until(&self, terminal: &mut Terminal, text: &str) {
        let began = Instant::now();
        while !String::from_utf8_lossy(&terminal.seen).contains(text) {
            let seen = String::from_utf8_lossy(&terminal.seen).into_owned();
            assert!(began.elapsed() < SOON && self.next(terminal), "{text} is not in {seen:?}");
        }
    }

    /// How the session ends, and how long that takes.
    pub(super) fn end(&self, terminal: &mut Terminal) -> (String, Duration) {
        let began = Instant::now();
        while self.next(terminal) {}
        let last = terminal.told.iter().rev().find(|t| t["kind"] == "ended").cloned().unwrap_or_default();
        (last["reason"].as_str().unwrap_or_default().to_owned(), began.elapsed())
    }
}

#[test]
fn a_terminal_on_a_machine_without_an_open_port_goes_on_over_a_lost_network_and_ends_with_the_role() {
    let Some(ssh) = Ssh::new("fbs") else { return };
    let refused = ssh.begin("root").unwrap_err();
    assert!(refused.contains("Virtual Machine User Login"), "{refused}");
    ssh.bastion.give("db", USER_LOGIN);
    let refused = ssh.begin("root").unwrap_err();
    assert!(refused.contains("Virtual Machine Administrator Login"), "{refused}");
    ssh.bastion.give("db", ADMIN_LOGIN);

    let mut terminal = ssh.log_in("root");
    ssh.type_in(&mut terminal, "echo $((6*7)); stty size\r");
    ssh.until(&mut terminal, "42\r\n30 100");
    // The shell edits lines by now, and takes Japanese for what it is.
    ssh.type_in(&mut terminal, "printf '[%s]' 関所\u{7f}守 $((1+1))\r");
    ssh.until(&mut terminal, "[関守][2]");
    assert_eq!((&terminal.told[0]["kind"], &terminal.told[0]["account"]), (&json!("ready"), &json!("root")));
    ssh.say(&mut terminal, &json!({"kind": "size", "columns": 90, "rows": 20}));
    ssh.type_in(&mut terminal, "stty size\r");
    ssh.until(&mut terminal, "20 90");
    let open = ssh.bastion.sessions();
    assert_eq!((open.len(), &open[0]["protocol"]), (1, &json!("ssh")));
    assert!(!ssh.bastion.world.passes("web", "db", 22), "the port is open");

    // The network is gone; the shell is not.
    ssh.type_in(&mut terminal, "echo before; X=kept\r");
    ssh.until(&mut terminal, "before\r\n");
    let (at, session) = (terminal.at, terminal.session.clone());
    drop(terminal);
    let mut terminal = ssh.enter(&ssh.resume(&session).unwrap(), at);
    ssh.type_in(&mut terminal, "echo $X-again\r");
    ssh.until(&mut terminal, "kept-again");

    // What the viewer does not acknowledge is not asked of the machine.
    ssh.type_in(&mut terminal, "yes 0123456789 | head -c 4000000; echo DONE$((1+1))\r");
    while terminal.at < at + (400 << 10) {
        assert!(ssh.next(&mut terminal));
    }
    let quiet = async {
        timeout(Duration::from_secs(2), async { while terminal.socket.next().await.is_some() {} }).await
    };
    assert!(ssh.bastion.runtime.block_on(quiet).is_err());
    drop(terminal);
    let mut terminal = ssh.enter(&ssh.resume(&session).unwrap(), u64::MAX >> 1);
    terminal.at = 0;
    drop(terminal);

    ssh.bastion.take_away("db", ADMIN_LOGIN);
    let gone = Instant::now();
    while !ssh.bastion.sessions().is_empty() {
        assert!(gone.elapsed() < Duration::from_secs(2), "the session outlives the role");
    }
    assert!(ssh.resume(&session).unwrap_err().contains("over"));
}

#[test]
fn what_was_on_the_screen_is_recorded_sealed_and_found_and_a_session_that_cannot_be_recorded_ends() {
    let Some(ssh) = Ssh::new("fbr") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let world = &ssh.bastion.world;
    let body = json!({"location": "home", "sku": {"name": "Premium"},
        "properties": {"enableTunneling": true, "enableSessionRecording": true}});
    world.api.put(&host(world, ""), &body).unwrap();
    let mut terminal = ssh.log_in("root");
    assert_eq!(terminal.told.first().map_or(&Value::Null, |t| &t["recorded"]), &Value::Null);
    ssh.type_in(&mut terminal, "echo needle-$((40+2)) 関所; exit 3\r");
    ssh.until(&mut terminal, "needle-42 関所");
    assert_eq!(terminal.told[0]["recorded"], "full");
    assert_eq!(ssh.end(&mut terminal).0, "Closed");
    let list =
        format!("{}/providers/Sekisho.Bastion/recordings?api-version=2026-09-01", ssh.bastion.machine("db"));
    let began = Instant::now();
    let recording = loop {
        let all = world.api.get(&format!("{list}&search=NEEDLE-42")).unwrap();
        match all["value"].as_array().unwrap().as_slice() {
            [one] if one["properties"]["state"] == "closed" => break one.clone(),
            other => assert!(began.elapsed() < SOON, "{other:?}"),
        }
    };
    assert!(!recording["properties"]["matches"].as_array().unwrap().is_empty(), "{recording}");
    assert!(
        world.api.get(&format!("{list}&search=nowhere")).unwrap()["value"].as_array().unwrap().is_empty()
    );
    let play = format!(
        "{}/providers/Sekisho.Bastion/playRecording?api-version=2026-09-01",
        ssh.bastion.machine("db")
    );
    let name = &recording["name"];
    let played = world.api.post(&play, &json!({"id": name})).unwrap();
    let frames = played["frames"].as_array().unwrap();
    let output: String = frames.iter().filter(|f| f[1] == "o").map(|f| f[2].as_str().unwrap()).collect();
    assert!(output.contains("needle-42 関所"), "{output}");
    assert_eq!(
        (&played["closed"], &frames.last().unwrap()[1], &frames.last().unwrap()[2]),
        (&json!(true), &json!("x"), &json!("3"))
    );
    let cast = world.api.post(&play, &json!({"id": name, "format": "asciicast"})).unwrap();
    assert!(cast["content"].as_str().unwrap().starts_with("{\"version\":3"));

    // The key stood in the log before the first byte: whoever has the file and the log needs nothing else.
    let file = world.dir.path().join(format!("server/recordings/{}.skr", name.as_str().unwrap()));
    let log = world.dir.path().join("log.jsonl");
    std::fs::write(&log, world.site.sekisho(&["audit", "export"]).unwrap()).unwrap();
    let (path, log) = (file.to_str().unwrap(), log.to_str().unwrap());
    let said = world.site.sekisho(&["recording", "verify", path, "--log", log]).unwrap();
    assert!(said.contains("it ends with its session") && said.contains(": over at"), "{said}");

    // Nobody removes what is held; a changed byte is found, and so is a missing end.
    let keep = |verb: &str, reason: &str| {
        let machine = ssh.bastion.machine("db");
        let path = format!("{machine}/providers/Sekisho.Bastion/{verb}Recording?api-version=2026-09-01");
        world.api.post(&path, &json!({"id": name, "reason": reason})).map_err(|e| e.to_string())
    };
    assert_eq!(keep("hold", "case 7").unwrap()["properties"]["hold"]["reason"], "case 7");
    assert_eq!(world.api.get(&list).unwrap()["value"][0]["properties"]["hold"]["reason"], "case 7");
    assert!(keep("delete", "no room").unwrap_err().contains("case 7"));
    let whole = std::fs::read(&file).unwrap();
    let end = whole.len() - 5;
    let part = (whole.len() as u64, whole[end..].to_vec());
    assert_eq!(ssh.piece(name.as_str().unwrap(), end as u64).unwrap(), part);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for bytes in [changed.as_slice(), &whole[..whole.len() - 1], &whole[..whole.len() / 2]] {
        std::fs::write(&file, bytes).unwrap();
        let broken = world.api.post(&play, &json!({"id": name})).unwrap_err().to_string();
        assert!(broken.contains("not what was recorded"), "{broken}");
    }

    keep("release", "case 7 is closed").unwrap();
    keep("delete", "no room").unwrap();
    let began = Instant::now();
    while file.exists() {
        assert!(began.elapsed() < SOON, "the file of a deleted recording stays");
    }
    assert!(world.api.get(&list).unwrap()["value"].as_array().unwrap().is_empty());
    let logged = world.site.sekisho(&["audit", "export"]).unwrap();
    assert!(logged.contains("Sekisho.Bastion/recordings/delete") && logged.contains("no room"), "{logged}");

    // Nowhere to write: nothing begins.
    let directory = world.dir.path().join("server/recordings");
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::write(&directory, "no directory").unwrap();
    let refused = ssh.begin("root").unwrap_err();
    assert!(refused.contains("cannot be recorded"), "{refused}");
    assert!(ssh.bastion.sessions().is_empty());
}

#[test]
fn an_agent_that_died_before_the_ssh_server_had_read_its_files_has_it_read_them_when_it_comes_back() {
    let Some(mut ssh) = Ssh::new("fbu") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    drop(ssh.log_in("root"));
    let log = ssh.bastion.world.dir.path().join("sshd.log");
    let reloads = || std::fs::read_to_string(&log).unwrap().matches("Received SIGHUP").count();
    let read = ssh.bastion.world.site.machine("db").unwrap().state.join("sshd-read.json");
    let before = reloads();
    assert!(before > 0 && read.exists());
    ssh.bastion.world.site.kill_agent("db").unwrap();
    std::fs::remove_file(&read).unwrap();
    ssh.bastion.world.site.start_agent("db", AGENT, &[]).unwrap();
    let began = Instant::now();
    while !read.exists() {
        assert!(began.elapsed() < SOON, "the SSH server was not told to read its files");
    }
    assert_eq!(reloads(), before + 1);
    drop(ssh.log_in("root"));
}

#[test]
fn the_exit_status_is_told_and_nothing_is_left_on_the_machine_when_the_bastion_is_gone() {
    let Some(ssh) = Ssh::new("fbt") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let mut terminal = ssh.log_in("root");
    ssh.type_in(&mut terminal, "exit 7\r");
    assert_eq!(ssh.end(&mut terminal).0, "Closed");
    assert!(
        terminal.told.contains(&json!({"kind": "exit", "status": 7, "signal": null})),
        "{:?}",
        terminal.told
    );
    // An account that is not there, and a name that is none.
    let refused = ssh.begin("nobody-here").unwrap_err();
    assert!(refused.contains("no account 'nobody-here'"), "{refused}");
    assert!(ssh.begin("-oProxyCommand").unwrap_err().contains("account"));

    let files = ssh.bastion.world.site.machine("db").unwrap().host.own_files().unwrap().to_owned();
    let drop_in = files.join("etc/ssh/sshd_config.d/00-sekisho.conf");
    let text = std::fs::read_to_string(&drop_in).unwrap();
    assert!(text.contains("HostCertificate"), "{text}");
    ssh.bastion.world.api.delete(&host(&ssh.bastion.world, "")).unwrap();
    let began = Instant::now();
    while drop_in.exists()
        || std::fs::read_dir(files.join("etc/ssh/sekisho")).is_ok_and(|mut d| d.next().is_some())
    {
        assert!(began.elapsed() < SOON, "the machine still trusts the bastion");
    }
}

/// A process that was left in the background, with nobody who waits for it; it ends with the test.
struct Left(u32);

impl Left {
    fn is_there(&self) -> bool {
        Path::new("/proc").join(self.0.to_string()).exists()
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill")
            .args(["-9", &self.0.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

#[test]
fn what_was_left_running_goes_on_after_a_session_that_was_left_and_ends_with_one_that_was_ended() {
    let Some(ssh) = Ssh::new("fbr") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let home = ssh.bastion.world.site.machine("db").unwrap().host.own_files().unwrap().join("home/root");
    let leaves = |terminal: &mut Terminal, name: &str| {
        let line = format!(
            "(setsid sh -c 'echo $$ > ~/{name}; exec sleep 600' >/dev/null 2>&1 </dev/null &); \
             until [ -s ~/{name} ]; do :; done; echo {name} is le\"\"ft\r"
        );
        ssh.type_in(terminal, &line);
        ssh.until(terminal, &format!("{name} is left"));
        Left(std::fs::read_to_string(home.join(name)).unwrap().trim().parse().unwrap())
    };
    let mut terminal = ssh.log_in("root");
    let first = leaves(&mut terminal, "first");
    ssh.type_in(&mut terminal, "exit\r");
    assert_eq!(ssh.end(&mut terminal).0, "Closed");
    let mut terminal = ssh.log_in("root");
    let second = leaves(&mut terminal, "second");
    assert!(second.is_there());
    let body = json!({"sessionIds": [terminal.session]});
    ssh.bastion.world.api.post(&host(&ssh.bastion.world, "/disconnectActiveSessions"), &body).unwrap();
    assert_eq!(ssh.end(&mut terminal).0, "Disconnected");
    let began = Instant::now();
    while second.is_there() {
        assert!(began.elapsed() < SOON, "it still runs");
    }
    assert!(first.is_there(), "what another login left has ended, too");
}
