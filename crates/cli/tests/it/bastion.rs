//! Through a bastion to a machine that lets nothing in and where the service listens on loopback only, as
//! `az network bastion tunnel` does it.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;

use super::bastion_ssh::ADMIN_LOGIN;
use super::{AGENT, SOON, World, rule, unable};

const PORT: u16 = 2222;
const VERSION: &str = "api-version=2024-01-01";
const USER_LOGIN: &str = "fb879df8-f326-4884-b1cf-06f3ad86be52";

pub(super) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A bastion host, and `db`, which answers what it is sent on its loopback and lets nothing in.
pub(super) struct Bastion {
    pub(super) world: World,
    /// What the API calls its name.
    pub(super) address: String,
    pub(super) runtime: Runtime,
}

impl Bastion {
    fn new(prefix: &str) -> Option<Bastion> {
        if unable().is_some() {
            return None;
        }
        let bastion = Bastion::before(World::new(prefix));
        let world = &bastion.world;
        let listener =
            world.site.machine("db").unwrap().host.listen_tcp(([127, 0, 0, 1], PORT).into()).unwrap();
        answers(listener);
        Some(bastion)
    }

    /// A bastion host before machines that let nothing in.
    pub(super) fn before(world: World) -> Bastion {
        world.rule("nothing-in", rule(100, "Inbound", "Deny", "*"));
        world.becomes("nothing-in", false, SOON);
        let body = json!({"location": "home", "sku": {"name": "Standard"},
            "properties": {"enableTunneling": true}});
        let made = world.api.put(&host(&world, ""), &body).unwrap();
        let address = made["properties"]["dnsName"].as_str().unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Bastion { world, address, runtime }
    }

    pub(super) fn machine(&self, name: &str) -> String {
        self.world.machine_id(name)
    }

    /// The path of the role by which the tests' program may log in to a machine.
    pub(super) fn role(&self, machine: &str) -> String {
        self.role_of(machine, USER_LOGIN)
    }

    fn role_of(&self, machine: &str, role: &str) -> String {
        self.world.role_of(machine, role)
    }

    fn give_role(&self, machine: &str) {
        self.give(machine, USER_LOGIN);
    }

    pub(super) fn take_away(&self, machine: &str, role_id: &str) {
        self.world.api.delete(&self.role_of(machine, role_id)).unwrap();
    }

    pub(super) fn give(&self, machine: &str, role_id: &str) {
        self.world.give_role(machine, role_id);
    }

    /// Asks for a secret, as `az` does.
    fn ask(&self, machine: &str, port: u16) -> Value {
        self.ask_for(&self.machine(machine), port)
    }

    pub(super) fn ask_for(&self, resource: &str, port: u16) -> Value {
        let form = format!(
            "resourceId={resource}&protocol=tcptunnel&workloadHostPort={port}&aztoken={}",
            self.world.api.token()
        );
        let config = format!(
            "url = \"https://{}/api/tokens\"\ncacert = \"{}\"\nsilent\nshow-error\nmax-time = 20\ndata = \"{form}\"\n",
            self.address,
            self.world.site.ca.display()
        );
        let mut child = Command::new("curl")
            .args(["--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
        serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
    }

    /// Opens the WebSocket of a secret.
    fn enter(&self, secret: &str) -> Result<Socket, String> {
        let url = format!("wss://{}/webtunnelv2/{secret}?X-Node-Id=n", self.address);
        self.connect(url.into_client_request().unwrap())
    }

    /// Opens a WebSocket.
    pub(super) fn connect(&self, request: Request<()>) -> Result<Socket, String> {
        let (authority, _) = self.address.split_once('/').unwrap();
        let (name, _) = authority.split_once(':').unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.world.site.ca).unwrap()).unwrap();
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let open = async {
            let stream = TcpStream::connect(authority).await.map_err(|e| e.to_string())?;
            let name = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
            let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
            let stream = stream.map_err(|e| e.to_string())?;
            match tokio_tungstenite::client_async(request, stream).await {
                Ok((socket, _)) => Ok(socket),
                Err(error) => Err(error.to_string()),
            }
        };
        self.runtime.block_on(async { timeout(SOON, open).await.unwrap() })
    }

