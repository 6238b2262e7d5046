//! Desktops of a machine that lets nothing in, whose VNC server listens on its loopback only, with a real X display.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use sekisho_bastion_desktop::Size;
use sekisho_bastion_desktop::tile::Decoder;
use sekisho_lab::{Display, Host, PASSWORD, Picture};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::bastion::{Bastion, Socket, host};
use super::bastion_ssh::{ADMIN_LOGIN, USER_LOGIN};
use super::{SOON, World, skipped, unable};

const VERSION: &str = "api-version=2026-11-01";
const PORT: u16 = 5900;
const XVNC: &str = "/usr/bin/Xvnc";
const SHADOW: &str = "freerdp-shadow-cli";

/// A bastion host before `db`, whose display a VNC server shows: a terminal, which reads a line.
struct Desk {
    bastion: Bastion,
    display: Display,
    terminal: Child,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
    }
}

/// A desktop as a browser sees it.
struct Seen {
    socket: Socket,
    session: String,
    decoder: Decoder,
    /// Whether a frame has come.
    framed: bool,
    told: Vec<Value>,
}

impl Desk {
    fn new(prefix: &str) -> Option<Desk> {
        if unable().is_some() {
            return None;
        }
        if !Path::new(XVNC).exists() {
            skipped("there is no VNC server (tigervnc-standalone-server)");
            return None;
        }
        let world = World::new(prefix);
        let display = Display::vnc(&world.site.machine("db").unwrap().host, 640, 480).unwrap();
        let line = world.dir.path().join("line");
        let read = format!("read line; printf %s \"$line\" > {}; exec sleep 1000", line.display());
        let terminal = display
            .command("xterm")
            .args(["-geometry", "80x24+0+0", "-bg", "#123456", "-fg", "#fedcba", "-e", "sh", "-c", &read])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Desk { bastion: Bastion::before(world), display, terminal })
    }

    fn line(&self) -> String {
        std::fs::read_to_string(self.bastion.world.dir.path().join("line")).unwrap_or_default()
    }

    /// Asks something of the host.
    fn post(&self, what: &str, body: &Value) -> Result<Value, String> {
        let (_, place) = self.bastion.address.split_once('/').unwrap();
        self.bastion.world.api.post(&format!("/{place}/api/{what}"), body).map_err(|e| e.to_string())
    }

    fn begin(&self, password: Option<&str>) -> Result<Value, String> {
        let mut body =
            json!({"machine": self.bastion.machine("db"), "protocol": "vnc", "width": 640, "height": 480});
        if let Some(password) = password {
            body["password"] = password.into();
        }
        self.post("desktops", &body)
    }

    /// Asks something of Sekisho.Bastion about the machine.
    fn about(&self, what: &str) -> String {
        format!("{}/providers/Sekisho.Bastion/{what}?{VERSION}", self.bastion.machine("db"))
    }

    fn set(&self, properties: Value) {
        let body = json!({"location": "home", "sku": {"name": "Premium"}, "properties": properties});
        self.bastion.world.api.put(&host(&self.bastion.world, ""), &body).unwrap();
    }

    fn enter(&self, begun: &Value) -> Seen {
        let url = format!("wss://{}/desktop/{}", self.bastion.address, begun["secret"].as_str().unwrap());
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "sekisho.desktop.v1".parse().unwrap());
        let socket = self.bastion.connect(request).unwrap();
        let session = begun["sessionId"].as_str().unwrap().to_owned();
        let decoder = Decoder::new(Size::new(640, 480));
        let mut seen = Seen { socket, session, decoder, framed: false, told: Vec::new() };
        // A pointer that the server does not know to be here it draws into the picture.
        self.say(&mut seen, &json!({"kind": "pointer", "x": 100, "y": 100, "buttons": 0}));
        seen
    }

    /// Says something; false when the other side has closed.
    fn says(&self, seen: &mut Seen, what: &Value) -> bool {
        let frame = [b"\x01", what.to_string().as_bytes()].concat();
        self.bastion.runtime.block_on(seen.socket.send(Message::Binary(frame.into()))).is_ok()
    }

    fn say(&self, seen: &mut Seen, what: &Value) {
        assert!(self.says(seen, what), "it has ended: {:?}", seen.told);
    }

    fn press(&self, seen: &mut Seen, codes: &[&str]) {
        for code in codes {
            for down in [true, false] {
                self.say(seen, &json!({"kind": "key", "code": code, "down": down}));
            }
        }
    }

    /// Takes the next frame; false when the other side has closed.
    fn next(&self, seen: &mut Seen) -> bool {
        let next = async { timeout(SOON, seen.socket.next()).await.unwrap() };
        match self.bastion.runtime.block_on(next) {
            Some(Ok(Message::Binary(frame))) => {
                if frame[0] == 2 {
                    let number = seen.decoder.apply(&frame).unwrap();
                    seen.framed = true;
                    // What was sent before the end is there to be read after it.
                    self.says(seen, &json!({"kind": "ack", "frame": number}));
                    return true;
                }
                let told: Value = serde_json::from_slice(&frame[1..]).unwrap();
                if let ("size" | "ready", Some(width), Some(height)) =
                    (told["kind"].as_str().unwrap(), told["width"].as_u64(), told["height"].as_u64())
                {
                    seen.decoder = Decoder::new(Size::new(width as u32, height as u32));
                }
                seen.told.push(told);
                true
            }
            Some(Ok(Message::Close(_))) | None | Some(Err(_)) => false,
            Some(Ok(_)) => true,
        }
    }

    /// Waits until what is seen is what the X server says is there, with the terminal in it.
    fn until_exact(&self, seen: &mut Seen) -> Picture {
        let began = Instant::now();
        loop {
            let truth = self.display.picture().unwrap();
            let has_terminal = truth.pixels.contains(&0x0012_3456);
            if has_terminal && seen.decoder.exact() && seen.decoder.picture().pixels() == truth.pixels {
                return truth;
            }
            let other =
                seen.decoder.picture().pixels().iter().zip(&truth.pixels).filter(|(a, b)| a != b).count();
            let exact = seen.decoder.exact();
            assert!(
                began.elapsed() < SOON,
                "{other} pixels are not what is there (all: {exact}, terminal: {has_terminal})"
            );
            assert!(self.next(seen), "it has ended: {:?}", seen.told);
        }
    }

    fn hears(&self, seen: &mut Seen, kind: &str) -> Value {
        let began = Instant::now();
        loop {
            if let Some(told) = seen.told.iter().rev().find(|told| told["kind"] == kind) {
                return told.clone();
            }
            assert!(began.elapsed() < SOON && self.next(seen), "{kind} is not told: {:?}", seen.told);
        }
    }

    /// Why it ends.
    fn end(&self, seen: &mut Seen) -> String {
        while self.next(seen) {}
        let last = seen.told.iter().rev().find(|told| told["kind"] == "ended").cloned().unwrap_or_default();
        last["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn nobody_is_there(&self, limit: Duration) {
        let began = Instant::now();
        while !self.bastion.sessions().is_empty() {
            assert!(began.elapsed() < limit, "a session is left");
        }
    }

    /// Everything that the installation has said so far.
    fn everything_said(&self) -> String {
        let mut all = self.bastion.world.site.sekisho(&["audit", "export"]).unwrap();
        for entry in std::fs::read_dir(self.bastion.world.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "log") {
                all.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
            }
        }
        all
    }
}

