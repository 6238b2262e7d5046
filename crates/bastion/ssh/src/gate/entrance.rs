//! The way in: a client shows a key, and says which machines it wants to go to.

use std::borrow::Cow;
use std::sync::Arc;

use russh::keys::{Certificate, HashAlg};
use russh::server::{
    self, Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, MethodKind};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::inside::Inside;
use super::{Ciphers, Client, Door, FAILED, INVITED, Keeper, config, refused};

/// The port by which clients mean a machine's SSH server.
const SSH: u32 = 22;

/// A client that comes in.
pub(super) struct Entrance<K: Keeper> {
    keeper: Arc<K>,
    person: Option<Arc<K::Person>>,
    /// What it calls itself.
    program: String,
    /// Nobody is invited twice on one connection.
    is_invited: bool,
    invitation: Option<K::Invitation>,
    entered: Option<oneshot::Sender<()>>,
    /// When it must have shown who it is.
    patience: watch::Sender<Instant>,
}

impl<K: Keeper> Entrance<K> {
    pub(super) fn new(
        keeper: Arc<K>,
        program: String,
        entered: oneshot::Sender<()>,
        patience: watch::Sender<Instant>,
    ) -> Entrance<K> {
        let (person, is_invited, invitation) = (None, false, None);
        Entrance { keeper, person, program, is_invited, invitation, entered: Some(entered), patience }
    }

    async fn known(&self, key: &russh::keys::PublicKey) -> Option<K::Person> {
        self.keeper.person(&key.fingerprint(HashAlg::Sha256).to_string()).await
    }

    /// Nobody gets here without having shown who they are; the library sees to it, and this does once more.
    fn person(&self) -> Result<Arc<K::Person>, russh::Error> {
        self.person.clone().ok_or(russh::Error::NotAuthenticated)
    }
}

impl<K: Keeper> Handler for Entrance<K> {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        // Keys that nobody knows are not worth a signature.
        Ok(if self.known(offer.public_key).await.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        self.person = self.known(key.public_key).await.map(Arc::new);
        Ok(if self.person.is_some() { Auth::Accept } else { Auth::reject() })
    }

    /// Clients ask for this when no key of theirs is known, unless nobody is there to be asked (`BatchMode`). They show the
    /// text, are asked for nothing, and wait with whoever reads it.
    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        if response.is_none() {
            if std::mem::replace(&mut self.is_invited, true) {
                return Ok(Auth::reject());
            }
            let invited = self.keeper.invite(&self.program).await;
            let Some((text, invitation)) = invited else { return Ok(Auth::reject()) };
            self.invitation = Some(invitation);
            self.patience.send_replace(Instant::now() + INVITED);
            let instructions = Cow::Owned(format!("{text}\n"));
            return Ok(Auth::Partial { name: Cow::Borrowed(""), instructions, prompts: Cow::Borrowed(&[]) });
        }
        if let Some(invitation) = self.invitation.take() {
            self.person = self.keeper.invited(invitation).await.map(Arc::new);
        }
        Ok(if self.person.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_openssh_certificate(&mut self, _: &str, _: &Certificate) -> Result<Auth, russh::Error> {
        // Nobody's certificates are good here, whoever has signed them.
        Ok(Auth::reject())
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), russh::Error> {
        if let Some(entered) = self.entered.take() {
            let _ = entered.send(());
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.person()?;
        let greeting = self.keeper.greeting();
        reply.accept().await;
        let Client { mut channel, end } = Client::new(channel, session.handle());
        tokio::spawn(async move {
            // What it asks for has been answered when it comes here, so that the client hears what it is told.
            while let Some(message) = channel.wait().await {
                use russh::ChannelMsg::{Exec, RequestShell, RequestSubsystem};
                if matches!(message, Exec { .. } | RequestShell { .. } | RequestSubsystem { .. }) {
                    end.fail(&greeting).await;
                    return;
                }
            }
        });
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        // What jumps is what comes in there, too.
        let ciphers = Ciphers::of(session.remote_sshid());
        let (keeper, person, name) = (self.keeper.clone(), self.person()?, host.to_owned());
        let Ok(short) = u16::try_from(port) else { return Ok(()) };
        tokio::spawn(async move {
            let place = match keeper.place(&person, &name).await {
                Ok(place) => place,
                Err(why) => return reply.reject(refused(&why)).await,
            };
            if port != SSH {
                return keeper.tunnel(person, place, short, Door { channel, reply }).await;
            }
            let Ok(key) = keeper.key_of(&place, &name) else {
                return reply.reject(refused("this machine's name cannot be certified")).await;
            };
            reply.accept().await;
            let inside = Inside::new(keeper, person, place);
            let config = config(key, &[MethodKind::None, MethodKind::PublicKey], ciphers);
            let served = server::run_stream(config, channel.into_stream(), inside);
            // It ends with the channel, which ends with the client's connection.
            if let Ok(session) = served.await
                && let Err(error) = session.await
            {
                tracing::debug!(%error, status = FAILED, "a client inside the gate went");
            }
        });
        Ok(())
    }
}
