//! From the first byte to where pictures come.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ironrdp_async::{NetworkClient, connect_begin, connect_finalize, mark_as_upgraded};
use ironrdp_cliprdr::CliprdrClient;
use ironrdp_connector::credssp::CredsspSequence;
use ironrdp_connector::sspi::credssp::TsRequest;
use ironrdp_connector::sspi::generator::{GeneratorState, NetworkRequest};
use ironrdp_connector::{
    BitmapConfig, ClientConnector, ClientConnectorState, Config, ConnectionResult, ConnectorError,
    ConnectorErrorKind, ConnectorResult, Credentials, DesktopSize, ServerName,
};
use ironrdp_core::WriteBuf;
use ironrdp_displaycontrol::client::DisplayControlClient;
use ironrdp_dvc::DrdynvcClient;
use ironrdp_pdu::gcc::{ConnectionType, KeyboardType};
use ironrdp_pdu::rdp::capability_sets::{MajorPlatformType, RailSupportLevel, client_codecs_capabilities};
use ironrdp_pdu::rdp::client_info::{PerformanceFlags, TimezoneInfo};
use ironrdp_tokio::{FramedWrite as _, MovableTokioFramed};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::clipboard::Clipboard;
use super::{Keyboard, Login, causes, reasons};
use crate::{Refused, Size};

/// What the machine is called where a name has to be said: it is reached through an agent that is on it.
const NAME: &str = "localhost";
/// Of Windows 10: machines take old clients to be unable to have another size.
const CLIENT_BUILD: u32 = 19_041;
/// Largest message of the login, in bytes.
const LARGEST: usize = 64 << 10;

/// The stream after the login.
pub(super) type Framed<S> = MovableTokioFramed<TlsStream<S>>;

/// Logs in.
pub(super) async fn login<S>(
    stream: S,
    login: &Login,
    size: Size,
    clipboard: Option<&Clipboard>,
    trust: impl FnOnce(&[u8]) -> bool + Send,
) -> Result<(Framed<S>, ConnectionResult), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut connector = ClientConnector::new(config(login, size)?, nowhere).with_static_channel(
        DrdynvcClient::new().with_dynamic_channel(DisplayControlClient::new(|_| Ok(Vec::new()))),
    );
    if let Some(clipboard) = clipboard {
        connector.attach_static_channel(CliprdrClient::new(clipboard.backend()));
    }
    let mut framed = MovableTokioFramed::new(stream);
    let begun = connect_begin(&mut framed, &mut connector).await.map_err(refused)?;
    let (stream, early) = framed.into_inner();
    if !early.is_empty() {
        return Err(Refused::Protocol("something was said before TLS".into()));
    }
    let (stream, certificate) = secured(stream).await?;
    if !trust(&certificate) {
        return Err(Refused::Certificate);
    }
    let key = public_key(&certificate)?;
    let mut framed = MovableTokioFramed::new(stream);
    let upgraded = mark_as_upgraded(begun, &mut connector);
    if let ClientConnectorState::Credssp { selected_protocol } = connector.state {
        let (sequence, first) = CredsspSequence::init(
            connector.config.credentials.clone(),
            connector.config.domain.as_deref(),
            selected_protocol,
            ServerName::new(NAME),
            key.clone(),
            None,
        )
        .map_err(refused)?;
        checked(&mut framed, sequence, first).await?;
        connector.mark_credssp_as_done();
    }
    let name = ServerName::new(NAME);
    let outcome = connect_finalize(upgraded, connector, &mut framed, &mut NoNetwork, name, key, None).await;
    let there = outcome.and_then(|outcome| outcome.into_connected()).map_err(refused)?;
    Ok((framed, there))
}

/// What is said about this end.
fn config(login: &Login, size: Size) -> Result<Config, Refused> {
    let codecs = client_codecs_capabilities(&[]).map_err(Refused::Protocol)?;
    let (keyboard_type, keyboard_subtype, keyboard_layout) = match login.keyboard {
        Keyboard::American => (KeyboardType::IBM_ENHANCED, 0, 0x0409),
        Keyboard::Japanese => (KeyboardType::JAPANESE, 2, 0x0411),
    };
    Ok(Config {
        desktop_size: DesktopSize { width: size.width(), height: size.height() },
        monitor_layout: None,
        desktop_scale_factor: 0,
        desktop_physical_size: None,
        desktop_orientation: None,
        device_scale_factor: None,
        monitor_extended_layout: None,
        relative_mouse_input: false,
        enable_tls: true,
        enable_credssp: true,
        enable_standard_rdp_security: false,
        credentials: Credentials::UsernamePassword {
            username: login.account.clone(),
            password: login.password.as_str().to_owned(),
        },
        domain: login.domain.clone(),
        client_build: CLIENT_BUILD,
        client_name: "sekisho".to_owned(),
        keyboard_type,
        keyboard_subtype,
        keyboard_functional_keys_count: 12,
        keyboard_layout,
        connection_type: ConnectionType::Lan,
        ime_file_name: String::new(),
        bitmap: Some(BitmapConfig { lossy_compression: true, color_depth: 32, codecs }),
        dig_product_id: String::new(),
        client_dir: String::new(),
        alternate_shell: String::new(),
        work_dir: String::new(),
        remote_application_mode: false,
        rail_support_level: RailSupportLevel::empty(),
        platform: MajorPlatformType::UNIX,
        hardware_id: None,
        request_data: None,
        autologon: true,
        enable_audio_playback: false,
        enable_audio_capture: false,
        performance_flags: PerformanceFlags::default(),
        license_cache: None,
        timezone_info: TimezoneInfo::default(),
        compression_type: None,
        enable_server_pointer: true,
        pointer_software_rendering: false,
        multitransport_flags: None,
        support_dyn_vc_gfx_protocol: false,
    })
}

