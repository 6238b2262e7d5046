//! xrdp with TLS, and FreeRDP's server with network level authentication.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use sekisho_bastion_desktop::rdp::{self, Keyboard, Login};
use sekisho_bastion_desktop::tile::Decoder;
use sekisho_bastion_desktop::{Desktop, Exit, Input, Next, Policy, Pump, Refused, Secret, Size};
use sekisho_lab::{Display, Host, Lab, PASSWORD};
use tempfile::TempDir;

use crate::kit::{
    Looked, PATIENCE, PLASMA, connect, copy, ended, lab, listens, paint, pasted, same, size, terminal,
};

const ALL: Policy = Policy { copy: true, paste: true };

/// A server that shows a display by RDP on port 3389.
struct Server {
    display: Display,
    host: Host,
    dir: TempDir,
    server: Child,
    lab: Lab,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Programs that write outside of their directory write where it is gone with them.
const OWN_FILES: &str = "mount -t tmpfs -o mode=1777 tmpfs /tmp && mount -t tmpfs tmpfs /run && \
                         mkdir -p /run/xrdp/sockdir && exec \"$@\"";

impl Server {
    fn run(lab: Lab, host: Host, display: Display, dir: TempDir, arguments: &[&str]) -> Server {
        let log = fs::File::create(dir.path().join("said")).unwrap();
        let server = host
            .command("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", OWN_FILES, "sh"])
            .args(arguments)
            .env("HOME", dir.path())
            .env("XDG_CONFIG_HOME", dir.path())
            .env("DISPLAY", ":1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Server { display, host, dir, server, lab };
        assert!(listens(&server.host, 3389, &mut server.server), "nobody listens\n{}", server.said());
        server
    }

    /// xrdp in front of a display, the sessions of which it asks nobody about.
    fn xrdp(prefix: &str, width: u16, height: u16) -> Option<Server> {
        Server::xrdp_with(prefix, width, height, "TLSv1.2, TLSv1.3")
    }

    fn xrdp_with(prefix: &str, width: u16, height: u16, tls: &str) -> Option<Server> {
        let (lab, host) = lab(prefix, &["xrdp", "Xvnc", "xwd", "display", "xterm", "xclip"])?;
        let display = Display::vnc(&host, width, height).unwrap();
        let dir = directory();
        let path = |name: &str| dir.path().join(name).display().to_string();
        certify(dir.path());
        let config = format!(
            "{}[Lab]\nname=Lab\nlib=libvnc.so\nusername=na\npassword={PASSWORD}\nip=127.0.0.1\nport=5900\n",
            globals(dir.path(), "Lab", tls)
        );
        fs::write(path("xrdp.ini"), config).unwrap();
        let ini = path("xrdp.ini");
        Some(Server::run(lab, host, display, dir, &["xrdp", "--nodaemon", "--config", &ini]))
    }

