//! The one WebSocket to the server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use rustls::ClientConfig;
use sekisho_link::message::{MAX_FRAME_BYTES, ToAgent, ToServer, frames};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use crate::confirm;

/// How long opening and writing may take.
const WRITE: Duration = Duration::from_secs(30);
/// Frames that are ready go to TLS together once they are so many bytes.
const TOGETHER: usize = 16 << 10;

/// The server knows this machine and says that its certificate is over; [`Identity::renew`] gets another one.
///
/// [`Identity::renew`]: crate::enrol::Identity::renew
#[derive(Debug, thiserror::Error)]
#[error("the certificate is over")]
pub struct CertificateOver;

/// An open connection.
pub struct Connection(WebSocketStream<TlsStream<TcpStream>>);

impl Connection {
    /// Connects and upgrades.
    ///
    /// # Errors
    /// When the server is not reached in time, is another, or does not admit this machine; [`CertificateOver`] when only
    /// its certificate is not good any more.
    pub async fn open(address: &str, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let stream = confirm::connect(address, tls).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(TOGETHER)
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let url = format!("wss://{}/link/agent", sekisho_link::pki::LINK_NAME);
        let opening = tokio_tungstenite::client_async_with_config(url, stream, Some(config));
        match timeout(WRITE, opening).await.context("the server does not answer")? {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(answer)) if answer.status() == StatusCode::UNAUTHORIZED => {
                Err(CertificateOver.into())
            }
            Err(error) => Err(error).context("opening the link"),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the server does not take it in time.
    pub async fn send(&mut self, message: &ToServer) -> anyhow::Result<()> {
        let message = serde_json::to_vec(message)?;
        let sent = async {
            for (part, is_first, is_last) in frames(&message) {
                let code = OpCode::Data(if is_first { Data::Binary } else { Data::Continue });
                let frame = Frame::message(Bytes::copy_from_slice(part), code, is_last);
                self.0.feed(Message::Frame(frame)).await?;
            }
            self.0.flush().await
        };
        timeout(WRITE, sent).await.context("the server does not read")??;
        Ok(())
    }

    /// The next message, or a mere sign of life; `None` when the server closed.
    ///
    /// # Errors
    /// When the connection broke, or what came is no message.
    pub async fn next(&mut self) -> anyhow::Result<Option<Heard>> {
        match self.0.next().await {
            None | Some(Ok(Message::Close(_))) => Ok(None),
            Some(Ok(Message::Binary(bytes))) => {
                Ok(Some(Heard::Message(Box::new(serde_json::from_slice(&bytes)?))))
            }
            Some(Ok(_)) => Ok(Some(Heard::Ping)),
            Some(Err(error)) => Err(error.into()),
        }
    }
}

/// What came from the server.
pub enum Heard {
    /// Something to do.
    Message(Box<ToAgent>),
    /// It lives.
    Ping,
}
