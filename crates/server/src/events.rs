//! `GET /api/events`: server-sent events that name what changed. They carry no content: the page reads again what it
//! shows, with its own rights.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::HeaderMap;
use schemars::JsonSchema;
use sekisho_arm::Scope;
use sekisho_jit::provider::requests;
use sekisho_store::{Change, News};
use serde::Serialize;
use serde_json::json;

use crate::admitted::Admitted;
use crate::app::App;
use crate::authn::Caller;
use crate::signin::graph;

/// What the directory and the log tell: only that there is something new to read.
const DIRECTORY: [&str; 8] =
    ["person", "group", "servicePrincipal", "session", "grant", "credential", "notice", "audit"];
/// The type of policies of access, in lower case.
const POLICY: &str = "microsoft.security/locations/jitnetworkaccesspolicies";
/// Most changes replayed after a reconnect.
const REPLAY: i64 = 500;

/// What a `change` event carries.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChangeEvent")]
pub struct Event {
    /// The lower-case ARM type or the word for what is none.
    #[serde(rename = "type")]
    kind: String,
    /// The lower-case id; empty for the directory and the log.
    id: String,
    /// The new etag of a resource.
    etag: String,
    /// What was done.
    verb: &'static str,
}

/// Streams changes the caller may know of.
pub async fn stream(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap) -> Response {
    // First of all: what happens while the past is read is not to be missed.
    let admitted = Admitted::new(app.clone(), caller, headers.clone());
    let last: Option<i64> =
        headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let mut waiting = vec![
        sse::Event::default().event("hello").data(json!({"version": env!("CARGO_PKG_VERSION")}).to_string()),
    ];
    if let Some(last) = last {
        match app.store.changes_after(last, REPLAY).await {
            Ok(Some(missed)) if (missed.len() as i64) < REPLAY => {
                waiting.extend(shown(&app, admitted.caller(), &missed))
            }
            _ => waiting.push(sse::Event::default().event("reset").data("{}")),
        }
    }
    waiting.reverse();
    let events = stream::unfold((app, admitted, waiting), |(app, mut admitted, mut waiting)| async move {
        loop {
            if !admitted.holds() {
                return None;
            }
            if let Some(event) = waiting.pop() {
                return Some((Ok::<_, Infallible>(event), (app, admitted, waiting)));
            }
            match admitted.next().await? {
                Some(News::Changes(changes)) => {
                    waiting = shown(&app, admitted.caller(), &changes);
                    waiting.reverse();
                }
                Some(News::Missed) => waiting.push(sse::Event::default().event("reset").data("{}")),
                None => {}
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(20))).into_response()
}

/// The kind and id that a change is told by: requests for access are shown with their policy.
fn told_as(change: &Change) -> (&str, &str) {
    match change.kind.as_str() {
        requests::LIVE | requests::USAGE => (POLICY, requests::policy_of(&change.key)),
        kind => (kind, &change.key),
    }
}

fn shown(app: &App, caller: &Caller, changes: &[Change]) -> Vec<sse::Event> {
    let snapshot = app.access.snapshot();
    let who = app.access.acting(caller);
    changes
        .iter()
        .filter_map(|change| {
            let (kind, key) = told_as(change);
            let directory = DIRECTORY.contains(&kind);
            let visible = match kind {
                _ if directory => graph::may_read(app, caller),
                "facts" | "machine" | "event" => {
                    let id = Scope::parse(key).ok()?;
                    snapshot.decide(&who, "Microsoft.Compute/virtualMachines/read", &id).is_allowed()
                }
                kind if kind.contains('/') => {
                    let id = Scope::parse(key).ok()?;
                    let spec_action = app.registry.get(&id.type_name()).map(|k| k.spec().action("read"))?;
                    snapshot.decide(&who, &spec_action, &id).is_allowed()
                }
                // Private records of the server and of other people are nobody's news.
                _ => false,
            };
            let id = if directory { "" } else { key };
            let (kind, id) = (kind.to_owned(), id.to_owned());
            let told = Event { kind, id, etag: change.etag.clone(), verb: change.verb.word() };
            let data = serde_json::to_string(&told).ok().filter(|_| visible)?;
            Some(sse::Event::default().event("change").id(change.sequence.to_string()).data(data))
        })
        .collect()
}
