//! The floor under the server's figures: the same query, over TLS too, by a handler that does nothing else: no rights,
//! no audit, no change feed, no etags.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Json, Router, routing};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sekisho_arm::traits::read_documents;
use sekisho_identity::ring::{Key as Row, Purpose, RootKey};
use sekisho_store::Store;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{AnyPool, Row as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The installation's database, read only.
    #[arg(long)]
    database: String,
    /// Where it writes: another file, or the same PostgreSQL.
    #[arg(long)]
    writes: String,
    #[arg(long)]
    listen: SocketAddr,
    /// The installation's root key: the floor shows the server's own certificate.
    #[arg(long)]
    root: PathBuf,
}

struct Floor {
    reads: AnyPool,
    writes: AnyPool,
}

type Failure = (StatusCode, String);

fn failed(error: impl std::fmt::Display) -> Failure {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Value> {
    sqlx::any::install_default_drivers();
    let floor = Floor {
        reads: pool(&options.database, 4).await?,
        // SQLite has one writer; a pool of more would wait for locks.
        writes: pool(&options.writes, if options.writes.starts_with("sqlite") { 1 } else { 8 }).await?,
    };
    sqlx::query("CREATE TABLE IF NOT EXISTS floor (key TEXT PRIMARY KEY, body TEXT NOT NULL)")
        .execute(&floor.writes)
        .await?;
    let router = Router::new()
        .route("/list", routing::get(list))
        .route("/machine", routing::get(machine))
        .route("/item", routing::put(put))
        .with_state(Arc::new(floor));
    let (certificates, key) = identity(&options).await?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(options.listen).await.context("the floor's port")?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = TowerToHyperService::new(router);
            let mut builder = http1::Builder::new();
            // The client is done when it goes.
            let _ = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The server's own certificate and its key, out of the key ring.
async fn identity(
    options: &Options,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let root = std::fs::read(&options.root)?;
    let root = <&[u8; 32]>::try_from(root.as_slice()).ok().and_then(RootKey::new).context("the root key")?;
    let store = Store::open(&options.database).await?;
    let ring: Vec<(String, Row)> = read_documents(&mut store.read().await?, "keyring").await?;
    let own = ring.iter().rfind(|(_, key)| key.purpose == Purpose::ServerTls && key.lives());
    let (_, own) = own.context("the server has no certificate yet")?;
    let certificates =
        CertificateDer::pem_slice_iter(own.public.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    Ok((certificates, PrivateKeyDer::from_pem_slice(&own.open(&[root])?)?))
}

async fn pool(url: &str, most: u32) -> anyhow::Result<AnyPool> {
    let sqlite = url.starts_with("sqlite");
    let pool = AnyPoolOptions::new().max_connections(most).after_connect(move |connection, _| {
        Box::pin(async move {
            // As durable as the server's own.
            let statements: &[&'static str] = if sqlite {
                &["PRAGMA busy_timeout = 5000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"]
            } else {
                &["SET synchronous_commit = on"]
            };
            for statement in statements {
                sqlx::query(*statement).fetch_optional(&mut *connection).await?;
            }
            Ok(())
        })
    });
    Ok(pool.connect(url).await?)
}

#[derive(Deserialize)]
struct Listing {
    low: String,
    high: String,
    limit: i64,
}

/// The machines whose keys lie between two.
async fn list(State(floor): State<Arc<Floor>>, Query(asked): Query<Listing>) -> Result<Json<Value>, Failure> {
    let value = machines(&floor, (&asked.low, &asked.high), asked.limit).await?;
    Ok(Json(json!({ "value": value })))
}

#[derive(Deserialize)]
struct One {
    group: String,
    name: String,
}

/// One machine by the same queries.
async fn machine(
    State(floor): State<Arc<Floor>>,
    Query(One { group, name }): Query<One>,
) -> Result<Json<Value>, Failure> {
    let key = format!("{group}/providers/microsoft.compute/virtualmachines/{name}");
    let machines = machines(&floor, (&key, &key), 1).await?;
    machines.into_iter().next().map(Json).ok_or_else(|| failed("no such machine"))
}

/// Machines with what is kept of each: two queries.
async fn machines(floor: &Floor, (low, high): (&str, &str), limit: i64) -> Result<Vec<Value>, Failure> {
    let machines = sqlx::query(
        "SELECT key, id, type_name, location, tags, etag, body FROM resource
         WHERE type_key = $1 AND key >= $2 AND key <= $3 ORDER BY key LIMIT $4",
    )
    .bind("microsoft.compute/virtualmachines")
    .bind(low)
    .bind(high)
    .bind(limit)
    .fetch_all(&floor.reads)
    .await
    .map_err(failed)?;
    let states = sqlx::query(
        "SELECT key, body FROM document WHERE kind = $1 AND key >= $2 AND key <= $3 ORDER BY key",
    )
    .bind("machine")
    .bind(low)
    .bind(high)
    .fetch_all(&floor.reads)
    .await
    .map_err(failed)?;
    let mut states: HashMap<String, Value> = states
        .iter()
        .map(|row| Ok((text(row, "key")?, json_in(row, "body")?)))
        .collect::<Result<_, Failure>>()?;
    let mut value = Vec::with_capacity(machines.len());
    for row in &machines {
        let mut state = states.remove(&text(row, "key")?).unwrap_or_default();
        let mut body = shown(row)?;
        let interfaces = state["attachments"]["interfaces"].take();
        body["properties"]["networkProfile"] = json!({"networkInterfaces": interfaces});
        body["properties"]["sekisho"] = state;
        value.push(body);
    }
    Ok(value)
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

async fn put(
    State(floor): State<Arc<Floor>>,
    Query(asked): Query<Key>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Failure> {
    sqlx::query(
        "INSERT INTO floor (key, body) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
    )
    .bind(asked.key)
    .bind(body.to_string())
    .execute(&floor.writes)
    .await
    .map_err(failed)?;
    Ok(Json(body))
}

fn text(row: &AnyRow, column: &str) -> Result<String, Failure> {
    row.try_get(column).map_err(failed)
}

fn json_in(row: &AnyRow, column: &str) -> Result<Value, Failure> {
    serde_json::from_str(&text(row, column)?).map_err(failed)
}

fn shown(row: &AnyRow) -> Result<Value, Failure> {
    let id = text(row, "id")?;
    let tags: Option<String> = row.try_get("tags").map_err(failed)?;
    let location: Option<String> = row.try_get("location").map_err(failed)?;
    let mut body = json_in(row, "body")?;
    body["name"] = id.rsplit('/').next().unwrap_or_default().into();
    body["type"] = text(row, "type_name")?.into();
    body["location"] = location.into();
    body["tags"] = tags.as_deref().map(serde_json::from_str).transpose().map_err(failed)?.unwrap_or_default();
    body["etag"] = text(row, "etag")?.into();
    body["id"] = id.into();
    Ok(body)
}
