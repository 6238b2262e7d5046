//! A server of somebody else's, over TLS.

use std::net::Ipv4Addr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use sekisho_link::pki::{self, Authority};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Answers requests with a status and JSON, given its own address; what that is. It ends with the test.
pub(crate) async fn serve(
    authority: &Authority,
    answers: impl Fn(&str, http::Request<Bytes>) -> (u16, Value) + Send + Sync + 'static,
) -> String {
    let identity = authority.server(&["localhost".to_owned()], OffsetDateTime::now_utc()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            pki::certificates(&identity.certificate).unwrap(),
            pki::private_key(&identity.key).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let (acceptor, answers, own) = (TlsAcceptor::from(Arc::new(tls)), Arc::new(answers), base.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answers, own) = (acceptor.clone(), answers.clone(), own.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service =
                    hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                        let (answers, own) = (answers.clone(), own.clone());
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await?.to_bytes();
                            let (status, answer) = answers(&own, http::Request::from_parts(head, body));
                            let answer = Full::new(Bytes::from(answer.to_string()));
                            let answer = http::Response::builder().status(status).body(answer);
                            Ok::<_, hyper::Error>(answer.unwrap())
                        }
                    });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    base
}
