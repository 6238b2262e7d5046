//! The gate in a machine's place: whoever came in is known already, and says as which account of the machine they want to
//! do what.

use std::sync::Arc;

use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Pty};

use super::{Client, Door, Keeper, refused};

/// A client in front of a machine.
pub(super) struct Inside<K: Keeper> {
    keeper: Arc<K>,
    person: Arc<K::Person>,
    place: K::Place,
    account: String,
}

impl<K: Keeper> Inside<K> {
    pub(super) fn new(keeper: Arc<K>, person: Arc<K::Person>, place: K::Place) -> Inside<K> {
        Inside { keeper, person, place, account: String::new() }
    }
}

impl<K: Keeper> Handler for Inside<K> {
    type Error = russh::Error;

    async fn auth_none(&mut self, account: &str) -> Result<Auth, russh::Error> {
        // The connection is one that the person has made inside their own.
        account.clone_into(&mut self.account);
        Ok(Auth::Accept)
    }

    async fn auth_publickey(
        &mut self,
        account: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        // Some clients (paramiko) show a key without asking whether one is wanted.
        self.auth_none(account).await
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        let client = Client::new(channel, session.handle());
        let (keeper, person) = (self.keeper.clone(), self.person.clone());
        tokio::spawn(keeper.session(person, self.place.clone(), self.account.clone(), client));
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let is_own = matches!(host, "localhost" | "127.0.0.1" | "::1");
        let (Ok(port), true) = (u16::try_from(port), is_own) else {
            let why = "only ports of the machine itself can be reached through it: name it localhost";
            reply.reject(refused(why)).await;
            return Ok(());
        };
        let (keeper, person) = (self.keeper.clone(), self.person.clone());
        tokio::spawn(keeper.tunnel(person, self.place.clone(), port, Door { channel, reply }));
        Ok(())
    }

    // Clients send what follows without waiting for answers, so that it is answered here, in its order. What the machine
    // does not do is said when it has said so.

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
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

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }
}
