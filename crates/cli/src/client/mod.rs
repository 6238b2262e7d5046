//! What people run on their own computers: signing in, and OpenSSH set up for the gate.
//!
//! Nothing here speaks SSH. [`sign_in`] gets tokens for this computer as `az` does, and keeps them in its [`Home`];
//! [`openssh`] has the server know a key of this computer's for as long as that sign-in lasts, writes down what the server
//! says of its gate, and becomes the `ssh` or `scp` that everybody has. A token is sent to no server but the one that
//! gave it, and never is an argument or in the environment.

mod api;
mod desktop;
mod home;
mod openssh;
mod recordings;
mod sign_in;

use home::Home;
pub(crate) use recordings::Download;

/// What can be done.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Signs this computer in to a server, for 'ssh', 'scp' and 'tunnel'. A person says yes to it in a browser.
    Login(sign_in::Login),
    /// Forgets that sign-in, and takes this computer's key back.
    Logout,
    /// Opens a session on a machine, or runs a command there, through the bastion and with OpenSSH.
    Ssh(openssh::Ssh),
    /// Copies files from and to machines, through the bastion and with OpenSSH.
    Scp(openssh::Scp),
    /// Leads a port of this computer to one of a machine, through the bastion, for as long as it runs.
    Tunnel(openssh::Tunnel),
    /// Opens a machine's desktop in a program of this computer, through the bastion.
    ///
    /// A desktop in the browser needs no program, is recorded where that is asked for, and knows kept passwords; this is for
    /// who needs one's own program. A host that records refuses it.
    Rdp(desktop::Rdp),
}

/// Fetches a recording.
pub(crate) async fn download(asked: &Download) -> anyhow::Result<()> {
    recordings::download(&Home::of_person()?, asked).await
}

/// Does it.
pub(crate) async fn run(command: &Command) -> anyhow::Result<()> {
    let home = Home::of_person()?;
    match command {
        Command::Login(asked) => sign_in::login(&home, asked).await,
        Command::Logout => {
            // The key ends with the sign-in anyway; what is kept here goes also when the server does not answer.
            let taken_back = openssh::take_back(&home).await;
            home.clear()?;
            taken_back
        }
        Command::Ssh(asked) => openssh::become_client(&home, "ssh", &asked.arguments()?).await,
        Command::Scp(asked) => openssh::become_client(&home, "scp", &asked.arguments()?).await,
        Command::Rdp(asked) => desktop::open(&home, asked).await,
        Command::Tunnel(asked) => openssh::become_client(&home, "ssh", &asked.arguments()?).await,
    }
}
