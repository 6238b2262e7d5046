//! VNC: the remote framebuffer protocol of RFC 6143, as a client.
//!
//! Beside what the RFC has, these extensions of TigerVNC and QEMU (rfbproto's `rfbproto.rst`): another size, scan codes
//! instead of keysyms, the state of the lock keys, and the clipboard in UTF-8. It is written here because `vnc-rs` knows
//! none of the last three, without which Japanese neither is typed nor copied, and has no pictures beyond 8.3 million pixels.
//!
//! VNC's own password check is all that is spoken: what is said goes in clear text, so the stream has to be one that is
//! safe, as that of an agent is.

mod clipboard;
mod hands;
mod handshake;
mod rectangle;
mod server;
mod zrle;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::time::timeout;

use self::hands::Hands;
use crate::key::Keyboard;
use crate::line::{Line, write};
use crate::pump::{Ends, pair};
use crate::{Broken, Desktop, Exit, Policy, Pump, Refused, Secret, Size};

/// For the machine to let somebody in.
const LOGIN_TIME: Duration = Duration::from_secs(20);

/// What both directions have to know of the other.
#[derive(Debug)]
struct Talk {
    size: Size,
    /// The first of its screens, by which another size is asked for; once it is known that it may be.
    screen: Option<u32>,
    /// It takes scan codes.
    scan_codes: bool,
    /// Caps, Num and Scroll Lock, once it has said so.
    locks: Option<server::Locks>,
    /// It takes a clipboard in UTF-8.
    utf8: bool,
    /// What the viewer has in the clipboard, for when the machine asks.
    offered: Option<String>,
    /// The size that the viewer would like, until it can be asked for.
    wanted: Option<Size>,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Talk>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Talk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who logs in.
#[derive(Clone)]
pub struct Login {
    /// The password; none where the machine wants none.
    pub password: Option<Secret>,
    /// What is printed on the keys: machines that take no scan codes are told what is meant.
    pub keyboard: Keyboard,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("keyboard", &self.keyboard).finish_non_exhaustive()
    }
}

impl From<Option<Secret>> for Login {
    fn from(password: Option<Secret>) -> Login {
        Login { password, keyboard: Keyboard::default() }
    }
}

/// Logs in and, where the machine can, asks for a size. Whoever looks already goes on looking.
///
/// # Errors
/// [`Refused`].
pub async fn start<S>(
    stream: S,
    login: impl Into<Login>,
    size: Size,
    policy: Policy,
) -> Result<(Desktop, Pump), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    let Login { password, keyboard } = login.into();
    let there = handshake::login(&mut reader, &mut writer, password.as_ref());
    let there = timeout(LOGIN_TIME, there).await.map_err(|_| Refused::Silent)??;
    let shared = Shared(Arc::new(Mutex::new(Talk {
        size: there,
        screen: None,
        scan_codes: false,
        locks: None,
        utf8: false,
        offered: None,
        wanted: Some(size),
    })));
    Ok(pair(there, move |ends| async move {
        let (line, queue) = Line::new();
        line.say(handshake::wishes(there))?;
        let Ends { screen, commands, notes } = ends;
        let hands = Hands::new(line.clone(), shared.clone(), policy, keyboard, notes.clone());
        let server = server::Server::new(reader, line, shared, policy, screen, notes);
        tokio::select! {
            ended = hands.run(commands) => ended,
            broken = server.run() => gone(broken),
            error = write(writer, queue) => gone(Broken::Io(error)),
        }
    }))
}

/// A machine that hangs up has ended it: VNC has no other way to say so.
fn gone(broken: Broken) -> Result<Exit, Broken> {
    match broken {
        Broken::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Exit::Machine(None)),
        broken => Err(broken),
    }
}

fn protocol(what: &str) -> Broken {
    Broken::Protocol(what.to_owned())
}
