//! Signing this computer in: the device authorization grant (RFC 8628), and the tokens that it gives.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::Server;
use super::home::Home;
use crate::note;

/// Who asks: `sekisho`, as the server knows it.
const CLIENT: &str = "5e6b1c0e-0002-4000-8000-73656b697368";
const TOKEN: &str = "/organizations/oauth2/v2.0/token";
/// The file of the tokens.
const TOKENS: &str = "tokens";
/// A token that is over so soon is not begun with.
const SOON: u64 = 60;
/// By how much a client slows down that is told to (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// Where to sign in.
#[derive(clap::Args)]
pub(crate) struct Login {
    /// The server: NAME[:PORT].
    server: String,
    /// A file with the authority that vouches for it, PEM, where that is not one that this computer trusts anyway.
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// The tokens.
#[derive(Serialize, Deserialize)]
struct Tokens {
    access: String,
    refresh: String,
    /// When the first is over, in seconds since 1970.
    until: u64,
}

impl Tokens {
    fn of(answer: &Value) -> anyhow::Result<Tokens> {
        let text = |field: &str| {
            answer[field].as_str().map(str::to_owned).with_context(|| format!("the server gave no {field}"))
        };
        let lasts = answer["expires_in"].as_u64().unwrap_or_default();
        Ok(Tokens { access: text("access_token")?, refresh: text("refresh_token")?, until: now() + lasts })
    }

    fn keep(&self, home: &Home) -> anyhow::Result<()> {
        home.write(TOKENS, &serde_json::to_string(self)?)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Everything of the server's, whose id as a resource ends with a slash as Azure's do.
fn scope(server: &Server) -> String {
    format!("{}//.default openid profile offline_access", server.base())
}

/// Why the server gives no token.
fn refusal(answer: &Value) -> anyhow::Error {
    let words = answer["error_description"].as_str().or_else(|| answer["error"].as_str());
    anyhow!(words.unwrap_or("the server refused").to_owned())
}

/// Signs this computer in.
pub(super) async fn login(home: &Home, asked: &Login) -> anyhow::Result<()> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let server = Server::at(&asked.server, asked.ca.as_ref().map(read).transpose()?)?;
    let wish = [("client_id", CLIENT), ("scope", &scope(&server))];
    let (status, begun) = server.form("/organizations/oauth2/v2.0/devicecode", &wish).await?;
    if !status.is_success() {
        return Err(refusal(&begun));
    }
    let code = begun["device_code"].as_str().context("the server gave no code")?;
    note(&format!("{}\n", begun["message"].as_str().unwrap_or_default()));
    let mut pause = Duration::from_secs(begun["interval"].as_u64().unwrap_or(5).max(1));
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let fields = [("grant_type", grant), ("client_id", CLIENT), ("device_code", code)];
    let answer = loop {
        // A person is somewhere else, typing: the server says how often it may be asked.
        tokio::time::sleep(pause).await;
        let (status, answer) = server.form(TOKEN, &fields).await?;
        match answer["error"].as_str() {
            _ if status.is_success() => break answer,
            Some("authorization_pending") => {}
            Some("slow_down") => pause += SLOWER,
            _ => return Err(refusal(&answer)),
        }
    };
    let _alone = home.lock()?;
    server.keep(home)?;
    Tokens::of(&answer)?.keep(home)?;
    note("Signed in.\n");
    Ok(())
}

/// The server that this computer is signed in to, and a token for it.
pub(super) async fn signed_in(home: &Home) -> anyhow::Result<(Server, String)> {
    let server = Server::kept(home)?;
    // Of two that give the same refresh token, the server takes the second for a thief.
    let _alone = home.lock()?;
    let over = || anyhow!("the sign-in is over. Run: sekisho login {}", server.base());
    let kept: Tokens = serde_json::from_str(&home.read(TOKENS)?.ok_or_else(over)?)?;
    if kept.until > now() + SOON {
        return Ok((server, kept.access));
    }
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("refresh_token", &kept.refresh),
        ("scope", &scope(&server)),
    ];
    let (status, answer) = server.form(TOKEN, &fields).await?;
    if !status.is_success() {
        let is_over = matches!(answer["error"].as_str(), Some("invalid_grant" | "interaction_required"));
        return Err(if is_over { refusal(&answer).context(over()) } else { refusal(&answer) });
    }
    let fresh = Tokens::of(&answer)?;
    fresh.keep(home)?;
    if fresh.until <= now() {
        bail!("the server gave a token that is over: is this computer's clock right?");
    }
    Ok((server, fresh.access))
}