/// TLS, and the certificate of which the machine has the key.
async fn secured<S>(stream: S) -> Result<(TlsStream<S>, Vec<u8>), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(OwnsItsKey(provider.clone()));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Refused::Protocol(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    let name = rustls::pki_types::ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().map(|certificate| certificate.to_vec());
    let certificate = certificate.ok_or_else(|| Refused::Protocol("no certificate".into()))?;
    Ok((stream, certificate))
}

/// Machines sign their certificates themselves: whether it is the right one is judged by whoever knows the machine. That
/// it has the key is judged here.
#[derive(Debug)]
struct OwnsItsKey(Arc<CryptoProvider>);

impl ServerCertVerifier for OwnsItsKey {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The key to which network level authentication is bound, so that nobody in between can pass it on.
fn public_key(certificate: &[u8]) -> Result<Vec<u8>, Refused> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| Refused::Protocol("its certificate cannot be read".into()))?;
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}

/// Network level authentication (CredSSP).
async fn checked<S>(
    framed: &mut Framed<S>,
    mut sequence: CredsspSequence,
    mut request: TsRequest,
) -> Result<(), Refused>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut said = WriteBuf::new();
    for round in 0_u32.. {
        let state = match sequence.process_ts_request(request).start() {
            GeneratorState::Completed(state) => state,
            GeneratorState::Suspended(_) => return Err(Refused::Security("it wants Kerberos".into())),
        };
        let state = state
            .map_err(|error| refused(ConnectorError::new("CredSSP", ConnectorErrorKind::Credssp(error))))?;
        said.clear();
        let written = sequence.handle_process_result(state, &mut said).map_err(refused)?;
        if written.size().is_some() {
            framed.write_all(said.filled()).await?;
        }
        let Some(hint) = sequence.next_pdu_hint() else { return Ok(()) };
        loop {
            let size = hint.find_size(framed.peek()).map_err(|e| Refused::Protocol(e.to_string()))?;
            let (stream, buffer) = framed.get_inner_mut();
            match size {
                Some((_, size)) if size > LARGEST => {
                    return Err(Refused::Protocol("a message of the login is too long".into()));
                }
                Some(_) => break,
                // Whoever has been told the password's proof and says nothing more does not take it.
                None if stream.read_buf(buffer).await? == 0 && round > 0 => return Err(Refused::Credentials),
                None if buffer.is_empty() => return Err(eof().into()),
                None => {}
            }
        }
        let message = framed.read_by_hint(hint).await?;
        match sequence.decode_server_message(&message).map_err(refused)? {
            Some(next) => request = next,
            None => return Ok(()),
        }
    }
    Err(Refused::Credentials)
}

fn eof() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}

/// Nobody is asked for tickets.
struct NoNetwork;

impl NetworkClient for NoNetwork {
    async fn send(&mut self, _: &NetworkRequest) -> ConnectorResult<Vec<u8>> {
        Err(ConnectorError::new("CredSSP", ConnectorErrorKind::General))
    }
}

/// What an error of the login means.
fn refused(error: ConnectorError) -> Refused {
    use ironrdp_connector::sspi::ErrorKind;
    match error.kind() {
        ConnectorErrorKind::AccessDenied => return Refused::Credentials,
        ConnectorErrorKind::Credssp(error) => {
            return match error.error_type {
                ErrorKind::LogonDenied | ErrorKind::NoCredentials | ErrorKind::UnknownCredentials => {
                    Refused::Credentials
                }
                _ if error.nstatus.is_some() => Refused::Credentials,
                _ => Refused::Security(error.to_string()),
            };
        }
        ConnectorErrorKind::Negotiation(failure) => return Refused::Security(failure.to_string()),
        _ => {}
    }
    let io = causes(&error).find_map(|cause| cause.downcast_ref::<std::io::Error>());
    if let Some(io) = io {
        return Refused::Io(std::io::Error::new(io.kind(), io.to_string()));
    }
    Refused::Protocol(reasons(&error))
}
