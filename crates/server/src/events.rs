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
use time::OffsetDateTime;

use crate::app::App;
use crate::authn::{self, Caller};
use crate::conditional_access;
use crate::signin::graph;

/// What can end a stream before its time.
pub(crate) const MAY_END: [&str; 4] = ["session", "grant", "person", "servicePrincipal"];
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
    let feed = app.store.changes();
    let last: Option<i64> =
        headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let mut waiting = vec![
        sse::Event::default().event("hello").data(json!({"version": env!("CARGO_PKG_VERSION")}).to_string()),
    ];
    if let Some(last) = last {
        match app.store.changes_after(last, REPLAY).await {
            Ok(Some(missed)) if (missed.len() as i64) < REPLAY => {
                waiting.extend(shown(&app, &caller, &missed))
            }
            _ => waiting.push(sse::Event::default().event("reset").data("{}")),
        }
    }
    waiting.reverse();
    let rules = (app.conditional_access.watch(), app.access.watch());
    let start = (app, feed, waiting, caller, headers, rules);
    let events =
        stream::unfold(start, |(app, mut feed, mut waiting, mut caller, headers, mut rules)| async move {
            loop {
                // Rights, policies and time all decide; none of them is asked more often than something happens.
                if !conditional_access::still_admitted(&app, &caller, &headers) {
                    return None;
                }
                if let Some(event) = waiting.pop() {
                    return Some((Ok::<_, Infallible>(event), (app, feed, waiting, caller, headers, rules)));
                }
                let left = caller.expires - OffsetDateTime::now_utc();
                let news = tokio::select! {
                    news = tokio::time::timeout(left.try_into().unwrap_or_default(), feed.next()) => news,
                    Ok(()) = rules.0.changed() => continue,
                    Ok(()) = rules.1.changed() => continue,
                };
                // Whatever was revoked or ran out, the session, the person or the program, ends the stream with it.
                let doubtful = match &news {
                    Ok(Some(News::Changes(changes))) => {
                        changes.iter().any(|c| MAY_END.contains(&c.kind.as_str()))
                    }
                    Ok(Some(News::Missed) | None) | Err(_) => true,
                };
                if doubtful || caller.expires <= OffsetDateTime::now_utc() {
                    caller.expires = authn::valid_until(&app, &caller).await?;
                }
                let Ok(news) = news else { continue };
                match news {
                    Some(News::Changes(changes)) => {
                        waiting = shown(&app, &caller, &changes);
                        waiting.reverse();
                    }
                    Some(News::Missed) => waiting.push(sse::Event::default().event("reset").data("{}")),
                    None => return None,
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
