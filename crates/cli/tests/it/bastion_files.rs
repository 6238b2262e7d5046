//! Files beside a terminal, on a machine whose SSH server is OpenSSH as the distribution has it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sekisho_lab::Api;
use serde_json::{Value, json};

use super::bastion::host;
use super::bastion_ssh::{ADMIN_LOGIN, Ssh, Terminal};
use super::{SOON, skipped};

/// What one request carries at most.
const PIECE: usize = 8 << 20;

/// A session, and the home of its account as this machine sees it.
struct Files {
    ssh: Ssh,
    terminal: Terminal,
    home: PathBuf,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

/// Bytes that are nowhere the same.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mixed = |n: u32| n.wrapping_mul(2_654_435_761) ^ (n >> 7).wrapping_mul(40_503);
    (0..u32::try_from(length.div_ceil(4)).unwrap())
        .flat_map(|n| mixed(n).to_be_bytes())
        .take(length)
        .collect()
}

fn settings(limits: &Value) -> Value {
    json!({"location": "home", "sku": {"name": "Premium"}, "properties": {
        "enableFileCopy": true, "enableSessionRecording": true, "sekisho": limits}})
}

impl Ssh {
    /// What the log tells of files in a session: operation, status and particulars, the oldest first.
    pub(super) fn log_of(&self, session: &str) -> Vec<(String, String, Value)> {
        let world = &self.bastion.world;
        let mut next = format!(
            "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01\
             &$filter=correlationId%20eq%20'{session}'%20and%20eventTimestamp%20ge%20'2020-01-01T00:00:00Z'",
            world.site.subscription
        );
        let mut told = Vec::new();
        loop {
            let page = world.api.get(&next).unwrap();
            told.extend(page["value"].as_array().unwrap().iter().map(|event| {
                let operation = event["operationName"]["value"].as_str().unwrap().to_owned();
                let status = event["status"]["value"].as_str().unwrap().to_owned();
                (operation, status, event["properties"].clone())
            }));
            let Some(link) = page["nextLink"].as_str() else { break };
            next = link[link.find("/subscriptions/").unwrap()..].to_owned();
        }
        told.retain(|(operation, ..)| operation.ends_with("/action"));
        told.reverse();
        told
    }
}

impl Files {
    fn new(prefix: &str) -> Option<Files> {
        let ssh = Ssh::new(prefix)?;
        let files = ssh.bastion.world.site.machine("db").unwrap().host.own_files().unwrap().to_owned();
        let (etc, home) = (files.join("etc/ssh"), files.join("home/root"));
        if !fs::read_to_string(etc.join("sshd_config")).unwrap_or_default().contains("\nSubsystem\tsftp") {
            skipped("the OpenSSH server has no SFTP");
            return None;
        }
        ssh.bastion.give("db", ADMIN_LOGIN);
        let world = &ssh.bastion.world;
        world.api.put(&host(world, ""), &settings(&json!({}))).unwrap();
        let mut terminal = ssh.log_in("root");
        ssh.until(&mut terminal, "#");
        Some(Files { ssh, terminal, home })
    }

    fn limited(&self, limits: &Value) {
        let world = &self.ssh.bastion.world;
        world.api.put(&host(world, ""), &settings(limits)).unwrap();
    }

    /// What curl is told of a request, in a file, because of the token.
    fn request(&self, session: &str, what: &str, query: &str, more: &str) -> Command {
        let world = &self.ssh.bastion.world;
        let config = world.dir.path().join("curl");
        let text = format!(
            "url = \"https://{}/api/sessions/{session}/{what}?{query}\"\ncacert = \"{}\"\nsilent\ncompressed\n\
             header = \"Authorization: Bearer {}\"\n{more}",
            self.ssh.bastion.address,
            world.site.ca.display(),
            world.api.token()
        );
        fs::write(&config, text).unwrap();
        let mut curl = Command::new("curl");
        curl.arg("--config").arg(config).stdin(Stdio::null());
        curl
    }

