//! The server, as this computer asks it.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use reqwest::{Certificate, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::home::Home;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer read, in bytes.
const LONGEST: usize = 4 << 20;
/// The file that says which server it is.
const SERVER: &str = "server";
/// The file of the authority that vouches for it, where that is not one that this computer trusts anyway.
const AUTHORITY: &str = "authority.pem";

/// The server that somebody has signed in to.
pub(super) struct Server {
    base: Url,
    authority: Option<String>,
    http: reqwest::Client,
}

impl Server {
    /// The one at an address such as `sekisho.example.com:8443`.
    pub(super) fn at(address: &str, authority: Option<String>) -> anyhow::Result<Server> {
        let whole = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let base = Url::parse(&whole).with_context(|| format!("'{address}' is no address of a server"))?;
        if base.scheme() != "https" || base.host().is_none() || base.path() != "/" {
            bail!("'{address}' is no address of a server: https://NAME[:PORT] is expected");
        }
        // The client takes the process's provider; when there is one already, it is this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("sekisho/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &authority {
            let own = Certificate::from_pem_bundle(pem.as_bytes()).context("the file of the authority")?;
            builder = builder.tls_certs_merge(own);
        }
        Ok(Server { base, authority, http: builder.build()? })
    }

    /// The one that is kept.
    pub(super) fn kept(home: &Home) -> anyhow::Result<Server> {
        let address =
            home.read(SERVER)?.context("this computer is not signed in. Run: sekisho login SERVER")?;
        Server::at(address.trim(), home.read(AUTHORITY)?)
    }

    /// Keeps it.
    pub(super) fn keep(&self, home: &Home) -> anyhow::Result<()> {
        match &self.authority {
            Some(pem) => home.write(AUTHORITY, pem)?,
            None => drop(std::fs::remove_file(home.path(AUTHORITY))),
        }
        home.write(SERVER, self.base.as_str())
    }

    /// Its address, without a slash at the end.
    pub(super) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Sends a form.
    ///
    /// # Errors
    /// When nothing came back that is JSON.
    pub(super) async fn form(
        &self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<(StatusCode, Value)> {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request(Method::POST, path);
        self.answer(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    /// Asks as whoever has a token.
    ///
    /// # Errors
    /// What the server says against it.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.request(method, path).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let (status, answer) = self.answer(request).await?;
        if status.is_success() {
            return Ok(answer);
        }
        let why = answer["error"]["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        Err(anyhow!(why))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base()))
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<(StatusCode, Value)> {
        let failed = |error: reqwest::Error| {
            // The sentence of the library alone does not say why.
            let why = anyhow::Error::from(error.without_url());
            why.context(format!("{} did not answer", self.base()))
        };
        let mut response = request.send().await.map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > LONGEST {
                bail!("the answer of {} is too long", self.base());
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        let answer = answer.map_err(|_| anyhow!("what answers at {} is no Sekisho", self.base()))?;
        Ok((response.status(), answer))
    }
}