    fn tunnel(&self, machine: &str, port: u16) -> Result<Socket, String> {
        self.tunnel_to(&self.machine(machine), port)
    }

    /// Opens a tunnel to an address, as `az network bastion tunnel --target-ip-address` does.
    fn tunnel_near(&self, address: &str, port: u16) -> Result<Socket, String> {
        let machine = self.machine("db");
        let (group, _) = machine.split_once("/providers/").unwrap();
        self.tunnel_to(&format!("{group}/providers/Microsoft.Network/bh-hostConnect/{address}"), port)
    }

    fn tunnel_to(&self, resource: &str, port: u16) -> Result<Socket, String> {
        let answer = self.ask_for(resource, port);
        match answer["websocketToken"].as_str() {
            Some(secret) => self.enter(secret),
            None => Err(answer["message"].as_str().unwrap().to_owned()),
        }
    }

    /// Sends bytes and reads as many.
    fn echoes(&self, socket: &mut Socket, bytes: &[u8]) -> bool {
        let exchange = async {
            socket.send(Message::Binary(bytes.to_vec().into())).await.ok()?;
            let mut back = Vec::new();
            while back.len() < bytes.len() {
                match socket.next().await?.ok()? {
                    Message::Binary(data) => back.extend_from_slice(&data),
                    _ => return None,
                }
            }
            Some(back == bytes)
        };
        self.runtime.block_on(async { timeout(SOON, exchange).await.unwrap() }) == Some(true)
    }

    /// How long it takes until the other side ends a tunnel over which nothing is said.
    fn ends(&self, socket: &mut Socket) -> Duration {
        let began = Instant::now();
        let closed = async { while let Some(Ok(Message::Binary(_))) = socket.next().await {} };
        self.runtime.block_on(async { timeout(SOON, closed).await.unwrap() });
        began.elapsed()
    }

    pub(super) fn sessions(&self) -> Vec<Value> {
        let answer = self.world.api.post(&host(&self.world, "/getActiveSessions"), &json!({})).unwrap();
        answer["value"].as_array().cloned().unwrap_or_default()
    }
}

/// Sends everybody back what they send.
fn answers(listener: std::net::TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

pub(super) fn host(world: &World, rest: &str) -> String {
    format!("{}{rest}?{VERSION}", world.site.network("bastionHosts", "gate"))
}

#[test]
fn who_may_log_in_reaches_the_loopback_of_a_machine_that_lets_nothing_in_until_the_role_is_taken_away() {
    let Some(bastion) = Bastion::new("fba") else { return };
    let refused = bastion.tunnel("db", PORT).unwrap_err();
    assert!(refused.contains("Virtual Machine User Login"), "{refused}");
    bastion.give_role("db");

    let began = Instant::now();
    let mut tunnel = bastion.tunnel("db", PORT).unwrap();
    println!("a tunnel in {:?}", began.elapsed());
    assert!(bastion.echoes(&mut tunnel, b"through a machine with no open port"));
    let large: Vec<u8> = (0..3 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for part in large.chunks(64 << 10) {
        assert!(bastion.echoes(&mut tunnel, part), "a large part comes back changed");
    }
    assert!(!bastion.world.passes("web", "db", PORT), "the port is open");
    let open = bastion.sessions();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&open[0]["targetHostName"], &open[0]["protocol"]), (&json!("db"), &json!("tcptunnel")));

    // Of another machine, of a port where nobody listens, and of a secret that was used there is nothing to get.
    assert!(bastion.tunnel("web", PORT).unwrap_err().contains("may not log in"));
    let answer = bastion.ask("db", PORT + 1);
    let secret = answer["websocketToken"].as_str().unwrap();
    assert!(bastion.enter(secret).unwrap_err().contains("502"), "nobody listens there");
    assert!(bastion.enter(secret).unwrap_err().contains("401"), "a secret was good twice");

    bastion.world.api.delete(&bastion.role("db")).unwrap();
    let took = bastion.ends(&mut tunnel);
    println!("cut {took:?} after the role was taken away");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(bastion.tunnel("db", PORT).unwrap_err().contains("may not log in"));
    let began = Instant::now();
    while !bastion.sessions().is_empty() {
        assert!(began.elapsed() < SOON, "the session is still told of");
    }
}

