//! xrdp with TLS, and FreeRDP's server with network level authentication.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use sekisho_bastion_desktop::rdp::{self, Keyboard, Login};
use sekisho_bastion_desktop::{Desktop, Exit, Input, Next, Policy, Pump, Refused, Secret, Size};
use sekisho_lab::{Display, Host, Lab, PASSWORD};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::kit::{
    Looked, PATIENCE, PLASMA, connect, copy, ended, lab, listens, paint, pasted, size, terminal,
};

const ALL: Policy = Policy { copy: true, paste: true };

/// A server that shows a display by RDP on port 3389.
struct Server {
    display: Display,
    host: Host,
    dir: TempDir,
    server: Child,
    _lab: Lab,
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
        let server = Server { display, host, dir, server, _lab: lab };
        listens(&server.host, 3389);
        server
    }

    /// xrdp in front of a display, the sessions of which it asks nobody about.
    fn xrdp(prefix: &str, width: u16, height: u16) -> Option<Server> {
        let (lab, host) = lab(prefix, &["xrdp", "Xvnc", "xwd", "display", "xterm", "xclip"])?;
        let display = Display::vnc(&host, width, height).unwrap();
        let dir = directory();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(["vm".to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(path("cert.pem"), certificate.pem()).unwrap();
        fs::write(path("key.pem"), key.serialize_pem()).unwrap();
        let config = format!(
            "[Globals]\nini_version=1\nfork=false\nport=3389\ntcp_nodelay=true\nsecurity_layer=tls\n\
             certificate={}\nkey_file={}\nssl_protocols=TLSv1.2, TLSv1.3\nautorun=Lab\nallow_channels=true\n\
             bitmap_cache=true\nbitmap_compression=true\nbulk_compression=true\nmax_bpp=32\nnew_cursors=true\n\
             use_fastpath=both\n[Logging]\nLogFile={}\nLogLevel=DEBUG\nEnableSyslog=false\n\
             [Channels]\ncliprdr=true\ndrdynvc=true\n\
             [Lab]\nname=Lab\nlib=libvnc.so\nusername=na\npassword={PASSWORD}\nip=127.0.0.1\nport=5900\n",
            path("cert.pem"),
            path("key.pem"),
            path("log"),
        );
        fs::write(path("xrdp.ini"), config).unwrap();
        let ini = path("xrdp.ini");
        Some(Server::run(lab, host, display, dir, &["xrdp", "--nodaemon", "--config", &ini]))
    }

    /// FreeRDP's server, which lets in `jun` with [`PASSWORD`] by network level authentication.
    fn nla(prefix: &str, width: u16, height: u16) -> Option<Server> {
        let (lab, host) = lab(prefix, &["freerdp-shadow-cli", "Xvfb", "xwd", "display", "xterm"])?;
        let display = Display::bare(&host, width, height).unwrap();
        let dir = directory();
        let sam = dir.path().join("sam").display().to_string();
        fs::write(&sam, format!("jun:::{}:::\n", NT_HASH)).unwrap();
        let sam = format!("/sam-file:{sam}");
        let arguments = ["freerdp-shadow-cli", "/port:3389", "/sec:nla", &sam, "-gfx"];
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
        read("said") + &read("log")
    }
}

/// MD4 of [`PASSWORD`] in UTF-16, as a SAM file has it.
const NT_HASH: &str = "b5db700c28be40bba22c94222f8a883f";

fn directory() -> TempDir {
    // Not in /tmp, of which the server has its own.
    tempfile::Builder::new().prefix("sekisho-rdp-").tempdir_in("/var/tmp").unwrap()
}

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
