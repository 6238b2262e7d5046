//! `/metrics`: how the server is, in the OpenMetrics text that Prometheus reads.
//!
//! Counters are kept where things happen; what can be asked for is asked for at the scrape. Labels have few values, all
//! of them our own: no name, path or address of anybody becomes one.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{Method, header};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use sekisho_arm::{ArmError, Scope, StoreError};
use sekisho_link::machine;
use sekisho_link::pki;
use sekisho_rbac::PrincipalId;

use crate::app::App;
use crate::authn::Caller;
use crate::http as web;
use crate::log;
use crate::process::Process;

/// The right to scrape, asked for at the root.
pub(crate) const READ: &str = "Sekisho.Fleet/metrics/read";
const MEDIA: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    surface: &'static str,
    method: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Surface {
    surface: &'static str,
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Handshake {
    /// The connection is open.
    Done,
    /// The client did not speak TLS as it should, or went away.
    Failed,
    /// It took too long.
    TimedOut,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    result: Handshake,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    of: &'static str,
}

/// The counters.
pub struct Metrics {
    requests: Family<Request, Counter>,
    durations: Family<Surface, Histogram, fn() -> Histogram>,
    handshakes: Family<Ended, Counter>,
    /// Agents that were not admitted.
    pub(crate) refused: Counter,
    /// Messages of agents.
    pub(crate) messages: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets: fn() -> Histogram =
            || Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        Metrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(buckets),
            handshakes: Family::default(),
            refused: Counter::default(),
            messages: Counter::default(),
        }
    }
}

/// The part of the surface that a path belongs to.
fn surface(path: &str) -> &'static str {
    match path.split('/').find(|s| !s.is_empty()).unwrap_or_default() {
        "subscriptions" | "providers" | "tenants" | "adfsm" => "arm",
        "v1.0" => "graph",
        "auth" | "adfs" | "oauth2" | "metadata" => "signin",
        "api" | "metrics" | "openapi.json" => "api",
        "link" => "link",
        _ => "portal",
    }
}

fn method_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

impl Metrics {
    /// Counts an answered request.
    pub(crate) fn answered(&self, method: &Method, path: &str, code: u16, took: Duration) {
        let surface = surface(path);
        self.requests.get_or_create(&Request { surface, method: method_of(method), code }).inc();
        self.durations.get_or_create(&Surface { surface }).observe(took.as_secs_f64());
    }

    /// Counts a handshake.
    pub(crate) fn shaken(&self, result: Handshake) {
        self.handshakes.get_or_create(&Ended { result }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time to the head of the answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("tls_handshakes", "TLS handshakes by how they ended", self.handshakes.clone());
        registry.register("agents_refused", "Agents that were not admitted", self.refused.clone());
        registry.register("agent_messages", "Messages that agents sent", self.messages.clone());
    }
}

/// Everything there is to say at this moment.
///
/// # Errors
/// Those of the database.
async fn gathered(app: &App) -> Result<String, StoreError> {
    let mut all = Registry::default();
    let registry = all.sub_registry_with_prefix("sekisho");
    app.metrics.register(registry);
    registry.register("build", "This program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    let gauge = |value: i64| ConstGauge::new(value);
    registry.register("agents_connected", "Agents with an open link", gauge(count(app.agents.count())));
    let standing = app.store.standing(machine::kind::MACHINE).await?;
    registry.register("machines", "Machines that have joined", gauge(standing.documents));
    registry.register(
        "audit_entries",
        "Entries of the activity log",
        ConstCounter::new(unsigned(standing.audit)),
    );
    let log = log::standing(&mut app.store.read().await?).await?;
    registry.register(
        "audit_witnessed_entries",
        "Entries of the activity log that enough machines have seen",
        gauge(i64::try_from(log.witnessed).unwrap_or(i64::MAX)),
    );
    let distrusting = log.witnesses.iter().filter(|w| w.distrusts.is_some()).count();
    registry.register(
        "audit_distrusting_machines",
        "Machines that do not believe the activity log and obey nothing new",
        gauge(count(distrusting)),
    );
    registry.register(
        "changes",
        "Changes of resources so far",
        ConstCounter::new(unsigned(standing.changes)),
    );
    registry.register_with_unit("database", "Size of the database", Unit::Bytes, gauge(standing.bytes));
    registry.register("events_waiting", "Events that are in no segment yet", gauge(standing.waiting));
    registry.register("segments", "Segments of events", gauge(standing.segments));
    registry.register_with_unit(
        "segments",
        "Size of the segments",
        Unit::Bytes,
        gauge(standing.segment_bytes),
    );
    let writes = app.store.tally();
    registry.register("store_writes", "Writes by how they ended", writes_of(writes.kept, writes.lost));
    registry.register(
        "store_commits",
        "Commits, each of a group of writes",
        ConstCounter::new(writes.commits),
    );
    registry.register_with_unit(
        "store_commit",
        "Time spent on groups of writes",
        Unit::Seconds,
        ConstCounter::new(writes.spent.as_secs_f64()),
    );
    registry.register(
        "store_queue",
        "How full the queue of writes is, 0 to 1",
        ConstGauge::new(app.store.pressure()),
    );
    let ends = Family::<Of, Gauge<f64, AtomicU64>>::default();
    let authority = pki::not_after(app.keys.get().authorities.signing().certificate());
    for (of, end) in [("authority", authority), ("clients", app.certificates.clients().not_after())] {
        if let Ok(end) = end {
            ends.get_or_create(&Of { of }).set(end.unix_timestamp() as f64);
        }
    }
    registry.register_with_unit("certificate_end", "When a certificate ends, Unix time", Unit::Seconds, ends);
    let process = Process::of_this_moment();
    let registry = all.sub_registry_with_prefix("process");
    let real = |value: f64| ConstGauge::new(value);
    registry.register_with_unit("cpu", "CPU time", Unit::Seconds, ConstCounter::new(process.cpu_seconds));
    registry.register_with_unit("resident_memory", "Memory in use", Unit::Bytes, gauge(process.resident));
    registry.register_with_unit("start_time", "Start, Unix time", Unit::Seconds, real(process.started));
    registry.register("open_fds", "Open descriptors", gauge(process.open_files));
    registry.register("max_fds", "Most descriptors", gauge(process.most_files));
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut out, &all);
    Ok(out)
}

fn writes_of(kept: u64, lost: u64) -> Family<Of, Counter> {
    let family = Family::<Of, Counter>::default();
    for (of, number) in [("kept", kept), ("undone", lost)] {
        family.get_or_create(&Of { of }).inc_by(number);
    }
    family
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

async fn text_of(app: &App) -> Response {
    match gathered(app).await {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the figures cannot be read");
            web::arm_error(&ArmError::from(error))
        }
    }
}

/// `GET /metrics` where everybody connects: for whoever may read them. Prometheus gets a token by its `oauth2` setting.
pub(crate) async fn scrape(State(app): State<Arc<App>>, caller: Caller) -> Response {
    let who = PrincipalId(caller.principal);
    let decision = app.access.snapshot().decide(&app.access.acting(&caller), READ, &Scope::Tenant);
    match decision.into_result(&caller.name, who, READ, &Scope::Tenant) {
        Ok(()) => text_of(&app).await,
        Err(error) => web::arm_error(&error),
    }
}

/// `GET /metrics` at the address that the setting `metrics_listen` opens to whoever reaches it.
pub(crate) fn open(app: Arc<App>) -> axum::Router {
    let answer = async |State(app): State<Arc<App>>| text_of(&app).await;
    axum::Router::new().route("/metrics", axum::routing::get(answer)).with_state(app)
}