#[test]
fn a_desktop_on_a_machine_without_an_open_port_is_seen_to_the_pixel_used_and_gone_with_the_role() {
    let Some(desk) = Desk::new("fbdv") else { return };
    let refused = desk.begin(None).unwrap_err();
    assert!(refused.contains("Virtual Machine User Login"), "{refused}");
    // VNC asks nobody as whom they come: it may be anybody's screen.
    desk.bastion.give("db", USER_LOGIN);
    let refused = desk.begin(Some(PASSWORD)).unwrap_err();
    assert!(refused.contains("Virtual Machine Administrator Login"), "{refused}");
    desk.bastion.give("db", ADMIN_LOGIN);
    let refused = desk.begin(None).unwrap_err();
    assert!(refused.contains("DesktopCredentialsMissing"), "{refused}");
    let refused = desk.begin(Some("not-this")).unwrap_err();
    assert!(refused.contains("DesktopCredentialsRefused"), "{refused}");
    assert!(desk.bastion.sessions().is_empty());
    desk.set(json!({"sekisho": {"sessionsPerPerson": 1, "tunnelPorts": ["22"]}}));
    let mut elsewhere = json!({"machine": desk.bastion.machine("db"), "protocol": "vnc", "port": 5901, "width": 640, "height": 480});
    assert!(desk.post("desktops", &elsewhere).unwrap_err().contains("BastionPortDenied"));
    elsewhere["account"] = "root".into();
    assert!(desk.post("desktops", &elsewhere).unwrap_err().contains("VNC knows of no accounts"));

    let mut seen = desk.enter(&desk.begin(Some(PASSWORD)).unwrap());
    desk.until_exact(&mut seen);
    let ready = seen.told[0].clone();
    assert_eq!(
        (&ready["kind"], &ready["protocol"], &ready["mode"]),
        (&json!("ready"), &json!("vnc"), &json!("own"))
    );
    assert!(desk.begin(Some(PASSWORD)).unwrap_err().contains("TooManySessions"));
    let list = desk.bastion.world.api.get(&desk.about("sessions")).unwrap();
    let shown = &list["value"][0]["properties"];
    assert_eq!((&shown["protocol"], &shown["desktop"]), (&json!("vnc"), &json!(true)), "{list}");
    assert!(
        desk.post(&format!("sessions/{}/files", seen.session), &json!({"op": "mkdir", "path": "/x"}))
            .unwrap_err()
            .contains("SessionHasNoFiles")
    );

    // Somebody who watches sees the same, and is told to its owner; what they press reaches nobody.
    let look = desk.post(&format!("sessions/{}/watch", seen.session), &json!({"mode": "readOnly"})).unwrap();
    let mut other = desk.enter(&look);
    desk.until_exact(&mut other);
    assert_eq!(other.told[0]["mode"], "readOnly");
    assert_eq!(desk.hears(&mut seen, "watchers")["people"][0]["mode"], "readOnly");
    desk.press(&mut other, &["KeyX"]);
    desk.post(&format!("sessions/{}/message", seen.session), &json!({"text": "hello"})).unwrap();
    assert_eq!(desk.hears(&mut seen, "message")["text"], "hello");
    assert_eq!(desk.hears(&mut other, "message")["text"], "hello");

    // Whoever lost the network finds it as it was, and types.
    drop(seen);
    let session = other.session.clone();
    let mut seen = desk.enter(&desk.post(&format!("sessions/{session}/resume"), &json!({})).unwrap());
    desk.until_exact(&mut seen);
    desk.press(&mut seen, &["KeyO", "KeyK", "Enter"]);
    let began = Instant::now();
    while desk.line().is_empty() {
        assert!(began.elapsed() < SOON && desk.next(&mut seen), "what was typed does not arrive");
    }
    assert_eq!(desk.line(), "ok");

    desk.bastion.take_away("db", ADMIN_LOGIN);
    desk.nobody_is_there(Duration::from_secs(2));
    assert_eq!(desk.end(&mut seen), "NotAllowedAnyMore");
    assert_eq!(desk.end(&mut other), "NotAllowedAnyMore");
}

