//! Somebody who was let in and has a stream open: server-sent events, a session on a machine. They stay for as long as they
//! would be let in again; rights, policies, time, and whatever ends a sign-in all decide, and none of them is asked more
//! often than something happens.

use std::sync::Arc;

use http::HeaderMap;
use sekisho_store::{Feed, News};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::app::App;
use crate::authn::{self, Caller};
use crate::conditional_access;

/// What can end a sign-in before its time.
const MAY_END: [&str; 4] = ["session", "grant", "person", "servicePrincipal"];

/// Somebody with an open stream.
pub(crate) struct Admitted {
    app: Arc<App>,
    caller: Caller,
    headers: HeaderMap,
    feed: Feed,
    policies: watch::Receiver<()>,
    rights: watch::Receiver<()>,
}

impl Admitted {
    /// They were let in just now, and what happens from now on is heard.
    pub(crate) fn new(app: Arc<App>, caller: Caller, headers: HeaderMap) -> Admitted {
        let (feed, policies, rights) =
            (app.store.changes(), app.conditional_access.watch(), app.access.watch());
        Admitted { app, caller, headers, feed, policies, rights }
    }

    /// Who it is.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether policies would let them in at this moment.
    pub(crate) fn holds(&self) -> bool {
        conditional_access::still_admitted(&self.app, &self.caller, &self.headers)
    }

    /// Waits until something happens: news, or without news another policy, another right, or the end of a time. `None`
    /// when their sign-in has ended, or the server does.
    pub(crate) async fn next(&mut self) -> Option<Option<News>> {
        let left = self.caller.expires - OffsetDateTime::now_utc();
        let news = tokio::select! {
            news = tokio::time::timeout(left.try_into().unwrap_or_default(), self.feed.next()) => news,
            Ok(()) = self.policies.changed() => return Some(None),
            Ok(()) = self.rights.changed() => return Some(None),
        };
        // Whatever was revoked or ran out, the session, the person or the program, ends the stream with it.
        let doubtful = match &news {
            Ok(Some(News::Changes(changes))) => changes.iter().any(|c| MAY_END.contains(&c.kind.as_str())),
            Ok(Some(News::Missed) | None) | Err(_) => true,
        };
        if doubtful || self.caller.expires <= OffsetDateTime::now_utc() {
            self.caller.expires = authn::valid_until(&self.app, &self.caller).await?;
        }
        match news {
            Ok(Some(news)) => Some(Some(news)),
            Ok(None) => None,
            Err(_) => Some(None),
        }
    }
}
