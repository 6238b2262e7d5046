//! RDP, as a client (Microsoft's [MS-RDPBCGR], by the crates of IronRDP).
//!
//! TLS always: a machine that wants less is refused. Where it can, the machine checks the account before anything else
//! (network level authentication, with NTLM: nobody here can ask a domain controller for a ticket); otherwise the password
//! goes to it within TLS, and a machine that does not take it shows its own login. Pictures come as bitmaps and RemoteFX.
//!
//! What a machine can make grow is bounded here where IronRDP leaves that open (`bounds`), and a panic in what reads its
//! messages ends the session and nothing else.

mod bounds;
mod clipboard;
mod hands;
mod login;
mod session;

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

pub use crate::key::Keyboard;
use crate::pump::pair;
use crate::{Desktop, Policy, Pump, Refused, Secret, Size};

/// For the machine to let somebody in.
const LOGIN_TIME: Duration = Duration::from_secs(30);

/// Who logs in.
#[derive(Clone)]
pub struct Login {
    /// The account.
    pub account: String,
    /// Its password.
    pub password: Secret,
    /// The domain of the account, if it has one.
    pub domain: Option<String>,
    /// What is printed on the keys: the machine is told at the beginning.
    pub keyboard: Keyboard,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Login { account, domain, keyboard, .. } = self;
        f.debug_struct("Login")
            .field("account", account)
            .field("domain", domain)
            .field("keyboard", keyboard)
            .finish_non_exhaustive()
    }
}

/// Logs in. `trust` judges the certificate of the machine, in DER, before anything of the login is sent; that the machine
/// has the key of the certificate has been proved by then.
///
/// # Errors
/// [`Refused`].
pub async fn start<S>(
    stream: S,
    login: Login,
    size: Size,
    policy: Policy,
    trust: impl FnOnce(&[u8]) -> bool + Send,
) -> Result<(Desktop, Pump), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let clipboard = (policy.copy || policy.paste).then(clipboard::Clipboard::new);
    let there = login::login(stream, &login, size, clipboard.as_ref(), trust);
    let (framed, there) = timeout(LOGIN_TIME, there).await.map_err(|_| Refused::Silent)??;
    let size = Size::said(there.desktop_size.width, there.desktop_size.height);
    let size = size.ok_or_else(|| Refused::Protocol("an impossible size".into()))?;
    Ok(pair(size, move |ends| session::run(framed, there, size, policy, clipboard, ends)))
}

/// What an error comes from, itself first: IronRDP's say of themselves only where they happened.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// All of them, in words.
fn reasons(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
