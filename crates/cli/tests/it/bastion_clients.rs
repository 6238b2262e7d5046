//! The SSH clients that people have, through the gate: a command with its exit status, and a file there and back, all of it
//! recorded. OpenSSH's own are in the tests of the gate.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::bastion::host;
use super::bastion_files::{noise, sha256};
use super::bastion_gate::{Client, recording_host, said, text};
use super::bastion_ssh::{ADMIN_LOGIN, Ssh};
use super::skipped;

/// What every client runs.
const COMMAND: &str = "echo 関所-$((6*7)); exit 5";
const NAME: &str = "関 所.bin";

/// The tests' machine as clients see it.
struct Clients {
    ssh: Ssh,
    client: Client,
    address: String,
    port: String,
    hash: String,
    recorded: usize,
}

impl Clients {
    fn new() -> Option<Clients> {
        let ssh = Ssh::new("fbo")?;
        ssh.bastion.give("db", ADMIN_LOGIN);
        let client = ssh.client();
        let world = &ssh.bastion.world;
        world.api.put(&host(world, ""), &recording_host(&json!({"enableFileCopy": true}))).unwrap();
        let (authority, _) = ssh.bastion.address.split_once('/').unwrap();
        let (address, port) = authority.rsplit_once(':').unwrap();
        let (address, port) = (address.to_owned(), port.to_owned());
        let content = noise(300_000);
        std::fs::write(client.path(NAME), &content).unwrap();
        Some(Clients { ssh, client, address, port, hash: sha256(&content), recorded: 0 })
    }

    fn path(&self, name: &str) -> String {
        self.client.path(name).display().to_string()
    }

