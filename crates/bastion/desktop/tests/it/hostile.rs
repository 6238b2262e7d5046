//! Machines that say anything at all, and recordings that cannot be made.

use std::time::Duration;

use proptest::prelude::*;
use sekisho_bastion_desktop::rdp::{self, Keyboard, Login};
use sekisho_bastion_desktop::{
    Broken, Event, Exit, Input, Next, NotRecorded, Policy, Record, Refused, Secret, Size, vnc,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::kit::{PATIENCE, Recorder, Viewer};

const ALL: Policy = Policy { copy: true, paste: true };

/// A VNC server of 130×70 that lets everybody in.
fn greeting() -> Vec<u8> {
    [&b"RFB 003.008\n\x01\x01\0\0\0\0\0\x82\0\x46"[..], &[0; 16], &[0, 0, 0, 0]].concat()
}

/// What comes of a server that says this, and hangs up.
async fn told(said: &[u8]) -> Result<Exit, Broken> {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    far.write_all(&[&greeting()[..], said].concat()).await.unwrap();
    far.shutdown().await.unwrap();
    let (desktop, pump) = vnc::start(near, None, Size::new(800, 600), ALL).await.unwrap();
    let mut viewer = Viewer::new(desktop.view(true));
    let ended = timeout(PATIENCE, pump.run(Recorder::default())).await.expect("it ends");
    viewer.until(|next| matches!(next, Next::Over(_)).then_some(())).await;
    ended
}

fn rectangle(x: u16, y: u16, width: u16, height: u16, encoding: i32, rest: &[u8]) -> Vec<u8> {
    let mut said = vec![0, 0, 0, 1];
    for number in [x, y, width, height] {
        said.extend(number.to_be_bytes());
    }
    said.extend(encoding.to_be_bytes());
    said.extend(rest);
    said
}

#[tokio::test]
async fn what_a_vnc_server_must_not_say_ends_it_and_nothing_else() {
    assert!(matches!(told(&rectangle(0, 0, 1, 1, 0, &[1, 2, 3, 0])).await, Ok(Exit::Machine(None))));
    for (why, said) in [
        ("an unknown message", vec![9]),
        ("pixels outside", rectangle(100, 0, 31, 1, 0, &[0; 124])),
        ("a copy from outside", rectangle(0, 0, 10, 10, 1, &[0, 125, 0, 0])),
        ("no size", rectangle(0, 0, 0, 0, -223, &[])),
        ("a size beyond all", rectangle(0, 0, 65535, 65535, -223, &[])),
        ("too many screens", rectangle(0, 0, 100, 100, -308, &[255, 0, 0, 0])),
        ("a pointer beyond all", rectangle(0, 0, 4000, 4000, -239, &[])),
        ("nothing that can be unpacked", rectangle(0, 0, 64, 64, 16, &[0, 0, 0, 4, 1, 2, 3, 4])),
        ("an unknown rectangle", rectangle(0, 0, 1, 1, 5, &[])),
    ] {
        let ended = told(&said).await;
        assert!(matches!(ended, Err(Broken::Protocol(_))), "{why}: {ended:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_vnc_server_says_it_comes_to_an_end(
        kind in 0u8..5,
        encoding in prop::sample::select(vec![0, 1, 16, -223, -239, -258, -261, -308]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _ = told(&[&[kind][..], &rest].concat()).await;
            let _ = told(&rectangle(0, 0, 130, 70, encoding, &rest)).await;
        });
    }

    #[test]
    fn whatever_is_said_instead_of_rdp_is_refused(said in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // A confirmation of TLS, after which there is no TLS; and anything at all.
        let confirmed = [&[3, 0, 0, 19, 14, 0xd0, 0, 0, 0, 0, 0, 2, 0, 8, 0, 1, 0, 0, 0][..], &said].concat();
        for said in [&said, &confirmed] {
            let refused = runtime.block_on(async {
                let (near, mut far) = tokio::io::duplex(1 << 20);
                far.write_all(said).await.unwrap();
                far.shutdown().await.unwrap();
                let login = Login {
                    account: "jun".into(),
                    password: Secret::new("secret".into()),
                    domain: None,
                    keyboard: Keyboard::Japanese,
                };
                rdp::start(near, login, Size::new(800, 600), ALL, |_| true).await
            });
            prop_assert!(refused.is_err());
        }
    }
}

#[tokio::test]
async fn a_machine_that_says_nothing_can_be_ended_and_takes_no_login_for_ever() {
    let (near, mut far) = tokio::io::duplex(1 << 20);
    far.write_all(&greeting()).await.unwrap();
    let (desktop, pump) = vnc::start(near, None, Size::new(800, 600), ALL).await.unwrap();
    let pump = tokio::spawn(pump.run(Recorder::default()));
    desktop.end().await;
    assert!(matches!(timeout(PATIENCE, pump).await.unwrap().unwrap(), Ok(Exit::Here)));
    tokio::time::pause();
    let (near, _far) = tokio::io::duplex(1 << 20);
    let silent = vnc::start(near, None, Size::new(800, 600), ALL).await;
    assert!(matches!(silent, Err(Refused::Silent)), "{:?}", silent.err());
}

/// Takes in nothing.
struct Full;

impl Record for Full {
    async fn note(&mut self, _: Event<'_>) -> Result<(), NotRecorded> {
        Err(NotRecorded("the disk is full".into()))
    }
}

/// Never comes to an end.
struct Stuck;

impl Record for Stuck {
    fn wants_frames(&self) -> bool {
        false
    }

    async fn note(&mut self, _: Event<'_>) -> Result<(), NotRecorded> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_ends_for_everybody() {
    let start = || async {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(&greeting()).await.unwrap();
        let started = vnc::start(near, None, Size::new(800, 600), ALL).await.unwrap();
        (started, far)
    };
    let ((desktop, pump), mut far) = start().await;
    let mut viewer = Viewer::new(desktop.view(true));
    let pump = tokio::spawn(pump.run(Full));
    far.write_all(&rectangle(0, 0, 1, 1, 0, &[1, 2, 3, 0])).await.unwrap();
    let ended = timeout(PATIENCE, pump).await.unwrap().unwrap();
    assert!(matches!(ended, Err(Broken::Record(NotRecorded(ref why))) if why == "the disk is full"));
    viewer.until(|next| matches!(next, Next::Over(_)).then_some(())).await;
    // The machine has been hung up on.
    let mut rest = Vec::new();
    timeout(PATIENCE, far.read_to_end(&mut rest)).await.unwrap().unwrap();

    let ((desktop, pump), _far) = start().await;
    tokio::time::pause();
    let pump = tokio::spawn(pump.run(Stuck));
    desktop.view(true).input(Input::ReleaseAll).await;
    let ended = timeout(Duration::from_secs(7), pump).await.unwrap().unwrap();
    assert!(matches!(ended, Err(Broken::Record(_))), "{ended:?}");
}