#[test]
fn a_password_that_is_kept_opens_a_desktop_is_seen_by_nobody_and_the_session_is_recorded_under_seal() {
    let Some(desk) = Desk::new("fbdr") else { return };
    let api = &desk.bastion.world.api;
    desk.bastion.give("db", ADMIN_LOGIN);
    desk.set(json!({"enableTunneling": true, "enableSessionRecording": true}));
    let keep = json!({"protocol": "vnc", "password": PASSWORD});
    let kept = api.post(&desk.about("keepCredential"), &keep).unwrap();
    assert_eq!((&kept["name"], &kept["properties"]["account"]), (&json!("vnc"), &Value::Null), "{kept}");
    let list = api.get(&desk.about("credentials")).unwrap();
    assert_eq!(list["value"], json!([kept]));
    for wrong in [
        json!({"protocol": "vnc", "account": "root", "password": PASSWORD}),
        json!({"protocol": "rdp", "password": PASSWORD}),
        json!({"protocol": "vnc", "password": ""}),
        json!({"protocol": "vnc", "password": 12_345_678}),
    ] {
        let refused = api.post(&desk.about("keepCredential"), &wrong).unwrap_err().to_string();
        assert!(refused.contains("InvalidParameter") && !refused.contains("12345678"), "{refused}");
    }

    let mut seen = desk.enter(&desk.begin(None).unwrap());
    let truth = desk.until_exact(&mut seen);
    assert_eq!(seen.told[0]["recorded"], "full");
    desk.post(&format!("sessions/{}/end", seen.session), &json!({})).unwrap();
    assert_eq!(desk.end(&mut seen), "Disconnected");
    desk.nobody_is_there(SOON);

    let recordings = api.get(&desk.about("recordings")).unwrap();
    let properties = &recordings["value"][0]["properties"];
    assert_eq!(
        (&properties["protocol"], &properties["columns"], &properties["state"]),
        (&json!("vnc"), &json!(640), &json!("closed"))
    );
    let play = |format: &str| {
        api.post(&desk.about("playRecording"), &json!({"id": seen.session, "format": format}))
            .map_err(|e| e.to_string())
    };
    let played = play("frames").unwrap();
    assert_eq!((&played["shows"], &played["closed"]), (&json!("desktop"), &json!(true)));
    let lines = played["frames"].as_array().unwrap();
    assert_eq!((&lines[0][1], &lines[0][2], &lines[1][1]), (&json!("g"), &json!("640x480"), &json!("T")));
    let mut decoder = Decoder::new(Size::new(640, 480));
    for line in lines.iter().filter(|line| line[1] == "T" || line[1] == "t") {
        decoder.apply(&STANDARD.decode(line[2].as_str().unwrap()).unwrap()).unwrap();
    }
    assert!(
        decoder.exact() && decoder.picture().pixels() == truth.pixels,
        "the recording shows something else"
    );
    for export in ["asciicast", "text"] {
        assert!(play(export).unwrap_err().contains("RecordingIsDesktop"));
    }
    let file = desk.bastion.world.dir.path().join(format!("server/recordings/{}.skr", seen.session));
    let log = desk.bastion.world.dir.path().join("log.jsonl");
    std::fs::write(&log, desk.bastion.world.site.sekisho(&["audit", "export"]).unwrap()).unwrap();
    let verify = ["recording", "verify", file.to_str().unwrap(), "--log", log.to_str().unwrap()];
    let said = desk.bastion.world.site.sekisho(&verify).unwrap();
    assert!(said.contains("it ends with its session"), "{said}");
    let said = desk.bastion.world.site.sekisho(&[&verify[..], &["--text"]].concat()).unwrap_err().to_string();
    assert!(said.contains("has no text"), "{said}");

    // A tunnel would pass by the recording.
    let machine = desk.bastion.machine("db");
    let refused = desk.bastion.ask_for(&machine, PORT);
    assert_eq!(refused["error"]["code"], "BastionRecordingRequired", "{refused}");

    // Whoever has none left logs in no more, and the password was told to nobody.
    api.post(&desk.about("removeCredential"), &json!({"protocol": "vnc"})).unwrap();
    assert!(api.post(&desk.about("removeCredential"), &json!({"protocol": "vnc"})).is_err());
    assert!(desk.begin(None).unwrap_err().contains("DesktopCredentialsMissing"));
    let said = desk.everything_said();
    assert!(said.contains("Sekisho.Bastion/keepCredential/action") && said.contains("removeCredential"));
    assert!(!said.contains(PASSWORD) && !kept.to_string().contains(PASSWORD), "the password is told");

    // Nowhere to write: nothing begins.
    let directory = desk.bastion.world.dir.path().join("server/recordings");
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::write(&directory, "no directory").unwrap();
    let refused = desk.begin(Some(PASSWORD)).unwrap_err();
    assert!(refused.contains("RecordingFailed"), "{refused}");
    assert!(desk.bastion.sessions().is_empty());
}

