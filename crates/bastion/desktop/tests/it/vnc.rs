//! TigerVNC's server.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use sekisho_bastion_desktop::key::Keyboard;
use sekisho_bastion_desktop::{Exit, Input, Next, Policy, Refused, Secret, Size, vnc};
use sekisho_lab::{Display, Host, Lab, PASSWORD};
use tokio::time::timeout;

use crate::kit::{
    Looked, PATIENCE, PLASMA, Viewer, connect, copy, ended, lab, paint, pasted, same, size, terminal,
};

const PROGRAMS: [&str; 7] = ["Xvnc", "xwd", "xev", "display", "xterm", "xclip", "unshare"];
const ALL: Policy = Policy { copy: true, paste: true };

fn start(prefix: &str, width: u16, height: u16) -> Option<(Lab, Host, Display)> {
    let (lab, host) = lab(prefix, &PROGRAMS)?;
    let display = Display::vnc(&host, width, height).unwrap();
    Some((lab, host, display))
}

async fn look(host: &Host, size: Size, policy: Policy) -> Looked {
    let password = Some(Secret::new(PASSWORD.to_owned()));
    Looked::at(vnc::start(connect(host, 5900), password, size, policy).await.unwrap())
}

#[tokio::test]
async fn what_is_on_the_display_is_shown_and_recorded_to_the_pixel() {
    let Some((_lab, host, display)) = start("deskvncsee", 800, 600) else { return };
    let mut looked = look(&host, size(800, 600), ALL).await;
    paint(&display, PLASMA);
    let mut shell = terminal(&display, "seq 1 400; sleep 1000");
    looked.viewer.until_same(&display).await;
    // Whoever comes later sees the same.
    let mut later = Viewer::new(looked.desktop.view(false));
    later.until_same(&display).await;
    let truth = display.picture().unwrap();
    assert!(truth.pixels.iter().collect::<std::collections::HashSet<_>>().len() > 256);
    let (exit, tape) = looked.end().await;
    assert_eq!(exit, Exit::Here);
    assert!(tape.keyframes >= 1);
    assert_eq!(tape.decoder.unwrap().picture().pixels(), truth.pixels);
    assert_eq!(
        later.until(|next| matches!(next, Next::Over(_)).then(|| next.clone())).await,
        Next::Over(Exit::Here)
    );
    assert_eq!(later.view.next().await, None);
    let _ = shell.kill();
    let _ = shell.wait();
}

#[tokio::test]
async fn keys_and_composed_text_arrive_as_they_were_typed() {
    let Some((_lab, host, display)) = start("deskvnctype", 800, 600) else { return };
    let mut looked = look(&host, size(800, 600), ALL).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("typed");
    let script = format!("printf ready; IFS= read -r line; printf %s \"$line\" > {}", file.display());
    let shell = terminal(&display, &script);
    looked.viewer.point(100, 50, 0).await;
    // What is to be seen of the shell is on the black that was there.
    let blank = display.picture().unwrap();
    looked.viewer.until_still(|decoder| decoder.picture().pixels() != blank.pixels).await;
    let viewer = &looked.viewer;
    for codes in [&["KeyS"][..], &["ShiftLeft", "KeyE"], &["Digit4"], &["ShiftRight", "Digit1"], &["Slash"]] {
        viewer.press(codes).await;
    }
    viewer.view.input(Input::Text("é漢字".into())).await;
    viewer.press(&["Enter"]).await;
    ended(shell).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "sE4!/é漢字");
    let (_, tape) = looked.end().await;
    assert!(tape.inputs > 15, "{}", tape.inputs);
}

#[tokio::test]
async fn the_keys_of_a_japanese_keyboard_arrive_as_the_keys_that_they_are() {
    let Some((_lab, host)) = lab("deskvncjis", &PROGRAMS) else { return };
    let display = Display::vnc_with(&host, 400, 300, &["-RawKeyboard"]).unwrap();
    let mut looked = look(&host, size(400, 300), ALL).await;
    let mut command = display.command("xev");
    command.args(["-event", "keyboard", "-geometry", "300x200+0+0"]);
    let mut events = command.stdout(Stdio::piped()).spawn().unwrap();
    looked.viewer.point(100, 100, 0).await;
    looked.viewer.until_still(|decoder| decoder.picture().pixels().iter().any(|pixel| *pixel != 0)).await;
    for code in ["IntlYen", "IntlRo", "Convert", "NonConvert", "KanaMode", "Backquote", "ArrowUp"] {
        looked.viewer.press(&[code]).await;
    }
    let said = BufReader::new(events.stdout.take().unwrap());
    let codes = tokio::task::spawn_blocking(move || {
        let lines = said.lines().map_while(Result::ok).filter(|line| line.contains("keycode"));
        let codes =
            lines.map(|line| line.split("keycode ").nth(1).unwrap()[..3].trim().parse::<u8>().unwrap());
        codes.step_by(2).take(7).collect::<Vec<_>>()
    });
    // As evdev has them in X: each eight more than the kernel's number.
    assert_eq!(timeout(PATIENCE, codes).await.unwrap().unwrap(), [132, 97, 100, 102, 101, 49, 111]);
    let _ = events.kill();
    let _ = events.wait();
}