    fn ask_in(&self, session: &str, what: &str, query: &str, more: &str) -> Answer {
        let dir = self.ssh.bastion.world.dir.path();
        let (headers, body) = (dir.join("headers"), dir.join("body"));
        let _ = fs::remove_file(&body);
        let mut curl = self.request(session, what, query, more);
        curl.arg("--dump-header")
            .arg(&headers)
            .arg("--output")
            .arg(&body)
            .args(["--write-out", "%{http_code}"]);
        let output = curl.output().unwrap();
        let status = String::from_utf8(output.stdout).unwrap().parse().unwrap();
        let headers = fs::read_to_string(headers).unwrap();
        Answer { status, headers, body: fs::read(body).unwrap_or_default() }
    }

    fn ask(&self, what: &str, query: &str, more: &str) -> Answer {
        self.ask_in(&self.terminal.session, what, query, more)
    }

    fn path(&self, name: &str) -> String {
        format!("/home/root/{name}")
    }

    fn list(&self, path: &str) -> Answer {
        self.ask("files", &format!("path={}", encoded(path)), "")
    }

    fn change(&self, change: &Value) -> Answer {
        let text = change.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        self.ask("files", "", &format!("header = \"content-type: application/json\"\ndata = \"{text}\"\n"))
    }

    fn down(&self, name: &str, more: &str) -> Answer {
        self.ask("content", &format!("path={}", encoded(&self.path(name))), more)
    }

    fn there(&self, name: &str) -> Answer {
        self.down(name, "head\n")
    }

    fn piece(&self, name: &str, (offset, total): (usize, usize), bytes: &[u8]) -> Answer {
        let file = self.ssh.bastion.world.dir.path().join("piece");
        fs::write(&file, bytes).unwrap();
        let query = format!("path={}&offset={offset}&total={total}", encoded(&self.path(name)));
        self.ask("content", &query, &format!("upload-file = \"{}\"\n", file.display()))
    }

    fn up(&self, name: &str, bytes: &[u8]) -> Answer {
        let mut offset = 0;
        loop {
            let piece = &bytes[offset..bytes.len().min(offset + PIECE)];
            let answer = self.piece(name, (offset, bytes.len()), piece);
            offset += piece.len();
            if answer.status != 200 || offset == bytes.len() {
                return answer;
            }
        }
    }

    /// What the log tells of files: operation, status and particulars, the oldest first.
    fn log(&self) -> Vec<(String, String, Value)> {
        self.ssh.log_of(&self.terminal.session)
    }

    /// Waits for an end of a deed, and returns its particulars.
    fn ended(&self, deed: &str, status: &str, path: &str) -> Value {
        let began = Instant::now();
        loop {
            let log = self.log();
            let found = log.iter().rev().find(|(operation, s, about)| {
                operation.ends_with(&format!("/{deed}/action")) && s == status && about["path"] == path
            });
            if let Some((.., about)) = found {
                return about.clone();
            }
            assert!(began.elapsed() < SOON, "{deed} {status} {path}: {log:#?}");
        }
    }

    fn parts(&self, folder: &Path) -> usize {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().contains("sekisho-part")).count()
    }
}