/// Has a text in the clipboard of a display, until somebody else has one there.
fn copy(display: &Display, text: &str) -> Child {
    let mut command = display.command("xclip");
    command.args(["-selection", "clipboard", "-in", "-quiet"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let began = Instant::now();
    while pasted(display) != text {
        assert!(began.elapsed() < SOON, "nothing is in the clipboard");
    }
    child
}

/// What a program on a display would paste.
fn pasted(display: &Display) -> String {
    let output = display.command("xclip").args(["-selection", "clipboard", "-out"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nothing_is_copied_out_of_a_desktop_or_pasted_where_its_host_forbids_it_and_else_by_its_owner_alone() {
    let Some(desk) = Desk::new("fbdk") else { return };
    desk.bastion.give("db", ADMIN_LOGIN);
    desk.set(json!({"disableCopyPaste": true}));
    let mut seen = desk.enter(&desk.begin(Some(PASSWORD)).unwrap());
    desk.until_exact(&mut seen);
    let clipboard = |seen: &Seen| (seen.told[0]["copy"].clone(), seen.told[0]["paste"].clone());
    let texts = |seen: &Seen| {
        let told = seen.told.iter().filter(|told| told["kind"] == "clipboard");
        told.map(|told| told["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(clipboard(&seen), (json!(false), json!(false)));
    let mut owner = copy(&desk.display, "secret");
    desk.say(&mut seen, &json!({"kind": "clipboard", "text": "pasted"}));
    // What was done before has been done when this is seen.
    desk.press(&mut seen, &["KeyO", "KeyK", "Enter"]);
    let began = Instant::now();
    while desk.line().is_empty() {
        assert!(began.elapsed() < SOON && desk.next(&mut seen), "what was typed does not arrive");
    }
    desk.until_exact(&mut seen);
    assert_eq!((pasted(&desk.display), texts(&seen)), ("secret".to_owned(), Vec::new()));
    desk.post(&format!("sessions/{}/end", seen.session), &json!({})).unwrap();
    assert_eq!(desk.end(&mut seen), "Disconnected");
    let _ = owner.kill();
    let _ = owner.wait();

    desk.set(json!({"disableCopyPaste": false}));
    let mut seen = desk.enter(&desk.begin(Some(PASSWORD)).unwrap());
    let join = json!({"mode": "interactive"});
    let mut other = desk.enter(&desk.post(&format!("sessions/{}/watch", seen.session), &join).unwrap());
    desk.until_exact(&mut seen);
    desk.until_exact(&mut other);
    assert_eq!(clipboard(&seen), (json!(true), json!(true)));
    assert_eq!(clipboard(&other), (json!(false), json!(false)));
    let mut owner = copy(&desk.display, "copied");
    assert_eq!(desk.hears(&mut seen, "clipboard")["text"], "copied");
    // Whoever has joined types, and has no part in the clipboard.
    let before = desk.display.picture().unwrap();
    desk.say(&mut other, &json!({"kind": "clipboard", "text": "theirs"}));
    desk.press(&mut other, &["KeyZ"]);
    let began = Instant::now();
    while desk.display.picture().unwrap() == before {
        assert!(began.elapsed() < SOON, "what was typed is not to be seen");
    }
    desk.until_exact(&mut other);
    assert_eq!((pasted(&desk.display), texts(&other)), ("copied".to_owned(), Vec::new()));
    desk.say(&mut seen, &json!({"kind": "clipboard", "text": "pasted"}));
    // Whoever has something in a clipboard is told when somebody else has.
    let began = Instant::now();
    while owner.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < SOON, "nothing is pasted");
    }
    assert_eq!(pasted(&desk.display), "pasted");
}

/// FreeRDP's server before a display, which lets in `jun` by network level authentication. What it has is in `home`, also the
/// certificate that it makes for itself.
struct Shadow(Child);

impl Drop for Shadow {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Shadow {
    fn start(display: &Display, host: &Host, home: &Path) -> Shadow {
        std::fs::create_dir_all(home).unwrap();
        let sam = home.join("sam");
        // The MD4 of the password in UTF-16.
        std::fs::write(&sam, "jun:::b5db700c28be40bba22c94222f8a883f:::\n").unwrap();
        let log = std::fs::File::create(home.with_extension("log")).unwrap();
        let child = display
            .command(SHADOW)
            .args(["/port:3389", "/sec:nla", &format!("/sam-file:{}", sam.display())])
            .env("HOME", home)
            .env("XDG_CONFIG_HOME", home)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while host.connect_tcp(([127, 0, 0, 1], 3389).into(), SOON).is_err() {
            assert!(began.elapsed() < SOON, "the RDP server does not listen");
        }
        Shadow(child)
    }
}

#[test]
fn an_rdp_server_is_known_by_the_certificate_that_it_showed_first_until_somebody_has_it_forgotten() {
    if unable().is_some() {
        return;
    }
    let shadow = ["/usr/bin", "/usr/sbin"].map(|dir| Path::new(dir).join(SHADOW));
    if !shadow.iter().any(|path| path.exists()) {
        return skipped("there is no RDP server (freerdp-shadow-cli)");
    }
    let world = World::new("fbdc");
    let host = world.site.machine("db").unwrap().host.clone();
    let display = Display::bare(&host, 640, 480).unwrap();
    let terminal = display.command("sleep").arg("1000").spawn().unwrap();
    let homes = ["one", "other"].map(|name| world.dir.path().join(name));
    let server = Shadow::start(&display, &host, &homes[0]);
    let desk = Desk { bastion: Bastion::before(world), display, terminal };
    let api = &desk.bastion.world.api;
    desk.bastion.give("db", ADMIN_LOGIN);
    let begin = |account: &str, password: Option<&str>| {
        let mut body = json!({"machine": desk.bastion.machine("db"), "protocol": "rdp", "account": account,
            "width": 640, "height": 480});
        if let Some(password) = password {
            body["password"] = password.into();
        }
        desk.post("desktops", &body)
    };
    let keep = json!({"protocol": "rdp", "account": "jun", "password": PASSWORD});
    assert_eq!(api.post(&desk.about("keepCredential"), &keep).unwrap()["name"], "rdp-jun");
    assert!(begin("rin", None).unwrap_err().contains("DesktopCredentialsMissing"));
    let refused = begin("jun", Some("not-this")).unwrap_err();
    assert!(refused.contains("DesktopCredentialsRefused"), "{refused}");
    let certificates = || api.get(&desk.about("desktopCertificates")).unwrap()["value"].clone();
    assert_eq!(certificates(), json!([]));

    let mut seen = desk.enter(&begin("jun", None).unwrap());
    let began = Instant::now();
    while !seen.framed {
        assert!(began.elapsed() < SOON && desk.next(&mut seen), "nothing is seen: {:?}", seen.told);
    }
    assert_eq!((&seen.told[0]["protocol"], &seen.told[0]["account"]), (&json!("rdp"), &json!("jun")));
    desk.post(&format!("sessions/{}/end", seen.session), &json!({})).unwrap();
    assert_eq!(desk.end(&mut seen), "Disconnected");
    let known = certificates();
    assert_eq!(
        (known.as_array().unwrap().len(), &known[0]["properties"]["port"]),
        (1, &json!(3389)),
        "{known}"
    );

    // Somebody else answers in its place.
    drop(server);
    let _server = Shadow::start(&desk.display, &host, &homes[1]);
    for password in [None, Some(PASSWORD)] {
        let refused = begin("jun", password).unwrap_err();
        assert!(refused.contains("DesktopCertificateChanged"), "{refused}");
    }
    desk.nobody_is_there(SOON);
    assert_eq!(certificates(), known);
    api.post(&desk.about("forgetDesktopCertificate"), &json!({"port": 3389})).unwrap();
    assert!(api.post(&desk.about("forgetDesktopCertificate"), &json!({"port": 3389})).is_err());
    drop(desk.enter(&begin("jun", None).unwrap()));
    let now = certificates();
    assert_ne!(now[0]["properties"]["fingerprint"], known[0]["properties"]["fingerprint"]);
    let said = desk.everything_said();
    assert!(said.contains("Sekisho.Bastion/forgetDesktopCertificate/action") && !said.contains(PASSWORD));
}