    /// xrdp with sessions of its own, in which `root` logs in with [`PASSWORD`].
    fn session(prefix: &str) -> Option<Server> {
        let programs = ["xrdp", "xrdp-sesman", "xrdp-chansrv", "Xvnc", "xwd", "display", "xclip", "openssl"];
        let (lab, host) = lab(prefix, &programs)?;
        let dir = directory();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let host = host.with_own_files(dir.path()).unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        certify(dir.path());
        let hash = host.command("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap().stdout;
        let hash = String::from_utf8(hash).unwrap();
        let set = host.command("usermod").args(["-p", hash.trim(), "root"]).status().unwrap();
        assert!(set.success());
        let painted = "#!/bin/sh\ndisplay -window root -size 100x100 xc:navy\nexec sleep 1000\n";
        fs::write(path("etc/xrdp/startwm.sh"), painted).unwrap();
        let sesman = fs::read_to_string("/etc/xrdp/sesman.ini").unwrap();
        let sesman = sesman
            .replace("LogFile=xrdp-sesman.log", &format!("LogFile={}", path("sesman.log")))
            .replace("EnableSyslog=true", "EnableSyslog=false")
            .replace("#EnableFuseMount=false", "EnableFuseMount=false")
            .replace("LogLevel=INFO", "LogLevel=TRACE");
        fs::write(path("etc/xrdp/sesman.ini"), sesman).unwrap();
        let config = format!(
            "{}[Xvnc]\nname=Xvnc\nlib=libvnc.so\nusername=ask\npassword=ask\nip=127.0.0.1\nport=-1\ncode=0\n",
            globals(dir.path(), "Xvnc", "TLSv1.2, TLSv1.3")
        );
        fs::write(path("xrdp.ini"), config).unwrap();
        let both = "xrdp-sesman --nodaemon --config \"$0/etc/xrdp/sesman.ini\" & exec xrdp --nodaemon --config \"$0/xrdp.ini\"";
        let display = Display::of(&host, ":10", &dir.path().join("home/root/.Xauthority"));
        let root = dir.path().display().to_string();
        Some(Server::run(lab, host, display, dir, &["sh", "-c", both, &root]))
    }

    /// FreeRDP's server, which lets in `jun` with [`PASSWORD`] by network level authentication.
    fn nla(prefix: &str, width: u16, height: u16) -> Option<Server> {
        let programs = ["freerdp-shadow-cli", "xfreerdp", "Xvfb", "xwd", "display", "xterm"];
        let (lab, host) = lab(prefix, &programs)?;
        let display = Display::bare(&host, width, height).unwrap();
        let dir = directory();
        let sam = dir.path().join("sam").display().to_string();
        fs::write(&sam, format!("jun:::{}:::\n", NT_HASH)).unwrap();
        let sam = format!("/sam-file:{sam}");
        let arguments = ["freerdp-shadow-cli", "/port:3389", "/sec:nla", &sam];
        Some(Server::run(lab, host, display, dir, &arguments))
    }

    async fn start(&self, login: &Login, size: Size, policy: Policy) -> Result<(Desktop, Pump), Refused> {
        rdp::start(connect(&self.host, 3389), login.clone(), size, policy, |_| true).await
    }

    async fn look(&self, login: &Login, size: Size) -> Looked {
        let started = self.start(login, size, ALL).await;
        Looked::at(started.unwrap_or_else(|error| panic!("{error}\n{}", self.said())))
    }

    fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("said")
            + &read("log")
            + &read("sesman.log")
            + &read("home/root/.local/share/xrdp/xrdp-chansrv.10.log")
    }
}

/// MD4 of [`PASSWORD`] in UTF-16, as a SAM file has it.
const NT_HASH: &str = "b5db700c28be40bba22c94222f8a883f";

fn directory() -> TempDir {
    // Not in /tmp, of which the server has its own.
    tempfile::Builder::new().prefix("sekisho-rdp-").tempdir_in("/var/tmp").unwrap()
}

/// A certificate of xrdp's own.
fn certify(dir: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["vm".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(dir.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}

/// What xrdp is told, for a session of that name.
fn globals(dir: &Path, session: &str, tls: &str) -> String {
    let path = |name: &str| dir.join(name).display().to_string();
    format!(
        "[Globals]\nini_version=1\nfork=false\nport=3389\ntcp_nodelay=true\nsecurity_layer=tls\n\
         certificate={}\nkey_file={}\nssl_protocols={tls}\nautorun={session}\nallow_channels=true\n\
         bitmap_cache=true\nbitmap_compression=true\nbulk_compression=true\nmax_bpp=32\nnew_cursors=true\n\
         use_fastpath=both\n[Logging]\nLogFile={}\nLogLevel=DEBUG\nEnableSyslog=false\n\
         [Channels]\ncliprdr=true\ndrdynvc=true\n",
        path("cert.pem"),
        path("key.pem"),
        path("log"),
    )
}

/// `navy`.
const NAVY: u32 = 0x80;

fn login() -> Login {
    Login {
        account: "jun".into(),
        password: Secret::new(PASSWORD.to_owned()),
        domain: None,
        keyboard: Keyboard::American,
    }
}

#[tokio::test]
async fn what_xrdp_shows_is_shown_and_recorded_to_the_pixel() {
    let Some(server) = Server::xrdp("deskxrdpsee", 800, 600) else { return };
    let mut looked = server.look(&login(), size(800, 600)).await;
    paint(&server.display, PLASMA);
    let mut shell = terminal(&server.display, "seq 1 400; sleep 1000");
    looked.viewer.until_same(&server.display).await;
    let truth = server.display.picture().unwrap();
    let (exit, tape) = looked.end().await;
    assert_eq!(exit, Exit::Here);
    assert_eq!(tape.decoder.unwrap().picture().pixels(), truth.pixels);
    let _ = shell.kill();
    let _ = shell.wait();
}

#[tokio::test]
async fn keys_and_text_of_an_american_keyboard_arrive_through_xrdp_and_older_tls() {
    let Some(server) = Server::xrdp_with("deskxrdptype", 800, 600, "TLSv1.2") else { return };
    let mut looked = server.look(&login(), size(800, 600)).await;
    looked.viewer.until_same(&server.display).await;
    let file = server.dir.path().join("typed");
    let script = format!("printf ready; IFS= read -r line; printf %s \"$line\" > {}", file.display());
    let shell = terminal(&server.display, &script);
    looked.viewer.point(100, 50, 0).await;
    looked.viewer.until_still(|decoder| decoder.picture().pixels().iter().any(|pixel| *pixel != 0)).await;
    let viewer = &looked.viewer;
    for codes in [&["KeyS"][..], &["ShiftLeft", "KeyE"], &["Digit4"], &["ShiftRight", "Digit1"], &["Slash"]] {
        viewer.press(codes).await;
    }
    viewer.view.input(Input::Text("~Ab|".into())).await;
    viewer.press(&["Enter"]).await;
    ended(shell).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "sE4!/~Ab|");
    assert!(server.said().contains("TLSv1.2 with cipher"), "{}", server.said());
}

#[tokio::test]
async fn japanese_text_goes_through_the_clipboard_of_a_session_both_ways() {
    let Some(server) = Server::session("deskxrdpclip") else { return };
    let root = Login { account: "root".into(), ..login() };
    let mut looked = server.look(&root, size(640, 480)).await;
    // The session paints itself when it is there.
    looked.viewer.until_still(|decoder| decoder.picture().pixels().iter().all(|pixel| *pixel == NAVY)).await;
    assert!(same(&looked.viewer.decoder, &server.display.picture().unwrap()));
    looked.viewer.view.input(Input::Clipboard("貼り付け".into())).await;
    let began = std::time::Instant::now();
    while pasted(&server.display).await != "貼り付け" {
        assert!(began.elapsed() < PATIENCE, "{}", server.said());
    }
    let text = "クリップボード\nはここまで";
    let mut owner = copy(&server.display, text);
    let copied = looked.viewer.until(|next| match next {
        Next::Clipboard(text) => Some(text.clone()),
        _ => None,
    });
    assert_eq!(copied.await, text);
    let _ = owner.kill();
    let _ = owner.wait();
    let (_, tape) = looked.end().await;
    assert_eq!(tape.clipboard, [(true, 4), (false, text.chars().count())]);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_before_anything_is_said_of_the_login() {
    let Some(server) = Server::xrdp("deskxrdpcert", 640, 480) else { return };
    let certificate = fs::read_to_string(server.dir.path().join("cert.pem")).unwrap();
    let mut seen = Vec::new();
    let stream = connect(&server.host, 3389);
    let refused = rdp::start(stream, login(), size(640, 480), ALL, |der| {
        seen = der.to_vec();
        false
    });
    assert!(matches!(refused.await, Err(Refused::Certificate)));
    let pem: String = certificate.lines().filter(|line| !line.starts_with("---")).collect();
    assert_eq!(base64(&seen), pem);
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// In decibels; nothing differs above 100.
fn likeness(shown: &[u32], truth: &[u32]) -> f64 {
    let squares = shown.iter().zip(truth).flat_map(|(a, b)| {
        let (a, b) = (a.to_be_bytes(), b.to_be_bytes());
        (1..4).map(move |at| f64::from(i32::from(a[at]) - i32::from(b[at])).powi(2))
    });
    let mean = squares.sum::<f64>() / (3 * truth.len()) as f64;
    10.0 * (255.0_f64.powi(2) / mean.max(1e-6)).log10()
}

#[tokio::test]
async fn a_desktop_behind_network_level_authentication_is_shown_as_remotefx_has_it() {
    let Some(server) = Server::nla("desknlasee", 800, 600) else { return };
    let mut looked = server.look(&login(), size(800, 600)).await;
    paint(&server.display, "xc:navy");
    let mut shell = terminal(&server.display, "seq 1 400; sleep 1000");
    let alike = |decoder: &Decoder| {
        let truth = server.display.picture().unwrap();
        let likeness = likeness(decoder.picture().pixels(), &truth.pixels);
        likeness >= 50.0
    };
    looked.viewer.until_still(alike).await;
    let _ = shell.kill();
    let _ = shell.wait();
}

/// FreeRDP's own client, on a host of its own, which fills a display with what it sees.
struct Reference {
    display: Display,
    client: Child,
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Reference {
    fn of(server: &Server, width: u16, height: u16) -> Reference {
        let host = server.lab.host("client", "10.77.0.5/24").unwrap();
        let display = Display::bare(&host, width, height).unwrap();
        let client = display
            .command("xfreerdp")
            .args([
                "/v:10.77.0.4",
                "/u:jun",
                &format!("/p:{PASSWORD}"),
                "/cert:ignore",
                "/rfx",
                "-decorations",
            ])
            .args([format!("/size:{width}x{height}"), "/bpp:32".to_owned()])
            .env("HOME", server.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Reference { display, client }
    }
}

#[tokio::test]
async fn remotefx_is_decoded_as_its_reference_does_it_and_loses_only_what_the_server_leaves_out() {
    let Some(server) = Server::nla("desknlaref", 800, 600) else { return };
    let reference = Reference::of(&server, 800, 600);
    let mut looked = server.look(&login(), size(800, 600)).await;
    // The server rounds what it sends: nobody sees more of noise than these decibels beside the display.
    for (what, beside_display) in
        [("gradient:black-white", 50.0), (PLASMA, 30.0), ("xc:navy", 50.0), ("text", 50.0)]
    {
        let shell = match what {
            "text" => Some(terminal(&server.display, "seq 1 400; sleep 1000")),
            _ => {
                paint(&server.display, what);
                None
            }
        };
        let alike = |decoder: &Decoder| {
            let [truth, theirs] = [&server.display, &reference.display].map(|d| d.picture().unwrap().pixels);
            let ours = decoder.picture().pixels();
            likeness(ours, &theirs) >= 50.0 && likeness(ours, &truth) >= beside_display
        };
        looked.viewer.until_still(alike).await;
        if let Some(mut shell) = shell {
            let _ = shell.kill();
            let _ = shell.wait();
        }
    }
}

#[tokio::test]
async fn keys_arrive_behind_network_level_authentication() {
    let Some(server) = Server::nla("desknlatype", 800, 600) else { return };
    let mut looked = server.look(&login(), size(800, 600)).await;
    let file = server.dir.path().join("typed");
    let script = format!("printf ready; IFS= read -r line; printf %s \"$line\" > {}", file.display());
    let shell = terminal(&server.display, &script);
    looked.viewer.point(100, 50, 0).await;
    looked.viewer.until_still(|decoder| decoder.picture().pixels().iter().any(|pixel| *pixel != 0)).await;
    for codes in [&["KeyS"][..], &["ShiftLeft", "KeyE"], &["Digit4"], &["Enter"]] {
        looked.viewer.press(codes).await;
    }
    ended(shell).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "sE4");
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_network_level_authentication() {
    let Some(server) = Server::nla("desknlano", 640, 480) else { return };
    for (account, password) in [("jun", "not this"), ("nobody", PASSWORD)] {
        let wrong = Login { account: account.into(), password: Secret::new(password.to_owned()), ..login() };
        let refused = server.start(&wrong, size(640, 480), ALL).await;
        assert!(matches!(refused, Err(Refused::Credentials)), "{account}: {:?}", refused.err());
    }
    server.start(&login(), size(640, 480), ALL).await.unwrap();
}

#[tokio::test]
async fn a_session_takes_the_size_that_its_owner_would_like() {
    let Some(server) = Server::session("deskxrdpsize") else { return };
    let root = Login { account: "root".into(), ..login() };
    let mut looked = server.look(&root, size(640, 480)).await;
    let navy = |decoder: &Decoder| decoder.picture().pixels().iter().all(|pixel| *pixel == NAVY);
    looked.viewer.until_still(navy).await;
    looked.viewer.view.resize(size(900, 700)).await;
    looked.viewer.until(|next| (*next == Next::Size(size(900, 700))).then_some(())).await;
    paint(&server.display, PLASMA);
    looked.viewer.until_same(&server.display).await;
    let (_, tape) = looked.end().await;
    assert!(same(&tape.decoder.unwrap(), &server.display.picture().unwrap()));
}

#[tokio::test]
async fn a_size_that_is_asked_for_while_a_session_still_begins_is_taken_and_its_clipboard_too() {
    let Some(server) = Server::session("deskxrdpsoon") else { return };
    let root = Login { account: "root".into(), ..login() };
    let mut looked = server.look(&root, size(640, 480)).await;
    // As a window that is being dragged: the machine says much of its channels meanwhile.
    for side in [900, 700, 800, 1000] {
        looked.viewer.view.resize(size(side, side)).await;
        looked.viewer.until(|next| (*next == Next::Size(size(side, side))).then_some(())).await;
    }
    let navy = |decoder: &Decoder| decoder.picture().pixels().iter().all(|pixel| *pixel == NAVY);
    looked.viewer.until_still(navy).await;
    assert!(same(&looked.viewer.decoder, &server.display.picture().unwrap()));
    looked.viewer.view.input(Input::Clipboard("早い".into())).await;
    let began = std::time::Instant::now();
    while pasted(&server.display).await != "早い" {
        assert!(began.elapsed() < PATIENCE, "{}", server.said());
    }
}
