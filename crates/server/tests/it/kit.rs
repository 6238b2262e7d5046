//! A server in a temporary directory, and a client for it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sekisho_arm::traits::read_documents;
use sekisho_identity::ring::{Key, KeyRing, Purpose, RootKey};
use sekisho_lab::postgres::{self, Postgres};
use sekisho_link::pki::{self, Identity};
use sekisho_server::config::Config;
use sekisho_server::{ServerError, admin, run_until};
use sekisho_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::device::Passkey;

/// The longest a test waits for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Waits for one thing that must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// What a server keeps: its data directory, and its PostgreSQL where this run of the tests is for that.
pub(crate) struct Data {
    dir: TempDir,
    postgres: Option<Arc<Postgres>>,
}

impl Data {
    pub(crate) fn new() -> Data {
        Data { dir: TempDir::new().unwrap(), postgres: postgres::of_this_run().unwrap().map(Arc::new) }
    }

    pub(crate) fn sqlite() -> Data {
        Data { dir: TempDir::new().unwrap(), postgres: None }
    }

    /// The data directory of another server on the same database, with the root key; `None` where this run has no
    /// database that two servers can share.
    pub(crate) fn beside(&self) -> Option<Data> {
        let other = Data { dir: TempDir::new().unwrap(), postgres: Some(self.postgres.clone()?) };
        let keys = other.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        std::fs::copy(self.path().join("keys/root.key"), keys.join("root.key")).unwrap();
        Some(other)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The database of the kit's own SQLite file, moved to where this run has it.
    pub(crate) async fn moved(self) -> Data {
        let sqlite = self.path().join("sekisho.db");
        if self.postgres.is_some() {
            let from = format!("sqlite://{}", sqlite.display());
            sekisho_store::copy(&from, &self.url()).await.unwrap();
            std::fs::remove_file(sqlite).unwrap();
        }
        self
    }

    /// The database's URL.
    pub(crate) fn url(&self) -> String {
        let sqlite = || format!("sqlite://{}", self.path().join("sekisho.db").display());
        self.postgres.as_ref().map_or_else(sqlite, |postgres| postgres.url())
    }

    /// The rows of the key ring.
    pub(crate) async fn ring(&self) -> Vec<Key> {
        let store = Store::open(&self.url()).await.unwrap();
        let rows = read_documents(&mut store.read().await.unwrap(), "keyring").await.unwrap();
        rows.into_iter().map(|(_, key)| key).collect()
    }

    /// The root key in the file.
    pub(crate) fn root(&self) -> RootKey {
        let bytes = std::fs::read(self.path().join("keys/root.key")).unwrap();
        RootKey::new(bytes.as_slice().try_into().unwrap()).unwrap()
    }

    /// The newest key of a purpose: its public part and the key.
    pub(crate) async fn key(&self, purpose: Purpose) -> (String, Vec<u8>) {
        let own = self.ring().await.into_iter().filter(|key| key.purpose == purpose).collect();
        let ring = KeyRing::new(own);
        let key = ring.newest().unwrap();
        (key.public.clone(), key.open(&[self.root()]).unwrap().to_vec())
    }

    /// The authority or the server's certificate, with its key.
    pub(crate) async fn identity(&self, purpose: Purpose) -> Identity {
        let (certificate, key) = self.key(purpose).await;
        Identity { certificate, key: String::from_utf8(key).unwrap().into() }
    }

    /// Why a server does not start on this.
    pub(crate) async fn refusal(&self) -> ServerError {
        soon("the refusal", run_until(self.config(free_port()), std::future::pending())).await.unwrap_err()
    }

    pub(crate) fn config(&self, port: u16) -> Config {
        Config::load(None, &self.environment(port)).unwrap()
    }

    fn environment(&self, port: u16) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::from([
            ("SEKISHO_DATA_DIR".to_owned(), self.path().display().to_string()),
            ("SEKISHO_LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            ("SEKISHO_ORGANIZATION".to_owned(), "Contoso".to_owned()),
            // Read when a provider is first asked; a test that has one writes the file.
            (
                "SEKISHO_FEDERATION_CA_FILE".to_owned(),
                self.path().join("federation.pem").display().to_string(),
            ),
            // Read when something waits for approval; a test that has a webhook writes the file.
            ("SEKISHO_WEBHOOK_FILE".to_owned(), self.path().join("webhook.toml").display().to_string()),
            // Read when a flow log is written.
            ("SEKISHO_STORAGE_ACCOUNTS_FILE".to_owned(), self.storage_accounts().display().to_string()),
        ]);
        if let Some(postgres) = &self.postgres {
            environment.insert("SEKISHO_DATABASE".to_owned(), postgres.url());
        }
        // As systemd hands them over; a test that has some makes the directory.
        let credentials = self.path().join("credentials");
        if credentials.exists() {
            environment.insert("CREDENTIALS_DIRECTORY".to_owned(), credentials.display().to_string());
        }
        let breached = self.breached();
        if breached.exists() {
            environment.insert("SEKISHO_BREACHED_PASSWORDS_FILE".to_owned(), breached.display().to_string());
        }
        environment
    }

    /// The file that says where storage accounts are, for a test that makes one.
    pub(crate) fn storage_accounts(&self) -> PathBuf {
        self.path().join("storage-accounts.toml")
    }

    /// The list of breached passwords, for a test that makes one.
    pub(crate) fn breached(&self) -> PathBuf {
        self.path().join("breached.txt")
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) data: Data,
    pub(crate) port: u16,
    pub(crate) tenant: String,
    /// `/subscriptions/{id}`.
    pub(crate) sub: String,
    tls: Arc<ClientConfig>,
    passkeys: Passkeys,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServerError>>,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Server {
    /// A server that nobody has ever used.
    pub(crate) async fn fresh() -> Server {
        Server::on(Data::new()).await
    }

    /// A server on what is in `data`.
    pub(crate) async fn on(data: Data) -> Server {
        Server::started(data, |data, port, stopped| {
            tokio::spawn(run_until(data.config(port), async move {
                // A test that fails drops the sender; the server ends with it.
                let _ = stopped.await;
            }))
        })
        .await
    }

    /// The program itself, in a process of its own; everything that it says goes into a file.
    pub(crate) async fn program(data: Data, said: &Path, variables: &[(&str, &str)]) -> (Server, u32) {
        // Both are built by a run of the whole workspace.
        let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("sekisho");
        assert!(program.exists(), "{} is not built", program.display());
        let mut pid = 0;
        let server = Server::started(data, |data, port, stopped| {
            let said = std::fs::File::options().create(true).append(true).open(said).unwrap();
            let mut child = std::process::Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "--"])
                .arg(&program)
                .arg("server")
                .envs(data.environment(port))
                .envs(variables.iter().copied())
                .stdin(std::process::Stdio::null())
                .stdout(said.try_clone().unwrap())
                .stderr(said)
                .spawn()
                .unwrap();
            pid = child.id();
            tokio::spawn(async move {
                let _ = stopped.await;
                child.kill()?;
                child.wait()?;
                Ok(())
            })
        })
        .await;
        (server, pid)
    }

