//! Who is let in, and who is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use russh::ChannelMsg;
use sekisho_bastion_ssh::authority::{Authority, seed};
use sekisho_bastion_ssh::certificate::{Pass, Permits, Person};
use sekisho_bastion_ssh::machine::{LoginError, Machine};
use sekisho_bastion_ssh::russh;
use tempfile::TempDir;
use tokio::net::TcpStream;

const SSHD: &str = "/usr/sbin/sshd";
const PRINCIPAL: &str = "sekisho-7";

/// An OpenSSH server that trusts an authority and lets `PRINCIPAL` in as the account that runs the tests.
struct Sshd {
    dir: TempDir,
    port: u16,
    server: Child,
    account: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: PathBuf) -> String {
    path.display().to_string()
}

impl Sshd {
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn start(authority: &Authority) -> Option<Sshd> {
        if !Path::new(SSHD).exists() {
            eprintln!("skipped: there is no {SSHD}");
            return None;
        }
        // The file of principals must be below nothing that others may write.
        let dir = tempfile::Builder::new().prefix("sekisho-sshd-").tempdir_in("/run").unwrap();
        let path = |name: &str| text(dir.path().join(name));
        run("chmod", &["755", &text(dir.path().to_owned())]);
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path("host")]);
        fs::write(dir.path().join("authority"), authority.line()).unwrap();
        fs::write(dir.path().join("principals"), format!("{PRINCIPAL}\n")).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nPidFile none\nUsePAM no\nTrustedUserCAKeys {}\n\
             AuthorizedPrincipalsFile {}\nAuthorizedKeysFile none\nPermitRootLogin prohibit-password\n",
            path("host"),
            path("authority"),
            path("principals")
        );
        fs::write(dir.path().join("config"), config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let server = Command::new(SSHD)
            .args(["-D", "-e", "-f", &path("config")])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let account = run("id", &["-un"]).trim().to_owned();
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed().as_secs() < 10,
                "{}",
                fs::read_to_string(dir.path().join("log")).unwrap()
            );
        }
        Some(Sshd { dir, port, server, account })
    }

    fn host_key(&self) -> String {
        fs::read_to_string(self.dir.path().join("host.pub")).unwrap()
    }

    async fn log_in(&self, pass: Pass, host_key: String) -> Result<Machine, LoginError> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        Machine::log_in(stream, &self.account, pass, &[host_key]).await
    }
}

fn person(principal: &str) -> Person<'_> {
    Person { named: "sekisho:alice", principal, permits: Permits { terminal: true, ..Permits::default() } }
}

/// What a program says, and how it ends.
async fn says(machine: &Machine, program: &str) -> (String, Option<u32>) {
    let mut channel = machine.channel().await.unwrap();
    channel.exec(true, program).await.unwrap();
    let (mut out, mut status) = (Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => out.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            _ => {}
        }
    }
    (String::from_utf8(out).unwrap(), status)
}

#[tokio::test]
async fn openssh_lets_in_whoever_has_a_fresh_certificate_of_ours_for_the_name_that_is_let_in_and_nobody_else()
{
    let authority = Authority::new(&seed().unwrap());
    let Some(sshd) = Sshd::start(&authority) else { return };
    let pass = || Pass::issue(&authority, &person(PRINCIPAL)).unwrap();

    let machine = sshd.log_in(pass(), sshd.host_key()).await.unwrap();
    assert_eq!(says(&machine, "echo 関所; exit 3").await, ("関所\n".to_owned(), Some(3)));
    machine.leave().await;

    // Of another authority, or for a name that is not let in.
    let stranger = Authority::new(&seed().unwrap());
    let foreign = Pass::issue(&stranger, &person(PRINCIPAL)).unwrap();
    assert!(matches!(sshd.log_in(foreign, sshd.host_key()).await, Err(LoginError::Refused)));
    let other = Pass::issue(&authority, &person("sekisho-8")).unwrap();
    assert!(matches!(sshd.log_in(other, sshd.host_key()).await, Err(LoginError::Refused)));
    // A machine that shows another key than its agent has reported is not the machine.
    let another = authority.line();
    assert!(matches!(sshd.log_in(pass(), another).await, Err(LoginError::HostKey)));
}