#[tokio::test]
async fn a_machine_that_takes_no_scan_codes_is_told_what_is_printed_on_a_japanese_keyboard() {
    let Some((_lab, host, display)) = start("deskvncjissym", 800, 600) else { return };
    let login = vnc::Login { password: Some(Secret::new(PASSWORD.to_owned())), keyboard: Keyboard::Japanese };
    let mut looked = Looked::at(vnc::start(connect(&host, 5900), login, size(800, 600), ALL).await.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("typed");
    let script = format!("printf ready; IFS= read -r line; printf %s \"$line\" > {}", file.display());
    let shell = terminal(&display, &script);
    looked.viewer.point(100, 50, 0).await;
    looked.viewer.until_still(|decoder| decoder.picture().pixels().iter().any(|pixel| *pixel != 0)).await;
    for codes in [&["IntlYen"][..], &["ShiftLeft", "IntlRo"], &["ShiftLeft", "Digit2"], &["BracketLeft"]] {
        looked.viewer.press(codes).await;
    }
    looked.viewer.press(&["Enter"]).await;
    ended(shell).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "\\_\"@");
}

#[tokio::test]
async fn japanese_text_goes_through_the_clipboard_both_ways_where_the_policy_says_so() {
    let Some((_lab, host, display)) = start("deskvncclip", 400, 300) else { return };
    let mut looked = look(&host, size(400, 300), ALL).await;
    looked.viewer.until_same(&display).await;
    let text = "クリップボード\nはここまで 🗾";
    let mut owner = copy(&display, text);
    let copied = looked.viewer.until(|next| match next {
        Next::Clipboard(text) => Some(text.clone()),
        _ => None,
    });
    assert_eq!(copied.await, text);
    looked.viewer.view.input(Input::Clipboard("貼り付け\n".into())).await;
    // The owner of a selection is told that it has lost it.
    let lost = tokio::task::spawn_blocking(move || owner.wait());
    timeout(PATIENCE, lost).await.unwrap().unwrap().unwrap();
    assert_eq!(pasted(&display).await, "貼り付け\n");
    let (_, tape) = looked.end().await;
    assert_eq!(tape.clipboard, [(false, text.chars().count()), (true, 5)]);
}

#[tokio::test]
async fn nothing_goes_through_the_clipboard_where_the_policy_forbids_it() {
    let Some((_lab, host, display)) = start("deskvncnoclip", 400, 300) else { return };
    let mut looked = look(&host, size(400, 300), Policy { copy: false, paste: false }).await;
    let mut other = look(&host, size(400, 300), ALL).await;
    let owner = copy(&display, "secret");
    other.viewer.until(|next| matches!(next, Next::Clipboard(_)).then_some(())).await;
    looked.viewer.view.input(Input::Clipboard("pasted".into())).await;
    // What is done after it has been done when this is seen.
    let shown = display.command("xterm").args(["-geometry", "10x2+0+0", "-e", "sleep", "1000"]).spawn();
    looked.viewer.until_still(|decoder| decoder.picture().pixels().iter().any(|pixel| *pixel != 0)).await;
    assert_eq!(pasted(&display).await, "secret");
    let (_, tape) = looked.end().await;
    assert_eq!(tape.clipboard, []);
    for mut child in [Ok(owner), shown].into_iter().flatten() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let _ = &mut other;
}

#[tokio::test]
async fn the_display_takes_the_size_that_its_owner_would_like() {
    let Some((_lab, host, display)) = start("deskvncsize", 640, 480) else { return };
    let mut looked = look(&host, size(800, 600), ALL).await;
    paint(&display, PLASMA);
    looked.viewer.until(|next| (*next == Next::Size(size(800, 600))).then_some(())).await;
    looked.viewer.until_same(&display).await;
    looked.viewer.view.resize(size(1024, 700)).await;
    looked.viewer.until(|next| (*next == Next::Size(size(1024, 700))).then_some(())).await;
    paint(&display, PLASMA);
    looked.viewer.until_same(&display).await;
    assert!(looked.desktop.resizes());
    let (_, tape) = looked.end().await;
    assert!(same(&tape.decoder.unwrap(), &display.picture().unwrap()));
}

#[tokio::test]
async fn whoever_does_not_acknowledge_gets_two_frames_and_holds_up_nobody() {
    let Some((_lab, host, display)) = start("deskvncslow", 400, 300) else { return };
    let mut looked = look(&host, size(400, 300), ALL).await;
    looked.viewer.until_same(&display).await;
    let mut slow = looked.desktop.view(false);
    let mut frames = 0;
    for _ in 0..4 {
        paint(&display, PLASMA);
        looked.viewer.until_same(&display).await;
        while let Ok(next) = timeout(std::time::Duration::from_millis(50), slow.next()).await {
            frames += usize::from(matches!(next, Some(Next::Frame(_))));
        }
    }
    assert_eq!(frames, 2);
    slow.acknowledge(1);
    assert!(matches!(timeout(PATIENCE, slow.next()).await.unwrap(), Some(Next::Frame(_))));
}

#[tokio::test]
async fn a_wrong_password_is_refused_as_that() {
    let Some((_lab, host, _display)) = start("deskvncno", 400, 300) else { return };
    let wrong = Some(Secret::new("not this".to_owned()));
    let refused = vnc::start(connect(&host, 5900), wrong, size(400, 300), ALL).await;
    assert!(matches!(refused, Err(Refused::Credentials)), "{:?}", refused.err());
    let none = vnc::start(connect(&host, 5900), None, size(400, 300), ALL).await;
    assert!(matches!(none, Err(Refused::NoPassword)), "{:?}", none.err());
}

#[tokio::test]
async fn when_the_machine_goes_away_it_is_over_for_everybody() {
    let Some((_lab, host, display)) = start("deskvncgone", 400, 300) else { return };
    let mut looked = look(&host, size(400, 300), ALL).await;
    looked.viewer.until_same(&display).await;
    drop(display);
    looked.viewer.until(|next| matches!(next, Next::Over(Exit::Machine(_))).then_some(())).await;
    assert!(matches!(looked.pump.await.unwrap(), Ok(Exit::Machine(_))));
}
