//! What a native client does on a machine. Once it has a terminal, others can look at that and type in it as in a
//! browser's, and its client is told in lines of its own what a browser shows beside the screen.

use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use sekisho_arm::StoreError;
use sekisho_bastion::session;
use sekisho_bastion_ssh::gate::{Beside, Client, Relay, RelayError};
use sekisho_bastion_ssh::machine::Machine;
use sekisho_bastion_ssh::terminal::Terminal;
use sekisho_bastion_ssh::terminal::wire::{Mode, Watcher};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};

use super::Allowed;
use super::limits::{Limit, Limits, Warning};
use super::login::{Login, Stopped};
use super::shown::{Open, Screen};
use super::warden::Ledger;
use crate::app::App;

/// Lines that wait for a client that is slow.
const LINES: usize = 16;

/// Carries what a client does to its end. Returns what its person is to be told of that, if anything.
pub(super) async fn carry(
    app: &Arc<App>,
    allowed: &Allowed,
    login: Login,
    client: Client,
    machine: Machine,
) -> Option<String> {
    let (begins, begun) = oneshot::channel();
    let (tell, notices) = mpsc::channel(LINES);
    let (shown, mut said) = (OnceLock::new(), None);
    let relay = Relay::new(login.recorder.clone(), Ledger::new(app, allowed, login.id()));
    let program = async {
        let beside = Beside { terminal: begins, notices };
        tokio::select! {
            ended = relay.run(client, machine, beside) => ended.map_err(|error| match error {
                RelayError::Broken(broken) => Stopped::Broken(broken),
                RelayError::Refused(text) => {
                    said = Some(text);
                    Stopped::Did("Refused")
                }
                RelayError::NotUnderstood(_) => {
                    said = Some(format!("{error}. Files are copied where each is seen, or not at all"));
                    Stopped::Did("NotUnderstood")
                }
            }),
            never = show(app, &login, allowed, begun, tell, &shown) => match never {},
        }
    };
    let mut ended = login.hold(allowed, HeaderMap::new(), program, std::future::ready(())).await;
    let told = async { relay.end().await?.close().await };
    if let Err(error) = told.await {
        ended.why = login.not_recorded(&error);
    }
    let (shown, limits) = (shown.into_inner(), login.limits.clone());
    if let Some(open) = &shown {
        app.bastion.shown.leave(open.id);
    }
    let why = login.end(ended).await;
    if let Some(open) = shown {
        open.ended.send_replace(Some(why));
    }
    said.or_else(|| {
        (why != "Closed").then(|| format!("the session ended ({why}): {}.", explained(why, &limits)))
    })
}

/// Shows its terminal to others once it has one, and tells its client of them, until this is dropped.
async fn show(
    app: &App,
    login: &Login,
    allowed: &Allowed,
    begun: oneshot::Receiver<Terminal>,
    tell: mpsc::Sender<String>,
    shown: &OnceLock<Arc<Open>>,
) -> std::convert::Infallible {
    let Ok(terminal) = begun.await else { return std::future::pending().await };
    let open = shown.get_or_init(|| Open::new(login, allowed.clone(), Screen::Terminal(terminal), None));
    let (mut watchers, mut said) = (open.watchers.subscribe(), open.said.subscribe());
    app.bastion.shown.enter(open.clone());
    let id = open.id;
    let kept = app
        .store
        .write::<_, StoreError, _>(move |tx| Box::pin(async move { session::shows_terminal(tx, id).await }));
    if let Err(error) = kept.await {
        tracing::warn!(%error, session = %id, "others are not told that a session has a terminal");
    }
    let mut warned = None;
    loop {
        let line = tokio::select! {
            // The sender is this object's own.
            _ = watchers.changed() => watched(&watchers.borrow_and_update()),
            said = said.recv() => match said {
                Ok((from, text)) => format!("message from {from}: {text}"),
                Err(RecvError::Lagged(_) | RecvError::Closed) => continue,
            },
            warning = open.limits.near(&mut warned) => near(warning),
        };
        // Its client may have gone.
        let _ = tell.send(line).await;
    }
}

/// Who else is there.
fn watched(watchers: &[Watcher]) -> String {
    let names = |mode| {
        let all = watchers.iter().filter(|watcher| watcher.mode == mode).map(|watcher| watcher.name.as_str());
        Some(all.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
    };
    let watching = names(Mode::ReadOnly).map(|names| format!("watching: {names}"));
    let typing = names(Mode::Interactive).map(|names| format!("typing with you: {names}"));
    let told: Vec<String> = watching.into_iter().chain(typing).collect();
    if told.is_empty() { "nobody else is in this session any more".to_owned() } else { told.join("; ") }
}

fn near(Warning { limit, seconds }: Warning) -> String {
    match limit {
        Limit::Idle => format!("nothing was typed for long: this session ends in {seconds} s"),
        Limit::TimeOver => format!("the time is over: this session ends in {seconds} s"),
    }
}

/// Why a session ended, for whoever had it.
fn explained(why: &str, limits: &Limits) -> String {
    match why {
        "Idle" => {
            let minutes = limits.idle().unwrap_or_default().as_secs() / 60;
            return format!("nothing was typed for {minutes} min");
        }
        "TimeOver" => return format!("it may last {} min", limits.longest().as_secs() / 60),
        "Disconnected" => "somebody ended it",
        "NotAllowedAnyMore" => "you may not be here any more",
        "ConditionalAccess" => "conditional access does not allow it any more",
        "SignInEnded" => "the sign-in that it stands on has ended",
        "RecordingFailed" => "it could not be recorded any more",
        _ => "the connection to the machine is gone",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_session_is_told_who_looks_and_who_types() {
        let watcher = |name: &str, mode| Watcher { name: name.to_owned(), mode };
        let jun = watcher("jun", Mode::ReadOnly);
        assert_eq!(watched(std::slice::from_ref(&jun)), "watching: jun");
        let all = [jun, watcher("rin", Mode::Interactive), watcher("kai", Mode::Interactive)];
        assert_eq!(watched(&all), "watching: jun; typing with you: rin, kai");
        assert_eq!(watched(&all[1..]), "typing with you: rin, kai");
        assert_eq!(watched(&[]), "nobody else is in this session any more");
    }
}