#[test]
fn a_session_ends_when_somebody_disconnects_it_and_when_the_host_no_longer_does_tunnels() {
    let Some(bastion) = Bastion::new("fbb") else { return };
    bastion.give_role("db");
    let mut tunnel = bastion.tunnel("db", PORT).unwrap();
    assert!(bastion.echoes(&mut tunnel, b"one"));
    let id = bastion.sessions()[0]["sessionId"].clone();
    let body = json!({ "sessionIds": [id, "another"] });
    let told = bastion.world.api.post(&host(&bastion.world, "/disconnectActiveSessions"), &body).unwrap();
    assert_eq!(told["value"][0]["state"], "Disconnected");
    assert_eq!(told["value"][1]["state"], "NotFound");
    assert!(bastion.ends(&mut tunnel) < Duration::from_secs(1));

    let mut tunnel = bastion.tunnel("db", PORT).unwrap();
    assert!(bastion.echoes(&mut tunnel, b"two"));
    let body =
        json!({"location": "home", "sku": {"name": "Standard"}, "properties": {"enableTunneling": false}});
    bastion.world.api.put(&host(&bastion.world, ""), &body).unwrap();
    assert!(bastion.ends(&mut tunnel) < Duration::from_secs(1));
    assert!(bastion.tunnel("db", PORT).unwrap_err().contains("enableTunneling"));
}

#[test]
fn a_host_near_a_machine_is_reached_by_its_address_where_the_list_on_the_machine_leads() {
    let Some(mut bastion) = Bastion::new("fbn") else { return };
    let body = json!({"location": "home", "sku": {"name": "Standard"},
        "properties": {"enableTunneling": true, "enableIpConnect": true}});
    bastion.world.api.put(&host(&bastion.world, ""), &body).unwrap();
    bastion.give("db", ADMIN_LOGIN);
    // Of this host nothing but its address is known, and it lets its neighbours in.
    bastion.world.remove("nothing-in");
    let near = bastion.world.site.machine("web").unwrap().host.addresses()[0].addr();
    let listen =
        |port| bastion.world.site.machine("web").unwrap().host.listen_tcp((near, port).into()).unwrap();
    answers(listen(PORT));
    answers(listen(PORT + 1));
    let refused = bastion.tunnel_near(&near.to_string(), PORT).unwrap_err();
    assert!(refused.contains("No machine"), "{refused}");

    let list = bastion.world.dir.path().join("reach");
    std::fs::write(&list, format!("{near}/32 {PORT} # and nothing else\n127.0.0.0/8 1-65535\n")).unwrap();
    bastion.world.site.kill_agent("db").unwrap();
    bastion
        .world
        .site
        .start_agent("db", &[AGENT, &["--reach", list.to_str().unwrap()]].concat(), &[])
        .unwrap();
    let began = Instant::now();
    let mut tunnel = loop {
        match bastion.tunnel_near(&near.to_string(), PORT) {
            Ok(tunnel) => break tunnel,
            Err(why) => assert!(began.elapsed() < SOON, "{why}"),
        }
    };
    assert!(bastion.echoes(&mut tunnel, b"by way of another machine"));
    for (address, port) in
        [(near.to_string(), PORT + 1), ("127.0.0.1".to_owned(), PORT), ("192.0.2.9".to_owned(), PORT)]
    {
        let refused = bastion.tunnel_near(&address, port).unwrap_err();
        assert!(refused.contains("No machine"), "{address} {refused}");
    }
    // What the server was told may be old: the machine looks at its own list.
    std::fs::write(&list, "").unwrap();
    assert!(bastion.tunnel_near(&near.to_string(), PORT).unwrap_err().contains("502"));
    // What is open ends with the right.
    bastion.take_away("db", ADMIN_LOGIN);
    assert!(bastion.ends(&mut tunnel) < Duration::from_secs(1));
}