    async fn started(
        data: Data,
        mut start: impl FnMut(&Data, u16, oneshot::Receiver<()>) -> JoinHandle<Result<(), ServerError>>,
    ) -> Server {
        loop {
            let port = free_port();
            let (stop, stopped) = oneshot::channel::<()>();
            let task = start(&data, port, stopped);
            let status = until("the server", async || {
                if task.is_finished() {
                    return Some(None);
                }
                admin::ask(data.path(), "/status", json!({})).await.ok().map(Some)
            })
            .await;
            let Some(status) = status else {
                match task.await.unwrap() {
                    // Somebody took the port in between.
                    Err(ServerError::Listen(..)) => continue,
                    other => panic!("the server ended: {other:?}"),
                }
            };
            let text = |field: &str| status[field].as_str().unwrap().to_owned();
            let ca = std::fs::read_to_string(data.path().join("keys/ca.pem")).unwrap();
            return Server {
                port,
                tenant: text("tenantId"),
                sub: format!("/subscriptions/{}", text("subscriptionId")),
                tls: trusting(&ca),
                passkeys: Passkeys::default(),
                stop: Some(stop),
                task,
                data,
            };
        }
    }

    /// `https://localhost:{port}`.
    pub(crate) fn base(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The authority's certificate, PEM.
    pub(crate) fn ca(&self) -> String {
        std::fs::read_to_string(self.data.path().join("keys/ca.pem")).unwrap()
    }

    /// A client without identity.
    pub(crate) fn http(&self) -> Http {
        Http {
            port: self.port,
            tls: self.tls.clone(),
            source: Ipv4Addr::LOCALHOST,
            headers: Vec::new(),
            passkeys: self.passkeys.clone(),
            connection: Arc::default(),
        }
    }

    /// The page of whoever has these cookies confirms with this passkey from now on, as the portal lets people do.
    pub(crate) fn confirms(&self, cookies: &str, passkey: &Passkey) {
        self.http().confirms(cookies, passkey);
    }

    /// Asks the administration socket.
    pub(crate) async fn admin(&self, path: &str, body: Value) -> Value {
        admin::ask(self.data.path(), path, body).await.unwrap()
    }

    /// Stops it and gives back what it kept.
    pub(crate) async fn stop(mut self) -> Data {
        drop(self.stop.take());
        soon("the end of the server", &mut self.task).await.unwrap().unwrap();
        self.data
    }
}

fn trusting(ca: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in pki::certificates(ca).unwrap() {
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A TLS connection to the server.
pub(crate) async fn dial(
    port: u16,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    dial_from(Ipv4Addr::LOCALHOST, port, tls, name).await
}

async fn dial_from(
    source: Ipv4Addr,
    port: u16,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    if source != Ipv4Addr::LOCALHOST {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(tls).connect(name, stream).await
}

type Sender = SendRequest<Full<Bytes>>;
type Passkeys = Arc<std::sync::Mutex<BTreeMap<String, Passkey>>>;

/// A client: one connection, and headers that go along with every request.
#[derive(Clone)]
pub(crate) struct Http {
    port: u16,
    tls: Arc<ClientConfig>,
    source: Ipv4Addr,
    headers: Vec<(String, String)>,
    passkeys: Passkeys,
    connection: Arc<Mutex<Option<Sender>>>,
}

impl Http {
    /// The same client with a header on every request. It has a connection of its own.
    pub(crate) fn with(&self, name: &str, value: &str) -> Http {
        let mut headers = self.headers.clone();
        headers.retain(|(n, _)| n != name);
        headers.push((name.to_owned(), value.to_owned()));
        Http { headers, connection: Arc::default(), ..self.clone() }
    }

    /// The same client at another address, which is one of the loopback.
    pub(crate) fn from(&self, source: Ipv4Addr) -> Http {
        Http { source, connection: Arc::default(), ..self.clone() }
    }

    /// The page of whoever has these cookies confirms with this passkey from now on.
    pub(crate) fn confirms(&self, cookies: &str, passkey: &Passkey) {
        let mut passkey = passkey.clone();
        passkey.moved(&format!("https://localhost:{}", self.port));
        self.passkeys.lock().unwrap().insert(cookies.to_owned(), passkey);
    }

    /// A header that goes along.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// A client of whoever has this token.
    pub(crate) fn bearer(&self, token: &str) -> Http {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// The portal's own page of whoever has these cookies.
    pub(crate) fn page(&self, cookies: &str) -> Http {
        self.with("cookie", cookies).with("sec-fetch-site", "same-origin")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }
    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Posts a form, as OAuth clients do.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let body: Vec<String> = fields.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        let kind = self.with("content-type", "application/x-www-form-urlencoded");
        kind.raw(Method::POST, path, body.join("&").into()).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.raw(method, path, body.map(|b| Bytes::from(b.to_string())).unwrap_or_default()).await
    }

    /// A request; where it must be confirmed and the page has a passkey, it is, and comes again.
    pub(crate) async fn raw(&self, method: Method, path: &str, body: Bytes) -> Answer {
        let answer = self.once(method.clone(), path, body.clone()).await;
        let Some(asked) = answer.step_up() else { return answer };
        let passkey = self.passkeys.lock().unwrap().get(self.header("cookie")).cloned();
        let Some(mut passkey) = passkey else { return answer };
        let approval = self.confirm(&asked, &mut passkey).await.expect(200).json();
        let again = self.with("sekisho-approval", approval["approval"].as_str().unwrap());
        again.once(method, path, body).await
    }

    /// Answers a challenge.
    pub(crate) async fn confirm(&self, asked: &Value, passkey: &mut Passkey) -> Answer {
        let body = json!({"ceremony": asked["ceremony"], "credential": passkey.get(asked)});
        self.once(Method::POST, "/auth/stepup", body.to_string().into()).await
    }

    /// A request as it is.
    pub(crate) async fn once(&self, method: Method, path: &str, body: Bytes) -> Answer {
        let shown = format!("{method} {path}");
        let (status, headers, mut incoming) = self.send(method, path, body).await;
        let mut bytes = Vec::new();
        while let Some(frame) = soon(&shown, incoming.frame()).await {
            bytes.extend_from_slice(frame.unwrap().data_ref().map_or(&[], |d| d.as_ref()));
        }
        Answer { request: shown, status, headers, body: bytes.into() }
    }

    /// A request whose answer goes on for ever.
    pub(crate) async fn stream(&self, path: &str) -> (u16, Incoming) {
        let (status, _, body) = self.send(Method::GET, path, Bytes::new()).await;
        (status, body)
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> (u16, HeaderMap, Incoming) {
        let mut slot = self.connection.lock().await;
        if let Some(kept) = slot.as_mut()
            && kept.ready().await.is_err()
        {
            *slot = None;
        }
        if slot.is_none() {
            *slot = Some(self.open().await);
        }
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("host", format!("localhost:{}", self.port));
        if !body.is_empty() && !self.headers.iter().any(|(n, _)| n == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).unwrap();
        let sender = slot.as_mut().unwrap();
        let response = soon(path, sender.send_request(request)).await;
        let (parts, body) = response.unwrap_or_else(|e| panic!("{method} {path}: {e}")).into_parts();
        (parts.status.as_u16(), parts.headers, body)
    }

    async fn open(&self) -> Sender {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = dial_from(self.source, self.port, self.tls.clone(), name).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        // It ends when the sender is dropped or the server hangs up.
        tokio::spawn(connection);
        sender
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    request: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// ARM's error code, or OAuth's; empty when there is none.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        let code = body.pointer("/error/code").or_else(|| body.get("error")).and_then(Value::as_str);
        code.unwrap_or_default().to_owned()
    }

    /// What must be confirmed, and how.
    pub(crate) fn step_up(&self) -> Option<Value> {
        let told = self.json().pointer("/error/additionalInfo/0").cloned()?;
        (told["type"] == "StepUp").then(|| told["info"].clone())
    }

    /// The error's text.
    pub(crate) fn message(&self) -> String {
        self.json().pointer("/error/message").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The cookies it sets, whole.
    pub(crate) fn set_cookies(&self) -> Vec<String> {
        self.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap().to_owned()).collect()
    }

    /// The cookies it sets, as the browser sends them back.
    pub(crate) fn cookies(&self) -> String {
        let pairs: Vec<String> =
            self.set_cookies().iter().filter_map(|c| Some(c.split_once(';')?.0.to_owned())).collect();
        pairs.join("; ")
    }

    /// Goes on only with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}: {}", self.request, self.shown());
        self
    }

    /// Goes on only with this refusal.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Answer {
        let got = (self.status, self.code());
        assert_eq!(got, (status, code.to_owned()), "{}: {}", self.request, self.shown());
        self
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(800).collect()
    }
}

/// A path with its api-version.
pub(crate) fn at(path: impl std::fmt::Display, version: &str) -> String {
    let path = path.to_string();
    let join = if path.contains('?') { '&' } else { '?' };
    format!("{path}{join}api-version={version}")
}

/// The api-version of groups, of networks, of role things, of what is our own.
pub(crate) const GROUPS: &str = "2022-09-01";
pub(crate) const NETWORK: &str = "2024-05-01";
pub(crate) const ROLES: &str = "2022-04-01";
pub(crate) const FLEET: &str = "2026-11-01";
pub(crate) const COMPUTE: &str = "2024-07-01";