    /// Runs a client that finds nothing of this computer's.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", self.client.dir.path()).env_remove("SSH_AUTH_SOCK");
        command.current_dir(self.client.dir.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// What is new in the recordings: of each the command, the exit, and the files.
    fn new_ones(&mut self, count: usize) -> Vec<(String, String, Vec<Value>)> {
        self.recorded += count;
        let all = self.ssh.recorded(self.recorded);
        let seen = all[..count].iter().rev().map(|recording| {
            let (command, files) = self.ssh.files(recording);
            (command, said("x", &self.ssh.frames(recording)), files)
        });
        seen.collect()
    }

    /// A command was run, and its output and status are what they are, here and in the recording.
    fn ran(&mut self, who: &str, done: &Output) {
        let shown = (text(&done.stdout).replace('\r', ""), done.status.code());
        assert_eq!(shown, ("関所-42\n".to_owned(), Some(5)), "{who}: {}", text(&done.stderr));
        let recorded = self.new_ones(1);
        assert_eq!((recorded[0].0.as_str(), recorded[0].1.as_str()), (COMMAND, "5"), "{who}");
    }

    /// A file has gone there and back in one session or two, and is recorded both ways.
    fn copied(&mut self, who: &str, sessions: usize, done: &Output) {
        assert!(done.status.success(), "{who}: {}{}", text(&done.stdout), text(&done.stderr));
        self.came_back(who, sessions);
    }

    fn came_back(&mut self, who: &str, sessions: usize) {
        let back = self.client.path("back");
        assert_eq!(sha256(&std::fs::read(&back).unwrap()), self.hash, "{who}");
        std::fs::remove_file(&back).unwrap();
        let files: Vec<_> = self.new_ones(sessions).into_iter().flat_map(|(.., files)| files).collect();
        for op in ["upload", "download"] {
            let whole = |file: &Value| file["op"] == op && file["sha256"] == self.hash.as_str();
            assert!(files.iter().any(whole), "{who} {op}: {files:#?}");
        }
    }

    /// PuTTY's programs, which know the gate and the machine by the authority of their host keys.
    fn putty(&mut self) {
        if Command::new("plink").arg("-V").output().is_err() {
            return skipped("PuTTY's programs are not here (plink)");
        }
        let line = std::fs::read_to_string(self.client.path("known_hosts")).unwrap();
        let key = line.split(' ').nth(3).unwrap().trim();
        let authorities = self.client.path(".putty/sshhostcas");
        std::fs::create_dir_all(&authorities).unwrap();
        let names = format!("*.sekisho || {}", self.address);
        let trust = format!(
            "PublicKey={key}\nValidity={names}\nPermitRSASHA1=0\nPermitRSASHA256=1\nPermitRSASHA512=1\n"
        );
        std::fs::write(authorities.join("sekisho"), trust).unwrap();
        let done = self.run("puttygen", &["key", "-O", "private", "-o", "key.ppk"]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let jump = format!(
            "plink -batch -P {} -i {} -nc db.sekisho:22 me@{}",
            self.port,
            self.path("key.ppk"),
            self.address
        );
        let through = ["-batch", "-proxycmd", &jump];
        let done = self.run("plink", &[&through[..], &["root@db.sekisho", COMMAND]].concat());
        self.ran("plink", &done);
        let batch = format!("put \"{NAME}\" putty.bin\nget putty.bin back\n");
        std::fs::write(self.client.path("batch"), batch).unwrap();
        let done = self.run("psftp", &[&through[..], &["-b", "batch", "root@db.sekisho"]].concat());
        self.copied("psftp", 1, &done);
        for scp in [&[][..], &["-scp"]] {
            let there = "root@db.sekisho:pscp.bin";
            let up = self.run("pscp", &[&through[..], scp, &[NAME, there]].concat());
            assert!(up.status.success(), "{}", text(&up.stderr));
            let down = self.run("pscp", &[&through[..], scp, &[there, "back"]].concat());
            self.copied("pscp", 2, &down);
        }
    }

    /// Writes the host keys down as such, for those who know no authorities, under the names by which they are known.
    fn known(&self, gate: &str) -> String {
        let once = ["-o", "UserKnownHostsFile=keys", "-o", "StrictHostKeyChecking=accept-new"];
        let plain = ["-o", "HostKeyAlgorithms=ssh-ed25519", "-o", "HashKnownHosts=no", "-F", "config"];
        for place in ["gate.sekisho", "db.sekisho"] {
            self.run("ssh", &[&once[..], &plain, &["-l", "root", place, "true"]].concat());
        }
        std::fs::read_to_string(self.client.path("keys")).unwrap().replace("gate.sekisho", gate)
    }

    /// Dropbear's, which knows neither Galois counter mode nor host certificates.
    fn dropbear(&mut self) {
        std::fs::create_dir(self.client.path(".ssh")).unwrap();
        std::fs::write(self.client.path(".ssh/known_hosts"), self.known(&self.address)).unwrap();
        self.new_ones(1);
        let done = self.run("dropbearconvert", &["openssh", "dropbear", "key", "key.dropbear"]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        let key = self.path("key.dropbear");
        let jump = format!("dbclient -i {key} -p {} -B db.sekisho:22 me@{}", self.port, self.address);
        let done = self.run("dbclient", &["-i", &key, "-J", &jump, "root@db.sekisho", COMMAND]);
        self.ran("dbclient", &done);
    }

    /// Libraries of Python: one knows host keys by themselves, the other by their authority.
    fn python(&mut self) {
        let Ok(python) = std::env::var("SEKISHO_SSH_CLIENTS") else {
            return skipped("SEKISHO_SSH_CLIENTS names no Python with asyncssh and paramiko");
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients.py");
        let gate = format!("[{}]:{}", self.address, self.port);
        let known = self.known(&gate);
        std::fs::write(self.client.path("keys"), known).unwrap();
        self.new_ones(1);
        for library in ["paramiko", "asyncssh"] {
            let name = format!("{library}.bin");
            let folder = self.client.dir.path().display().to_string();
            let gate = [&self.address, &self.port, &folder];
            let mut arguments = vec![script.to_str().unwrap(), library];
            arguments.extend(gate.map(String::as_str));
            arguments.extend([COMMAND, NAME, &name, "back"]);
            let done = self.run(&python, &arguments);
            assert_eq!(
                (text(&done.stdout), done.status.code()),
                ("関所-42\n".into(), Some(5)),
                "{library}: {}",
                text(&done.stderr)
            );
            self.came_back(library, 2);
        }
    }

    /// A folder of the machine as one of this computer's, which no other program sees.
    fn mounted(&mut self) {
        if Command::new("sshfs").arg("-V").output().is_err() {
            return skipped("sshfs is not here");
        }
        if std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
            return skipped("there is no FUSE here (/dev/fuse)");
        }
        std::fs::create_dir(self.client.path("mounted")).unwrap();
        let script = "sshfs -F \"$0\" -o direct_io root@db.sekisho: mounted && cp \"$1\" mounted/fs.bin \
                      && cp mounted/fs.bin back; status=$?; umount mounted; exit $status";
        let config = self.client.config().display().to_string();
        let arguments = ["--mount", "--propagation", "private", "sh", "-c", script, &config, NAME];
        let done = self.run("unshare", &arguments);
        self.copied("sshfs", 1, &done);
    }
}

#[test]
fn every_client_that_people_have_comes_in_copies_files_and_is_recorded_with_its_exit_status() {
    let Some(mut clients) = Clients::new() else { return };
    clients.dropbear();
    clients.python();
    clients.putty();
    clients.mounted();
}