/// Reads so much of what a child says.
fn read(child: &mut Child, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    child.stdout.as_mut().unwrap().read_exact(&mut out).unwrap();
    out
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn files_go_both_ways_under_any_name_and_the_log_and_the_recording_tell_of_each() {
    let Some(files) = Files::new("ffa") else { return };
    let ready = &files.terminal.told[0];
    assert_eq!(
        (&ready["upload"], &ready["download"], &ready["maxFileBytes"]),
        (&json!(true), &json!(true), &Value::Null)
    );
    // Without a path it is the home.
    let home = files.ask("files", "", "").json();
    assert_eq!((&home["path"], &home["truncated"]), (&json!("/home/root"), &json!(false)), "{home}");

    let large = noise((9 << 20) + 7);
    for (name, bytes) in [
        ("plain.bin", &large[..]),
        ("with  spaces; $(x) \"'.txt", &b"quoted"[..]),
        ("関所.txt", "通る".as_bytes()),
        ("line\nbreak", &large[..100_000]),
        ("-rf", &b""[..]),
        (&"あ".repeat(85), &b"long"[..]),
    ] {
        let answer = files.up(name, bytes);
        assert_eq!(
            answer.json(),
            json!({"bytes": bytes.len(), "sha256": sha256(bytes)}),
            "{name}: {answer:?}"
        );
        assert!(fs::read(files.home.join(name)).unwrap() == bytes, "{name} is another there");
        let about = files.ended("upload", "Succeeded", &files.path(name));
        assert_eq!(
            (&about["bytes"], &about["sha256"]),
            (&json!(bytes.len().to_string()), &json!(sha256(bytes)))
        );

        let answer = files.down(name, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body == bytes, "{name} is another here");
        assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()));
        assert!(answer.header("content-disposition").unwrap().starts_with("attachment; filename*=UTF-8''"));
        assert_eq!(answer.header("content-security-policy"), Some("sandbox; default-src 'none'"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        let about = files.ended("download", "Succeeded", &files.path(name));
        assert_eq!(
            (&about["bytes"], &about["sha256"]),
            (&json!(bytes.len().to_string()), &json!(sha256(bytes)))
        );
    }
    assert_eq!(files.parts(&files.home), 0);
    let home = files.list("/home/root").json();
    let entries = home["entries"].as_array().unwrap();
    let one = entries.iter().find(|entry| entry["name"] == "line\nbreak").unwrap();
    assert_eq!(
        (&one["kind"], &one["bytes"], &one["mode"]),
        (&json!("file"), &json!(100_000), &json!("rw-r--r--"))
    );
    assert!(one["modified"].as_str().unwrap().starts_with("20"), "{one}");

    // Small changes.
    let path = |name: &str| files.path(name);
    assert_eq!(files.change(&json!({"op": "mkdir", "path": path("a b")})).status, 204);
    assert_eq!(
        files.change(&json!({"op": "mkdir", "path": path("a b")})).code(),
        (409, "FileExists".to_owned())
    );
    assert_eq!(files.change(&json!({"op": "rename", "path": path("-rf"), "to": path("a b/関")})).status, 204);
    let over = files.change(&json!({"op": "rename", "path": path("関所.txt"), "to": path("plain.bin")}));
    assert_eq!(over.code(), (409, "FileExists".to_owned()));
    assert!(fs::read(files.home.join("plain.bin")).unwrap() == large, "a rename replaced a file");
    assert_eq!(files.change(&json!({"op": "remove", "path": path("a b")})).code().0, 409);
    assert_eq!(files.change(&json!({"op": "remove", "path": path("a b/関")})).status, 204);
    assert_eq!(files.change(&json!({"op": "remove", "path": path("a b")})).status, 204);
    assert!(!files.home.join("a b").exists());
    assert_eq!(
        files.change(&json!({"op": "remove", "path": path("a b")})).code(),
        (404, "FileNotFound".to_owned())
    );
    // A link is removed, not what it leads to.
    std::os::unix::fs::symlink("plain.bin", files.home.join("link")).unwrap();
    assert_eq!(files.change(&json!({"op": "remove", "path": path("link")})).status, 204);
    assert!(files.home.join("plain.bin").exists());
    for (deed, at) in [("makeFolder", "a b"), ("rename", "-rf"), ("remove", "a b")] {
        files.ended(deed, "Succeeded", &path(at));
        files.ended(deed, "Started", &path(at));
    }
    assert_eq!(files.ended("rename", "Succeeded", &path("-rf"))["to"], path("a b/関"));
    files.ended("makeFolder", "Failed", &path("a b"));

    // What is no path, and what is not there.
    for bad in ["", "x", "/home/root/../../etc/shadow", "/home/./root", "/a\0b", "/a//b"] {
        assert_eq!(files.list(bad).status, 400, "{bad:?}");
        assert_eq!(files.ask("content", &format!("path={}", encoded(bad)), "").status, 400, "{bad:?}");
    }
    assert_eq!(files.ask("content", "", "").status, 400);
    assert_eq!(files.down("nowhere", "").code(), (404, "FileNotFound".to_owned()));
    assert_eq!(files.list("/nowhere").code(), (404, "FileNotFound".to_owned()));

    // The recording tells the same as the log.
    let Files { ssh, mut terminal, .. } = files;
    ssh.type_in(&mut terminal, "exit\r");
    while ssh.next(&mut terminal) {}
    let world = &ssh.bastion.world;
    let play = format!(
        "{}/providers/Sekisho.Bastion/playRecording?api-version=2026-09-01",
        ssh.bastion.machine("db")
    );
    let began = Instant::now();
    let lines: Vec<Value> = loop {
        let played = world.api.post(&play, &json!({"id": terminal.session})).unwrap();
        if played["closed"] == true {
            break played["frames"].as_array().unwrap().clone();
        }
        assert!(began.elapsed() < SOON, "{played}");
    };
    let told: Vec<Value> = lines
        .iter()
        .filter(|line| line[1] == "f")
        .map(|line| serde_json::from_str(line[2].as_str().unwrap()).unwrap())
        .collect();
    let first = json!({"path": "/home/root/plain.bin", "bytes": large.len(), "sha256": sha256(&large), "op": "upload"});
    assert_eq!(told[0], first);
    assert_eq!((&told[1]["op"], &told[1]["sha256"]), (&json!("download"), &first["sha256"]));
    assert!(told.iter().any(|line| line["op"] == "rename" && line["to"] == "/home/root/a b/関"), "{told:#?}");
    let cast = world.api.post(&play, &json!({"id": terminal.session, "format": "asciicast"})).unwrap();
    assert!(cast["content"].as_str().unwrap().contains("\"m\""), "{cast}");
}

#[test]
fn a_cut_costs_no_more_than_what_was_under_way_and_half_a_file_never_has_its_name() {
    let Some(files) = Files::new("ffb") else { return };
    let bytes = noise((20 << 20) + 11);
    fs::write(files.home.join("there"), "as it was").unwrap();
    fs::set_permissions(files.home.join("there"), fs::Permissions::from_mode(0o640)).unwrap();

    // Up: the first piece is sent whole, the second breaks off in its middle.
    assert_eq!(files.piece("there", (0, bytes.len()), &bytes[..PIECE]).json(), json!({"bytes": PIECE}));
    let query = format!("path={}&offset={PIECE}&total={}", encoded(&files.path("there")), bytes.len());
    let mut curl = files.request(&files.terminal.session, "content", &query, "upload-file = \"-\"\n");
    let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&bytes[PIECE..PIECE + (4 << 20)]).unwrap();
    kill(child);
    let kept: usize = files.there("there").header("content-length").unwrap().parse().unwrap();
    assert!(kept > PIECE && kept <= PIECE + (4 << 20), "{kept}");
    println!("{kept} bytes of {} were kept", PIECE + (4 << 20));
    assert_eq!(fs::read_to_string(files.home.join("there")).unwrap(), "as it was");
    assert_eq!(files.parts(&files.home), 1);

    // From elsewhere it does not go on.
    assert_eq!(
        files.piece("there", (PIECE, bytes.len()), &bytes[PIECE..2 * PIECE]).code(),
        (409, "UploadElsewhere".to_owned())
    );
    assert_eq!(files.piece("there", (kept, bytes.len() + 1), b"x").code(), (409, "UploadUnknown".to_owned()));
    assert_eq!(files.piece("other", (5, 10), b"x").code(), (409, "UploadUnknown".to_owned()));
    assert_eq!(files.there("other").status, 404);

    let second = kept + PIECE;
    assert_eq!(
        files.piece("there", (kept, bytes.len()), &bytes[kept..second]).json(),
        json!({"bytes": second})
    );
    let done = files.piece("there", (second, bytes.len()), &bytes[second..]);
    assert_eq!(done.json(), json!({"bytes": bytes.len(), "sha256": sha256(&bytes)}), "{done:?}");
    assert!(fs::read(files.home.join("there")).unwrap() == bytes, "it is another file");
    // Whose answer was lost asks again, and is told the same.
    assert_eq!(files.there("there").header("content-length"), Some(bytes.len().to_string().as_str()));
    assert_eq!(files.piece("there", (bytes.len(), bytes.len()), b"").json(), done.json());
    // It is as open to others as what it replaced.
    assert_eq!(fs::metadata(files.home.join("there")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(files.parts(&files.home), 0);
    let of_upload = |log: Vec<(String, String, Value)>| {
        log.iter().filter(|(operation, ..)| operation.ends_with("upload/action")).count()
    };
    assert_eq!(of_upload(files.log()), 2, "{:#?}", files.log());

    // Through a link, to where it leads.
    fs::create_dir(files.home.join("folder")).unwrap();
    std::os::unix::fs::symlink("folder/real", files.home.join("link")).unwrap();
    assert_eq!(files.up("link", b"through").status, 200);
    assert_eq!(fs::read_to_string(files.home.join("folder/real")).unwrap(), "through");
    files.ended("upload", "Succeeded", "/home/root/folder/real");

    // More than was said is not taken, nor more at once than is allowed.
    assert_eq!(files.piece("more", (0, 3), b"four").code(), (413, "RequestContentTooLarge".to_owned()));
    assert_eq!(files.piece("more", (4, 3), b"").status, 400);
    assert!(!files.home.join("more").exists());
    let much = files.piece("much", (0, 2 * PIECE), &bytes[..PIECE + 1]);
    assert_eq!(much.code(), (413, "RequestContentTooLarge".to_owned()));

    // Down.
    let query = format!("path={}", encoded(&files.path("there")));
    let mut child =
        files.request(&files.terminal.session, "content", &query, "").stdout(Stdio::piped()).spawn().unwrap();
    let mut have = read(&mut child, 5 << 20);
    kill(child);
    let cut = files.ended("download", "Failed", &files.path("there"));
    assert!(cut["range"].is_string() && cut["sha256"].is_null(), "{cut}");
    let etag = files.down("there", "head\nrequest = GET\n").header("etag").unwrap().to_owned();
    let ask = |from: usize, etag: &str| {
        let etag = etag.replace('"', "\\\"");
        format!("header = \"Range: bytes={from}-\"\nheader = \"If-Range: {etag}\"\n")
    };
    let rest = files.down("there", &ask(have.len(), &etag));
    assert_eq!(rest.status, 206);
    let range = format!("bytes {}-{}/{}", have.len(), bytes.len() - 1, bytes.len());
    assert_eq!(rest.header("content-range"), Some(range.as_str()));
    have.extend(&rest.body);
    assert!(have == bytes, "the halves do not fit");
    let about = files.ended("download", "Succeeded", &files.path("there"));
    assert_eq!((&about["range"], &about["sha256"]), (&json!(range), &Value::Null), "{about}");
    // Of another file there is no rest.
    let other = files.down("there", &ask(5, "\"another\""));
    assert!(other.status == 200 && other.body == bytes);
    let behind = files.down("there", &ask(bytes.len(), &etag));
    assert_eq!(behind.code(), (416, "RangeNotSatisfiable".to_owned()));
    fs::write(files.home.join("there"), "shorter").unwrap();
    let other = files.down("there", &ask(5, &etag));
    assert!(other.status == 200 && other.body == b"shorter");
}

#[test]
fn a_host_says_what_may_be_copied_at_every_moment_and_only_regular_files_are() {
    let Some(mut files) = Files::new("ffc") else { return };
    let code = |answer: Answer| answer.code();
    let is = |status: u16, code: &str| (status, code.to_owned());
    fs::write(files.home.join("secret"), "twelve bytes").unwrap();

    files.limited(&json!({"disableDownload": true}));
    assert_eq!(code(files.down("secret", "")), is(403, "DownloadDisabled"));
    assert_eq!(files.up("in", b"x").status, 200);
    files.limited(&json!({"disableUpload": true}));
    assert_eq!(code(files.up("in", b"y")), is(403, "UploadDisabled"));
    assert_eq!(
        code(files.change(&json!({"op": "remove", "path": files.path("in")}))),
        is(403, "UploadDisabled")
    );
    assert_eq!(files.there("in").status, 403);
    assert_eq!(files.down("in", "").body, b"x");
    files.limited(&json!({"maximumFileBytes": 11}));
    assert_eq!(code(files.down("secret", "")), is(403, "FileTooLarge"));
    assert_eq!(code(files.piece("large", (0, 12), b"x")), is(403, "FileTooLarge"));
    assert_eq!(code(files.piece("large", (0, 11), b"more than eleven")), is(413, "RequestContentTooLarge"));
    assert_eq!(files.up("small", b"eleven byte").status, 200);
    // What was begun under another setting does not go on under this one.
    assert_eq!(files.piece("begun", (0, 11), b"five-").status, 200);
    files.limited(&json!({"maximumFileBytes": 10}));
    assert_eq!(code(files.piece("begun", (5, 11), b"eleven")), is(403, "FileTooLarge"));
    files.limited(&json!({"disableUpload": true, "disableDownload": true}));
    assert_eq!(code(files.list("/")), is(403, "FileCopyDisabled"));
    assert!(!files.home.join("large").exists() && !files.home.join("begun").exists());
    files.limited(&json!({}));

    // No pipe is waited for, no device read.
    assert!(Command::new("mkfifo").arg(files.home.join("pipe")).status().unwrap().success());
    for path in ["/home/root/pipe", "/dev/zero", "/home/root", "/dev/null"] {
        let answer = files.ask("content", &format!("path={}", encoded(path)), "");
        assert_eq!(answer.code(), is(409, "NotAFile"), "{path}");
    }
    assert_eq!(code(files.up("pipe", b"x")), is(409, "NotAFile"));
    let kinds = files.list("/home/root").json();
    let kind = |name: &str| {
        kinds["entries"].as_array().unwrap().iter().find(|e| e["name"] == name).unwrap()["kind"].clone()
    };
    assert_eq!((kind("pipe"), kind("secret")), (json!("other"), json!("file")));
    // A folder with more than anybody looks through is not told whole.
    fs::create_dir(files.home.join("many")).unwrap();
    for n in 0..10_001 {
        fs::write(files.home.join(format!("many/{n}")), "").unwrap();
    }
    let many = files.list("/home/root/many").json();
    assert_eq!((many["entries"].as_array().unwrap().len(), &many["truncated"]), (10_000, &json!(true)));

    // A session that is none of one's own, or is none.
    let nobody = "11111111-2222-4333-8444-555555555555";
    for (what, more) in [("files", ""), ("content", ""), ("content", "head\n")] {
        assert_eq!(
            files.ask_in(nobody, what, "path=%2F&offset=0&total=0", more).status,
            410,
            "{what} {more}"
        );
    }
    let site = &files.ssh.bastion.world.site;
    let other = site.admin(&["service-principal", "create", "--name", "other"]).unwrap();
    let [app, password] = ["appId", "password"].map(|field| other[field].as_str().unwrap());
    let mut stranger = Api::sign_in(&site.url, &site.ca, &site.tenant, app, password).unwrap();
    std::mem::swap(&mut stranger, &mut files.ssh.bastion.world.api);
    assert_eq!(code(files.list("/home/root")), is(410, "SessionOver"));
    assert_eq!(code(files.down("secret", "")), is(410, "SessionOver"));
    assert_eq!(code(files.up("stranger", b"x")), is(410, "SessionOver"));
    std::mem::swap(&mut stranger, &mut files.ssh.bastion.world.api);
    assert_eq!(files.down("secret", "").body, b"twelve bytes");

    // Files go when the role does, in the middle of what is under way.
    let large = fs::File::create(files.home.join("endless")).unwrap();
    large.set_len(1 << 40).unwrap();
    let query = format!("path={}", encoded(&files.path("endless")));
    let mut down =
        files.request(&files.terminal.session, "content", &query, "").stdout(Stdio::piped()).spawn().unwrap();
    let mut out = down.stdout.take().unwrap();
    let mut some = vec![0; 1 << 20];
    out.read_exact(&mut some).unwrap();
    assert_eq!(files.piece("half", (0, 10), b"five-").status, 200);
    // With those that were begun above.
    assert_eq!(files.parts(&files.home), 3);
    let reader = std::thread::spawn(move || while out.read(&mut some).is_ok_and(|read| read > 0) {});
    files.ssh.bastion.take_away("db", ADMIN_LOGIN);
    let gone = Instant::now();
    reader.join().unwrap();
    let took = gone.elapsed();
    println!("a download ended {took:?} after the role was taken away");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!down.wait().unwrap().success(), "half a file looks whole");
    assert_eq!(files.list("/").status, 410);
    let cut = files.ended("download", "Failed", &files.path("endless"));
    assert!(cut["range"].is_string(), "{cut}");
    files.ended("upload", "Failed", &files.path("half"));
    assert_eq!(files.parts(&files.home), 0, "half a file stays there");
}
